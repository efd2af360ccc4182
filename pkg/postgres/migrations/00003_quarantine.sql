-- +goose Up
-- Records that could not go on, with their original bytes, until somebody or something clears them.
CREATE TABLE quarantine (
  id BIGSERIAL PRIMARY KEY,
  dedup_key TEXT NOT NULL UNIQUE,
  reason TEXT NOT NULL,
  error TEXT NOT NULL DEFAULT '',
  source TEXT NOT NULL DEFAULT '',
  tenant TEXT NOT NULL DEFAULT '',
  event_type TEXT,
  source_event_id TEXT,
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  "offset" BIGINT NOT NULL,
  record_key BYTEA,
  headers JSONB NOT NULL DEFAULT '[]', -- [{"key": text, "value": base64}], in the record's order
  raw BYTEA NOT NULL,
  payload JSONB, -- raw, where JSONB takes it
  "references" JSONB NOT NULL DEFAULT '[]',
  reference_keys TEXT[] NOT NULL DEFAULT '{}',
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'replaying', 'resolved', 'discarded')),
  outcome TEXT CHECK (outcome IN ('inserted', 'already_present')),
  attempts INTEGER NOT NULL DEFAULT 1,
  first_seen TIMESTAMPTZ NOT NULL DEFAULT now(),
  last_seen TIMESTAMPTZ NOT NULL DEFAULT now(),
  status_by TEXT NOT NULL,
  status_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  published_at TIMESTAMPTZ);
CREATE INDEX quarantine_reference_keys_idx ON quarantine USING GIN (reference_keys);
CREATE INDEX quarantine_open_idx ON quarantine (reason, id) WHERE status = 'open';
-- The release outbox: what is to be published still.
CREATE INDEX quarantine_outbox_idx ON quarantine (id) WHERE status = 'replaying' AND published_at IS NULL;

-- Every change of a quarantined record's status: who, when, why. Whoever updates status appends here.
CREATE TABLE quarantine_decisions (
  id BIGSERIAL PRIMARY KEY,
  quarantine_id BIGINT NOT NULL REFERENCES quarantine (id) ON DELETE CASCADE,
  from_status TEXT NOT NULL,
  to_status TEXT NOT NULL,
  decided_by TEXT NOT NULL,
  decided_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  note TEXT NOT NULL DEFAULT '');
CREATE INDEX quarantine_decisions_quarantine_id_idx ON quarantine_decisions (quarantine_id, id);

-- +goose Down
DROP TABLE quarantine_decisions;
DROP TABLE quarantine;
