-- +goose Up
-- The origins of deleted events are found by their ids, whatever the statistics say: joined to the deleted rows they
-- were found by reading the whole table, once for every batch that takes events off the timeline.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION delete_account_event_origins() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    TRUNCATE account_event_origins;
  ELSE
    DELETE FROM account_event_origins WHERE event_id = ANY (ARRAY (SELECT id FROM gone));
  END IF;
  RETURN NULL;
END
$$;
-- +goose StatementEnd

-- Who publishes released records, and until when nobody else does: no row is locked while the brokers are waited for.
CREATE TABLE quarantine_outbox_lease (
  one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
  holder UUID,
  until TIMESTAMPTZ NOT NULL DEFAULT '-infinity');
INSERT INTO quarantine_outbox_lease DEFAULT VALUES;

-- A split takes a merge back; a rename is recorded like every other decision about an account.
ALTER TABLE link_decisions DROP CONSTRAINT link_decisions_verb_check;
ALTER TABLE link_decisions ADD CONSTRAINT link_decisions_verb_check
  CHECK (verb IN ('link', 'unlink', 'relink', 'merge', 'not_this_account', 'remove', 'split', 'rename'));

-- +goose Down
DROP TABLE quarantine_outbox_lease; -- the verbs stay: the ledger may hold them
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION delete_account_event_origins() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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
