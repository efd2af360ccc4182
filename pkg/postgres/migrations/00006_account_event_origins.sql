-- +goose Up
-- How each event found its account and where it came from: one row per row of account_events, written in the same
-- statement. Kept beside account_events, whose columns are a contract.
CREATE TABLE account_event_origins (
  event_id BIGINT PRIMARY KEY,
  reference TEXT NOT NULL CHECK (octet_length(reference) <= 1024), -- a btree row holds 2,704 bytes
  rule TEXT NOT NULL,
  delivery TEXT NOT NULL,
  raw_topic TEXT NOT NULL, -- '': an event that version 1 of the schema wrote
  raw_partition INTEGER NOT NULL,
  raw_offset BIGINT NOT NULL,
  raw_index INTEGER NOT NULL); -- place in a page, else -1
CREATE INDEX account_event_origins_reference_idx ON account_event_origins (reference) WHERE reference <> '';

-- +goose Down
DROP TABLE account_event_origins;
