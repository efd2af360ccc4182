-- +goose Up
-- Who looks after the customer.
ALTER TABLE accounts ADD COLUMN owner TEXT NOT NULL DEFAULT '';

-- What lists and searches of the console and the API read by. None is on account_events: it would cost every insert.
CREATE INDEX accounts_name_idx ON accounts (lower(name), id);
CREATE INDEX accounts_name_words_idx ON accounts USING GIN (to_tsvector('simple', name));
CREATE INDEX accounts_domain_prefix_idx ON accounts (lower(domain) text_pattern_ops);
CREATE INDEX accounts_owner_idx ON accounts (owner, lower(name), id) WHERE owner <> '';
CREATE INDEX account_links_external_id_idx ON account_links (external_id);
CREATE INDEX quarantine_last_seen_idx ON quarantine (last_seen, id);
CREATE INDEX quarantine_open_last_seen_idx ON quarantine (last_seen, id) WHERE status = 'open';
CREATE INDEX quarantine_open_source_idx ON quarantine (source, id) WHERE status = 'open';

-- Backfills that somebody asks the puller for, and runs that it is asked to stop.
CREATE TABLE pull_requests (
  id BIGSERIAL PRIMARY KEY,
  source TEXT NOT NULL,
  tenant TEXT NOT NULL DEFAULT '',
  stream TEXT NOT NULL DEFAULT '', -- '': the source's first
  types TEXT[] NOT NULL DEFAULT '{}',
  from_time TIMESTAMPTZ NOT NULL,
  to_time TIMESTAMPTZ,
  status TEXT NOT NULL DEFAULT 'asked' CHECK (status IN ('asked', 'taken', 'refused')),
  error TEXT NOT NULL DEFAULT '',
  asked_by TEXT NOT NULL,
  asked_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  taken_at TIMESTAMPTZ);
CREATE INDEX pull_requests_asked_idx ON pull_requests (source, id) WHERE status = 'asked';
-- Who asked that a run stops; NULL: nobody.
ALTER TABLE pull_runs ADD COLUMN cancelled_by TEXT;

-- +goose Down
ALTER TABLE pull_runs DROP COLUMN cancelled_by;
DROP TABLE pull_requests;
DROP INDEX quarantine_open_source_idx;
DROP INDEX quarantine_open_last_seen_idx;
DROP INDEX quarantine_last_seen_idx;
DROP INDEX account_links_external_id_idx;
DROP INDEX accounts_owner_idx;
DROP INDEX accounts_domain_prefix_idx;
DROP INDEX accounts_name_words_idx;
DROP INDEX accounts_name_idx;
ALTER TABLE accounts DROP COLUMN owner;
