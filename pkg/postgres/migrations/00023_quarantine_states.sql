-- +goose Up
-- What the quarantine is searched by: a narrow mirror of quarantine, one row a record, which triggers keep whoever writes.
-- No index of quarantine itself names what a release changes. So its wide rows change within their pages, which are filled
-- to less than half for that, and no index gets a new entry each time.
CREATE TABLE quarantine_states (
  id BIGINT PRIMARY KEY, -- quarantine.id
  status TEXT NOT NULL,
  reason TEXT NOT NULL,
  source TEXT NOT NULL,
  last_seen TIMESTAMPTZ NOT NULL,
  reference_keys TEXT[] NOT NULL) WITH (autovacuum_vacuum_scale_factor = 0.05);

-- Rows are changed by the primary key whatever the statistics say, hence the settings; and by a subquery of the columns that
-- are needed, because an UPDATE copies whole rows of what it joins, the records' bytes with them. Nobody waits in a circle
-- here: whoever changes a row has locked its record. Whoever may change records changes this with them; hence SECURITY DEFINER.
-- +goose StatementBegin
CREATE FUNCTION mirror_quarantine() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
  SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
  CASE TG_OP
    WHEN 'INSERT' THEN
      INSERT INTO quarantine_states (id, status, reason, source, last_seen, reference_keys)
      SELECT id, status, reason, source, last_seen, reference_keys FROM changed;
    WHEN 'UPDATE' THEN
      UPDATE quarantine_states s SET status = c.status, reason = c.reason, source = c.source, last_seen = c.last_seen, reference_keys = c.reference_keys
      FROM (SELECT id, status, reason, source, last_seen, reference_keys FROM changed OFFSET 0) c WHERE s.id = c.id AND (s.status, s.reason, s.source, s.last_seen, s.reference_keys) IS DISTINCT FROM (c.status, c.reason, c.source, c.last_seen, c.reference_keys);
    WHEN 'DELETE' THEN
      DELETE FROM quarantine_states WHERE id = ANY (ARRAY (SELECT id FROM changed));
    ELSE
      TRUNCATE quarantine_states;
  END CASE;
  RETURN NULL;
END
$$;

DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION %I.mirror_quarantine() SET search_path = pg_catalog, %1$I, pg_temp', current_schema());
  EXECUTE format('REVOKE ALL ON FUNCTION %I.mirror_quarantine() FROM PUBLIC', current_schema());
END
$$;
-- +goose StatementEnd
CREATE TRIGGER quarantine_inserted AFTER INSERT ON quarantine REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mirror_quarantine();
CREATE TRIGGER quarantine_updated AFTER UPDATE ON quarantine REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mirror_quarantine();
CREATE TRIGGER quarantine_deleted AFTER DELETE ON quarantine REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mirror_quarantine();
CREATE TRIGGER quarantine_truncated AFTER TRUNCATE ON quarantine FOR EACH STATEMENT EXECUTE FUNCTION mirror_quarantine();

-- Nobody writes to quarantine from here on until this is committed.
INSERT INTO quarantine_states (id, status, reason, source, last_seen, reference_keys) SELECT id, status, reason, source, last_seen, reference_keys FROM quarantine ORDER BY id;
CREATE INDEX quarantine_states_status_idx ON quarantine_states (status, last_seen, id);
CREATE INDEX quarantine_states_open_idx ON quarantine_states (reason, id) WHERE status = 'open';
CREATE INDEX quarantine_states_open_source_idx ON quarantine_states (source, id) WHERE status = 'open';
CREATE INDEX quarantine_states_reference_keys_idx ON quarantine_states USING GIN (reference_keys) WHERE status = 'open';

-- Programs that do not know the table read all of quarantine where they looked at these.
DROP INDEX quarantine_status_last_seen_idx;
DROP INDEX quarantine_open_idx;
DROP INDEX quarantine_open_source_idx;
DROP INDEX quarantine_outbox_idx;
DROP INDEX quarantine_reference_keys_idx;
DROP INDEX quarantine_held_idx;
CREATE INDEX quarantine_held_idx ON quarantine (held_until) WHERE held_until IS NOT NULL; -- few
ALTER TABLE quarantine SET (fillfactor = 45);

-- +goose Down
ALTER TABLE quarantine RESET (fillfactor);
DROP INDEX quarantine_held_idx;
CREATE INDEX quarantine_held_idx ON quarantine (held_until) WHERE status = 'open' AND held_until IS NOT NULL;
CREATE INDEX quarantine_reference_keys_idx ON quarantine USING GIN (reference_keys) WHERE status = 'open';
CREATE INDEX quarantine_outbox_idx ON quarantine (id) WHERE status = 'replaying' AND published_at IS NULL;
CREATE INDEX quarantine_open_source_idx ON quarantine (source, id) WHERE status = 'open';
CREATE INDEX quarantine_open_idx ON quarantine (reason, id) WHERE status = 'open';
CREATE INDEX quarantine_status_last_seen_idx ON quarantine (status, last_seen, id);
DROP TRIGGER quarantine_truncated ON quarantine;
DROP TRIGGER quarantine_deleted ON quarantine;
DROP TRIGGER quarantine_updated ON quarantine;
DROP TRIGGER quarantine_inserted ON quarantine;
DROP FUNCTION mirror_quarantine();
DROP TABLE quarantine_states;
