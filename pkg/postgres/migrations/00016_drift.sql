-- +goose Up
-- What payloads look like, by source and event type. No value of any event is here: a sample is the identity of an event that
-- has the path, so that erasing the event erases the sample.
CREATE TABLE payload_types (
  id BIGSERIAL PRIMARY KEY,
  source TEXT NOT NULL,
  event_type TEXT NOT NULL,
  pulled BOOLEAN NOT NULL, -- by the vendor's API or a backfill, which may have other forms of an event than its webhooks
  version BIGINT NOT NULL DEFAULT 0, -- grows with each batch that changes its paths
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  UNIQUE (source, event_type, pulled));

CREATE TABLE payload_shapes (
  type_id BIGINT NOT NULL REFERENCES payload_types (id) ON DELETE CASCADE,
  path TEXT NOT NULL, -- '' is the event itself
  present BIGINT NOT NULL, -- events that had it, and how many of them as each JSON type
  nulls BIGINT NOT NULL, booleans BIGINT NOT NULL, numbers BIGINT NOT NULL, strings BIGINT NOT NULL, arrays BIGINT NOT NULL, objects BIGINT NOT NULL,
  first_at BIGINT NOT NULL, last_at BIGINT NOT NULL, -- how many events had its parent before it was first, and when it was last there
  first_seen TIMESTAMPTZ NOT NULL,
  last_seen TIMESTAMPTZ NOT NULL,
  longest_gap INTERVAL NOT NULL,
  folded BOOLEAN NOT NULL, -- an object that is used as a map: its members are *
  window_present BIGINT NOT NULL, window_nulls BIGINT NOT NULL,
  form TEXT NOT NULL, -- for people: 'text like a date'
  event_id TEXT NOT NULL, -- source_event_id of a newer event that has it
  silent BOOLEAN NOT NULL DEFAULT false, -- its silence has been told
  PRIMARY KEY (type_id, path)) WITH (fillfactor = 70);

CREATE TABLE shape_findings (
  id BIGSERIAL PRIMARY KEY,
  source TEXT NOT NULL,
  event_type TEXT NOT NULL,
  pulled BOOLEAN NOT NULL,
  path TEXT NOT NULL,
  change TEXT NOT NULL CHECK (change IN ('new', 'vanished', 'type_changed', 'null_rate', 'silent')),
  was TEXT NOT NULL DEFAULT '', -- types, forms and rates, never values
  became TEXT NOT NULL DEFAULT '',
  event_id TEXT NOT NULL DEFAULT '', -- source_event_id of the event that showed it; and where it lies
  raw_topic TEXT NOT NULL DEFAULT '', raw_partition INTEGER NOT NULL DEFAULT -1, raw_offset BIGINT NOT NULL DEFAULT -1,
  times BIGINT NOT NULL DEFAULT 1,
  state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'closed')),
  state_by TEXT NOT NULL DEFAULT 'drift',
  state_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  last_seen TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE UNIQUE INDEX shape_findings_standing_idx ON shape_findings (source, event_type, pulled, path, change) WHERE state <> 'closed';
CREATE INDEX shape_findings_event_idx ON shape_findings (source, event_id);

-- Who said what about a finding.
CREATE TABLE drift_decisions (
  id BIGSERIAL PRIMARY KEY,
  finding_id BIGINT NOT NULL REFERENCES shape_findings (id) ON DELETE CASCADE,
  state TEXT NOT NULL,
  by TEXT NOT NULL,
  note TEXT NOT NULL DEFAULT '',
  created_at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE INDEX drift_decisions_finding_idx ON drift_decisions (finding_id, id);

-- Which paths views, statements and declared dashboards read.
CREATE TABLE drift_expectations (
  origin TEXT NOT NULL CHECK (origin IN ('view', 'statement', 'file')),
  reader TEXT NOT NULL, -- the view, the role and statement, the file or the dashboard that it names
  source TEXT NOT NULL DEFAULT '', -- '' is any
  event_type TEXT NOT NULL DEFAULT '',
  path TEXT NOT NULL,
  types TEXT[] NOT NULL DEFAULT '{}', -- JSON types that it takes; none: any
  declared_by TEXT NOT NULL DEFAULT '',
  declared_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (origin, reader, source, event_type, path));

-- How far the raw topics are in payload_shapes, in its transactions.
CREATE TABLE drift_offsets (
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  next_offset BIGINT NOT NULL,
  newest TIMESTAMPTZ NOT NULL, -- the broker's time of the record before it: a topic that was made anew begins at 0 again, later
  PRIMARY KEY (topic, partition));

-- +goose Down
DROP TABLE drift_offsets;
DROP TABLE drift_expectations;
DROP TABLE drift_decisions;
DROP TABLE shape_findings;
DROP TABLE payload_shapes;
DROP TABLE payload_types;
