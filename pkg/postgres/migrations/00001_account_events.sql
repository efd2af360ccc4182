-- +goose Up
-- The timeline: one row per event. The statement is the users' own and a contract: consumers query it directly.
CREATE TABLE account_events (
  id BIGSERIAL PRIMARY KEY, account_id UUID NOT NULL, event_type TEXT NOT NULL,
  source TEXT NOT NULL, source_event_id TEXT NOT NULL, payload JSONB NOT NULL,
  occurred_at TIMESTAMPTZ NOT NULL, ingested_at TIMESTAMPTZ NOT NULL,
  UNIQUE (source, source_event_id));
CREATE INDEX ON account_events (account_id, occurred_at DESC);
CREATE INDEX ON account_events (event_type, occurred_at DESC);
-- Named account_events_payload_idx by Postgres; the GIN keeper relies on the name.
CREATE INDEX ON account_events USING GIN (payload);

-- pgstatginindex tells how much of the GIN index waits to be merged. It is a luxury: a role that may not create
-- extensions, or a server without contrib, goes without.
-- +goose StatementBegin
DO $$
BEGIN
  CREATE EXTENSION IF NOT EXISTS pgstattuple;
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
  RAISE NOTICE 'pgstattuple is not available: pending pages of the GIN index are not measured';
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE account_events;
