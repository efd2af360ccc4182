-- +goose Up
-- What is alerted on now, and what was until lately (pkg/alert). A row is one thing that a rule found.
CREATE TABLE alert_states (
  rule TEXT NOT NULL,
  key TEXT NOT NULL, -- which of the rule's: a source, a finding
  source TEXT NOT NULL DEFAULT '',
  severity TEXT NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
  summary TEXT NOT NULL, -- no values of events
  state TEXT NOT NULL CHECK (state IN ('pending', 'firing', 'resolved')),
  since TIMESTAMPTZ NOT NULL, -- it is in this state
  began_at TIMESTAMPTZ NOT NULL, -- when it was found first
  seen_at TIMESTAMPTZ NOT NULL, -- when it was found last
  PRIMARY KEY (rule, key));

-- What each receiver has been told of it.
CREATE TABLE alert_told (
  receiver TEXT NOT NULL,
  rule TEXT NOT NULL,
  key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('firing', 'resolved')),
  at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (rule, key, receiver),
  FOREIGN KEY (rule, key) REFERENCES alert_states (rule, key) ON DELETE CASCADE);

-- How telling them goes.
CREATE TABLE alert_receivers (
  receiver TEXT PRIMARY KEY,
  known_since TIMESTAMPTZ NOT NULL DEFAULT now(), -- what was over before is not told
  delivered_at TIMESTAMPTZ,
  failing_since TIMESTAMPTZ,
  error TEXT NOT NULL DEFAULT '',
  retry_at TIMESTAMPTZ); -- the receiver asked to wait

CREATE TABLE alert_silences (
  id BIGSERIAL PRIMARY KEY,
  rule TEXT NOT NULL DEFAULT '', -- '' is any
  source TEXT NOT NULL DEFAULT '', -- '' is any
  until TIMESTAMPTZ NOT NULL,
  comment TEXT NOT NULL DEFAULT '',
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  ended_by TEXT NOT NULL DEFAULT '', -- who ended it before its time
  CHECK (rule <> '' OR source <> ''));
CREATE INDEX alert_silences_until_idx ON alert_silences (until);

-- One row: who evaluates, and when it was done last.
CREATE TABLE alert_evaluation (
  one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
  holder UUID NOT NULL,
  until TIMESTAMPTZ NOT NULL,
  evaluated_at TIMESTAMPTZ);
INSERT INTO alert_evaluation (holder, until) VALUES ('00000000-0000-0000-0000-000000000000', '-infinity');

-- +goose Down
DROP TABLE alert_evaluation;
DROP TABLE alert_silences;
DROP TABLE alert_receivers;
DROP TABLE alert_told;
DROP TABLE alert_states;
