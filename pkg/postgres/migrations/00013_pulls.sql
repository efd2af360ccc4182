-- +goose Up
-- How far a pull of a vendor's past events is: a period, and within it a window and the vendor's cursor. All that lies
-- before it is in the raw topic. Whoever works on one has raised fence, and stops when somebody else does.
CREATE TABLE pull_checkpoints (
  id BIGSERIAL PRIMARY KEY,
  source TEXT NOT NULL,
  tenant TEXT NOT NULL DEFAULT '',
  stream TEXT NOT NULL,
  mode TEXT NOT NULL CHECK (mode IN ('backfill', 'poll')),
  types TEXT[] NOT NULL DEFAULT '{}', -- the vendor's, sorted; none: all
  from_time TIMESTAMPTZ NOT NULL,
  to_time TIMESTAMPTZ NOT NULL,
  window_from TIMESTAMPTZ NOT NULL,
  window_to TIMESTAMPTZ NOT NULL,
  cursor BYTEA, -- NULL: the window has not begun
  fence BIGINT NOT NULL DEFAULT 0,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  finished_at TIMESTAMPTZ);
CREATE INDEX pull_checkpoints_unfinished_idx ON pull_checkpoints (source, id) WHERE finished_at IS NULL;

-- Each process that worked on one, and what it did.
CREATE TABLE pull_runs (
  id BIGSERIAL PRIMARY KEY,
  checkpoint_id BIGINT NOT NULL REFERENCES pull_checkpoints (id) ON DELETE CASCADE,
  status TEXT NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
  pages BIGINT NOT NULL DEFAULT 0,
  events BIGINT NOT NULL DEFAULT 0,
  unread BIGINT NOT NULL DEFAULT 0, -- of the events: what the source could not read, which becomes dead letters
  oldest TIMESTAMPTZ, -- of what was read: when it happened
  newest TIMESTAMPTZ,
  kept_since TIMESTAMPTZ, -- the vendor promises events since then only, which is after the period's beginning
  error TEXT NOT NULL DEFAULT '',
  started_by TEXT NOT NULL,
  started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  finished_at TIMESTAMPTZ);
CREATE INDEX pull_runs_checkpoint_id_idx ON pull_runs (checkpoint_id, id);

-- +goose Down
DROP TABLE pull_runs;
DROP TABLE pull_checkpoints;
