-- +goose Up
-- Addresses of the console that somebody gave a name: a path with its query, without a host.
CREATE TABLE saved_views (
  id BIGSERIAL PRIMARY KEY,
  owner TEXT NOT NULL, -- who saved it, as in audit_log
  name TEXT NOT NULL CHECK (name <> '' AND octet_length(name) <= 400),
  path TEXT NOT NULL CHECK (path LIKE '/%' AND path NOT LIKE '//%' AND octet_length(path) <= 4000),
  shared BOOLEAN NOT NULL DEFAULT false, -- with everybody who may sign in
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  UNIQUE (owner, name));
CREATE INDEX saved_views_shared_idx ON saved_views (name) WHERE shared;

-- +goose Down
DROP TABLE saved_views;
