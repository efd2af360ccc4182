-- +goose Up
-- How each event found its account and where it came from: one row per row of account_events, written in the same
-- statement. It stands beside account_events, whose columns are a contract.
--
-- There is no foreign key: it costs each insert a look-up and a lock of the event's row (about a tenth of the whole
-- insert). The triggers below keep the two tables together instead, at no cost to inserts.
CREATE TABLE account_event_origins (
  event_id BIGINT PRIMARY KEY, -- account_events.id
  reference TEXT NOT NULL CHECK (octet_length(reference) <= 1024), -- a btree row holds 2,704 bytes
  rule TEXT NOT NULL,
  delivery TEXT NOT NULL,
  raw_topic TEXT NOT NULL, -- '': written by version 1 of the schema, which did not say
  raw_partition INTEGER NOT NULL,
  raw_offset BIGINT NOT NULL,
  raw_index INTEGER NOT NULL); -- place in a page, else -1
CREATE INDEX account_event_origins_reference_idx ON account_event_origins (reference) WHERE reference <> '';

-- Whoever may delete events deletes their origins with them; hence SECURITY DEFINER.
-- +goose StatementBegin
CREATE FUNCTION delete_account_event_origins() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    TRUNCATE account_event_origins;
  ELSE
    DELETE FROM account_event_origins o USING gone WHERE o.event_id = gone.id;
  END IF;
  RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER account_events_deleted AFTER DELETE ON account_events REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION delete_account_event_origins();
CREATE TRIGGER account_events_truncated AFTER TRUNCATE ON account_events
  FOR EACH STATEMENT EXECUTE FUNCTION delete_account_event_origins();

-- +goose Down
DROP TRIGGER account_events_truncated ON account_events;
DROP TRIGGER account_events_deleted ON account_events;
DROP FUNCTION delete_account_event_origins();
DROP TABLE account_event_origins;
