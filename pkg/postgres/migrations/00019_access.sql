-- +goose Up
-- Who may use the console and the HTTP API. The tokens themselves are not here: their SHA-256 is.
CREATE TABLE api_tokens (
  id BIGSERIAL PRIMARY KEY,
  name TEXT NOT NULL CHECK (name <> '' AND octet_length(name) <= 400),
  role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
  token_sha256 BYTEA NOT NULL UNIQUE,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  expires_at TIMESTAMPTZ,
  last_used_at TIMESTAMPTZ, -- to the hour
  revoked_at TIMESTAMPTZ);
CREATE UNIQUE INDEX api_tokens_name_idx ON api_tokens (name) WHERE revoked_at IS NULL;

-- People who have signed in to the console. A session that a token opened ends with the token.
CREATE TABLE console_sessions (
  session_sha256 BYTEA PRIMARY KEY,
  who TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
  token_id BIGINT REFERENCES api_tokens (id) ON DELETE CASCADE,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  seen_at TIMESTAMPTZ NOT NULL DEFAULT now(), -- to the minute
  expires_at TIMESTAMPTZ NOT NULL);
CREATE INDEX console_sessions_expires_at_idx ON console_sessions (expires_at);
CREATE INDEX console_sessions_token_id_idx ON console_sessions (token_id) WHERE token_id IS NOT NULL;

-- Who did what, or tried to. Nobody has the privilege to change or delete a row.
CREATE TABLE audit_log (
  id BIGSERIAL PRIMARY KEY,
  at TIMESTAMPTZ NOT NULL DEFAULT now(),
  who TEXT NOT NULL,
  role TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  result TEXT NOT NULL CHECK (result IN ('done', 'refused', 'failed')),
  why TEXT NOT NULL DEFAULT '',
  via TEXT NOT NULL,
  dry_run BOOLEAN NOT NULL DEFAULT false);
CREATE INDEX audit_log_who_idx ON audit_log (who, id);
CREATE INDEX audit_log_action_idx ON audit_log (action, id);

-- +goose Down
DROP TABLE audit_log;
DROP TABLE console_sessions;
DROP TABLE api_tokens;
