-- +goose Up
-- What waiting events refer to, and what is known of it: from the vendor, and from the timeline. The learner's work list.
CREATE TABLE learned_references (
  id BIGSERIAL PRIMARY KEY,
  source TEXT NOT NULL, -- 'email' and 'domain' for these two, which have no source in particular
  tenant TEXT NOT NULL DEFAULT '',
  kind TEXT NOT NULL,
  external_id TEXT NOT NULL,
  -- new: to be looked up on the timeline; asking: to be asked about; answered: what it points at has no account yet;
  -- nobody: nothing says whose it is; gone: the vendor does not have it; conflict: what it points at disagrees.
  state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'asking', 'answered', 'linked', 'nobody', 'gone', 'conflict', 'blocked')),
  due_at TIMESTAMPTZ DEFAULT now(), -- when it is looked at next, also after a lease that was not used; NULL: when something changes
  depth SMALLINT NOT NULL DEFAULT 0, -- how many questions led here from an event
  looks INTEGER NOT NULL DEFAULT 0,
  asked_at TIMESTAMPTZ, -- when the vendor answered last
  name TEXT NOT NULL DEFAULT '', -- of a company, as the vendor has it
  evidence JSONB NOT NULL DEFAULT '{}', -- ids and names of fields of the vendor's answer
  why TEXT NOT NULL DEFAULT '', -- for people: what stands in the way
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  seen_at TIMESTAMPTZ NOT NULL DEFAULT now(), -- when an event was last seen to wait for it, to some hours
  UNIQUE (source, kind, external_id, tenant));
CREATE INDEX learned_references_due_idx ON learned_references (state, due_at, id) WHERE due_at IS NOT NULL;

-- What a reference points at.
CREATE TABLE learned_leads (
  reference_id BIGINT NOT NULL REFERENCES learned_references (id) ON DELETE CASCADE,
  origin TEXT NOT NULL CHECK (origin IN ('api', 'timeline')),
  n SMALLINT NOT NULL, -- the most telling first
  source TEXT NOT NULL,
  tenant TEXT NOT NULL DEFAULT '',
  kind TEXT NOT NULL,
  external_id TEXT NOT NULL,
  by TEXT NOT NULL CHECK (by IN ('declared', 'vendor', 'person', 'seen')),
  field TEXT NOT NULL,
  event_id BIGINT, -- of the timeline's event that says so
  seen_on DATE, -- when that happened
  PRIMARY KEY (reference_id, origin, n));
CREATE INDEX learned_leads_lead_idx ON learned_leads (external_id, kind, source);

-- Links that are likely and that a person has to decide about. A row that was rejected stays, so that it never comes again.
CREATE TABLE link_suggestions (
  id BIGSERIAL PRIMARY KEY,
  source TEXT NOT NULL,
  tenant TEXT NOT NULL DEFAULT '',
  kind TEXT NOT NULL,
  external_id TEXT NOT NULL,
  account_id UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  rule SMALLINT NOT NULL,
  level TEXT NOT NULL,
  why TEXT NOT NULL,
  evidence JSONB NOT NULL DEFAULT '{}',
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'accepted', 'rejected')),
  decided_by TEXT NOT NULL DEFAULT '',
  decision_id BIGINT,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  UNIQUE (source, kind, external_id, tenant, account_id));
CREATE INDEX link_suggestions_open_idx ON link_suggestions (id) WHERE status = 'open';

-- How asking each vendor goes.
CREATE TABLE learning_sources (
  source TEXT PRIMARY KEY,
  calls BIGINT NOT NULL DEFAULT 0,
  answers BIGINT NOT NULL DEFAULT 0,
  asked_at TIMESTAMPTZ, -- the last answer
  failing_since TIMESTAMPTZ, -- NULL: the last call succeeded
  error TEXT NOT NULL DEFAULT '',
  retry_at TIMESTAMPTZ);

-- How far the timeline was read for merges at vendors.
CREATE TABLE learning_progress (
  one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
  merges_event BIGINT NOT NULL DEFAULT 0);
INSERT INTO learning_progress DEFAULT VALUES;

-- +goose Down
DROP TABLE learning_progress;
DROP TABLE learning_sources;
DROP TABLE link_suggestions;
DROP TABLE learned_leads;
DROP TABLE learned_references;
