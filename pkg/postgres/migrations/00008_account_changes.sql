-- +goose Up
-- The outbox of topic account-changes: which events left which account. A row is written in the transaction that
-- moves the event, and published afterwards in the order of the ids.
CREATE TABLE account_changes (
  id BIGSERIAL PRIMARY KEY,
  source TEXT NOT NULL,
  source_event_id TEXT NOT NULL,
  from_account UUID NOT NULL,
  to_account UUID, -- NULL: the event is on no account now
  decision_id BIGINT NOT NULL,
  at TIMESTAMPTZ NOT NULL DEFAULT now(),
  published_at TIMESTAMPTZ);
CREATE INDEX account_changes_outbox_idx ON account_changes (id) WHERE published_at IS NULL;

-- Who publishes, and until when nobody else may: two publishers side by side would break the order. A lease needs
-- no session, so it works behind a transaction pooler.
CREATE TABLE account_changes_lease (
  one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
  holder UUID,
  until TIMESTAMPTZ NOT NULL DEFAULT '-infinity');
INSERT INTO account_changes_lease DEFAULT VALUES;

-- +goose Down
DROP TABLE account_changes_lease;
DROP TABLE account_changes;
