-- +goose Up
-- Domains that behave like public ones: people who have an address there belong to several accounts, by better evidence
-- than the domain. No event and no suggestion follows from one, unless a person decided that it is one company's (private).
CREATE TABLE suspect_domains (
  domain TEXT PRIMARY KEY CHECK (domain = lower(domain) AND domain <> '' AND octet_length(domain) <= 253),
  accounts INTEGER NOT NULL DEFAULT 0, -- with no parent in common, when it was looked last; 0: only a person named it
  examples UUID[] NOT NULL DEFAULT '{}', -- some of these accounts
  found_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  decision TEXT CHECK (decision IN ('public', 'private')),
  decided_by TEXT NOT NULL DEFAULT '',
  decided_at TIMESTAMPTZ,
  reason TEXT NOT NULL DEFAULT '');
CREATE INDEX suspect_domains_open_idx ON suspect_domains (domain) WHERE decision IS NULL;

-- When the learner looks for them next.
ALTER TABLE learning_progress ADD COLUMN domains_due_at TIMESTAMPTZ NOT NULL DEFAULT now();

-- What references lead to follows from it: caches end, and what waits is tried again.
-- +goose StatementBegin
CREATE FUNCTION announce_suspect_domain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('throughline_links', 'domain:' || NEW.domain);
  RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER suspect_domains_inserted AFTER INSERT ON suspect_domains FOR EACH ROW EXECUTE FUNCTION note_link_change();
CREATE TRIGGER suspect_domains_decided AFTER UPDATE OF decision ON suspect_domains FOR EACH ROW EXECUTE FUNCTION note_link_change();
CREATE TRIGGER suspect_domains_announced AFTER UPDATE OF decision ON suspect_domains FOR EACH ROW EXECUTE FUNCTION announce_suspect_domain();

-- +goose Down
DROP TABLE suspect_domains;
DROP FUNCTION announce_suspect_domain();
ALTER TABLE learning_progress DROP COLUMN domains_due_at;
