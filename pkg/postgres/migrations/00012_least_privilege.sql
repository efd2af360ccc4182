-- +goose Up
-- What only the owner of account_events may do, for a sink that is not: both take nothing, and touch that one index.
-- Whoever writes a function with SECURITY DEFINER takes EXECUTE from PUBLIC and fixes its search_path, as below.
-- +goose StatementBegin
CREATE FUNCTION clean_payload_index() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  RETURN gin_clean_pending_list('account_events_payload_idx'::regclass);
END
$$;

-- NULL: the extension pgstattuple is missing, or the owner may not use it.
CREATE FUNCTION payload_index_pending_pages() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  home name := (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pgstattuple');
  pages bigint;
BEGIN
  IF home IS NOT NULL THEN
    EXECUTE format('SELECT pending_pages FROM %I.pgstatginindex(''account_events_payload_idx''::regclass)', home) INTO pages;
  END IF;
  RETURN pages;
EXCEPTION WHEN insufficient_privilege THEN
  RETURN NULL;
END
$$;

-- A function that runs as the owner finds the tables of its own schema, and no others: pg_temp, which is searched first
-- unless it is named, and "$user" would let a caller put a table with triggers of its own in their place. And only the
-- owner makes triggers of them: on a table of one's own they would empty ours.
DO $$
DECLARE
  f text;
BEGIN
  FOREACH f IN ARRAY ARRAY['clean_payload_index', 'payload_index_pending_pages', 'delete_account_event_origins', 'note_link_change', 'move_link_epoch'] LOOP
    EXECUTE format('ALTER FUNCTION %I.%I() SET search_path = pg_catalog, %I, pg_temp', current_schema(), f, current_schema());
    EXECUTE format('REVOKE ALL ON FUNCTION %I.%I() FROM PUBLIC', current_schema(), f);
  END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION payload_index_pending_pages();
DROP FUNCTION clean_payload_index();
-- The others stay as they are: a closed hole need not be opened again.
