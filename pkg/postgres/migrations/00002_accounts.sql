-- +goose Up
CREATE TABLE accounts (
  id UUID PRIMARY KEY,
  name TEXT NOT NULL,
  domain TEXT,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE INDEX accounts_domain_idx ON accounts (lower(domain));

-- A link says which account a vendor's identifier stands for. A tenant of '' matches every tenant.
CREATE TABLE account_links (
  id BIGSERIAL PRIMARY KEY,
  source TEXT NOT NULL,
  tenant TEXT NOT NULL DEFAULT '',
  kind TEXT NOT NULL,
  external_id TEXT NOT NULL,
  account_id UUID NOT NULL REFERENCES accounts (id),
  learned TEXT NOT NULL,
  evidence JSONB NOT NULL DEFAULT '{}',
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  UNIQUE (source, kind, external_id, tenant));
CREATE INDEX account_links_account_id_idx ON account_links (account_id);

-- What becomes resolvable is announced on the channel throughline_links when the statement's transaction commits:
-- one notification per reference key, or a single '' (look at everything) after a statement that touched more
-- than 100 rows. A notification holds less than 8,000 bytes, so a key near that is announced as '' too.
-- +goose StatementBegin
CREATE FUNCTION announce_links() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT count(*) FROM (SELECT FROM changed LIMIT 101) AS few) > 100 THEN
    PERFORM pg_notify('throughline_links', '');
  ELSE
    PERFORM pg_notify('throughline_links', CASE WHEN octet_length(key) < 7000 THEN key ELSE '' END)
    FROM (SELECT source || CASE WHEN tenant = '' THEN '' ELSE '/' || tenant END || ':' || kind || ':' || external_id AS key
          FROM changed) AS keys;
  END IF;
  RETURN NULL;
END
$$;

CREATE FUNCTION announce_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT count(*) FROM (SELECT FROM changed LIMIT 101) AS few) > 100 THEN
    PERFORM pg_notify('throughline_links', '');
  ELSE
    PERFORM pg_notify('throughline_links', 'uuid:' || id) FROM changed;
    PERFORM pg_notify('throughline_links', CASE WHEN octet_length(domain) < 7000 THEN 'domain:' || lower(domain) ELSE '' END)
    FROM changed WHERE domain <> '';
  END IF;
  RETURN NULL;
END
$$;
-- +goose StatementEnd

-- Postgres allows a transition table only to a trigger on one kind of statement, hence two each.
CREATE TRIGGER account_links_inserted AFTER INSERT ON account_links REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION announce_links();
CREATE TRIGGER account_links_updated AFTER UPDATE ON account_links REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION announce_links();
CREATE TRIGGER accounts_inserted AFTER INSERT ON accounts REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION announce_accounts();
CREATE TRIGGER accounts_updated AFTER UPDATE ON accounts REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION announce_accounts();

-- +goose Down
DROP TABLE account_links;
DROP TABLE accounts;
DROP FUNCTION announce_links();
DROP FUNCTION announce_accounts();
