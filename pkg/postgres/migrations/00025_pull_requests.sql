-- +goose Up
-- Backfills that people ask the puller for, from the console, the HTTP API or the command line.
CREATE TABLE pull_requests (
  id BIGSERIAL PRIMARY KEY,
  source TEXT NOT NULL,
  tenant TEXT NOT NULL DEFAULT '', -- of the puller that claimed it
  stream TEXT NOT NULL DEFAULT '', -- '': all of the source's
  types TEXT[] NOT NULL DEFAULT '{}', -- the vendor's, sorted; none: all
  since TIMESTAMPTZ NOT NULL,
  until TIMESTAMPTZ NOT NULL,
  dry_run BOOLEAN NOT NULL DEFAULT false, -- read and count only
  state TEXT NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'claimed', 'done', 'cancelled', 'failed')),
  reason TEXT NOT NULL DEFAULT '', -- why it failed, who cancelled it, or what a person should know of what was brought in
  pages BIGINT NOT NULL DEFAULT 0,
  events BIGINT NOT NULL DEFAULT 0,
  asked_by TEXT NOT NULL,
  idempotency_key TEXT, -- who asks again with the same key gets the same request
  asked_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  claimed_at TIMESTAMPTZ,
  ended_at TIMESTAMPTZ,
  UNIQUE (asked_by, idempotency_key));
CREATE INDEX pull_requests_open_idx ON pull_requests (source, id) WHERE state IN ('requested', 'claimed');

-- The request that a run was made for; NULL: none, a command line or the puller by itself.
ALTER TABLE pull_runs ADD COLUMN request_id BIGINT REFERENCES pull_requests (id);
CREATE INDEX pull_runs_request_id_idx ON pull_runs (request_id) WHERE request_id IS NOT NULL;

-- +goose Down
ALTER TABLE pull_runs DROP COLUMN request_id;
DROP TABLE pull_requests;
