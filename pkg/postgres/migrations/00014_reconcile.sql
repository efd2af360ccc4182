-- +goose Up
-- What a comparison of a vendor's API with what is here has found, one row a run. What is still missing is missing less
-- healed, and reasons say why, as {"not_arrived": 3}.
CREATE TABLE reconcile_reports (
  id BIGSERIAL PRIMARY KEY,
  source TEXT NOT NULL,
  tenant TEXT NOT NULL DEFAULT '',
  stream TEXT NOT NULL,
  from_time TIMESTAMPTZ NOT NULL,
  to_time TIMESTAMPTZ NOT NULL,
  through TIMESTAMPTZ NOT NULL, -- all before it is compared
  status TEXT NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
  heals BOOLEAN NOT NULL, -- what is missing is published
  pages BIGINT NOT NULL DEFAULT 0,
  said BIGINT NOT NULL DEFAULT 0, -- events that the vendor has
  unread BIGINT NOT NULL DEFAULT 0, -- of them: without an identity that could be compared
  on_timeline BIGINT NOT NULL DEFAULT 0,
  in_quarantine BIGINT NOT NULL DEFAULT 0,
  missing BIGINT NOT NULL DEFAULT 0,
  healed BIGINT NOT NULL DEFAULT 0, -- of the missing: here by now
  reasons JSONB NOT NULL DEFAULT '{}',
  kept_since TIMESTAMPTZ, -- the vendor promises events since then only, which is after the period's beginning
  error TEXT NOT NULL DEFAULT '',
  started_by TEXT NOT NULL,
  started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  looked_at TIMESTAMPTZ NOT NULL DEFAULT now(), -- when it was last looked whether what was missing is here
  finished_at TIMESTAMPTZ);
CREATE INDEX reconcile_reports_newest_idx ON reconcile_reports (source, tenant, stream, id);

-- What a report still misses, to be looked for again: the first thousand.
CREATE TABLE reconcile_missing (
  report_id BIGINT NOT NULL REFERENCES reconcile_reports (id) ON DELETE CASCADE,
  source_event_id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  occurred_at TIMESTAMPTZ NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (report_id, source_event_id));

-- Whether an event waits is asked for many at a time.
CREATE INDEX quarantine_source_event_id_idx ON quarantine (source, source_event_id);

-- What is done by one worker at a time, and until when it is its own.
CREATE TABLE pull_leases (
  name TEXT PRIMARY KEY, -- "poll looker history", "reconcile stripe events"
  holder UUID NOT NULL,
  until TIMESTAMPTZ NOT NULL);

-- When the next request to a vendor's API may be sent, over all who call it. Turns are taken many at a time.
CREATE TABLE api_budgets (
  source TEXT NOT NULL,
  tenant TEXT NOT NULL DEFAULT '',
  free_at TIMESTAMPTZ NOT NULL DEFAULT '-infinity',
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (source, tenant));

-- +goose Down
DROP TABLE api_budgets;
DROP TABLE pull_leases;
DROP INDEX quarantine_source_event_id_idx;
DROP TABLE reconcile_missing;
DROP TABLE reconcile_reports;
