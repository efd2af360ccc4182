-- +goose Up
-- Who looks after the customer.
ALTER TABLE accounts ADD COLUMN owner TEXT NOT NULL DEFAULT '';

-- What lists and searches of the console and the API read by. None is on account_events: it would cost every insert.
CREATE INDEX accounts_name_idx ON accounts (lower(name), id);
CREATE INDEX accounts_name_words_idx ON accounts USING GIN (to_tsvector('simple', name));
CREATE INDEX accounts_domain_prefix_idx ON accounts (lower(domain) text_pattern_ops);
CREATE INDEX accounts_owner_idx ON accounts (owner, lower(name), id) WHERE owner <> '';
CREATE INDEX account_links_external_id_idx ON account_links (external_id);
CREATE INDEX quarantine_status_last_seen_idx ON quarantine (status, last_seen, id);
CREATE INDEX quarantine_open_source_idx ON quarantine (source, id) WHERE status = 'open';

-- +goose Down
DROP INDEX quarantine_open_source_idx;
DROP INDEX quarantine_status_last_seen_idx;
DROP INDEX account_links_external_id_idx;
DROP INDEX accounts_owner_idx;
DROP INDEX accounts_domain_prefix_idx;
DROP INDEX accounts_name_words_idx;
DROP INDEX accounts_name_idx;
ALTER TABLE accounts DROP COLUMN owner;
