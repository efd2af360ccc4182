-- +goose Up
-- The outbox of releases: what is to be published (published_at is null), and what was and is on its way. Narrow, because
-- each record passes it. A row counts while its record is replaying since released_at; others are of older programs, which
-- do not know this table, and are dropped when they are met. It has no foreign key, which would lock the record once more.
CREATE TABLE quarantine_outbox (
  quarantine_id BIGINT PRIMARY KEY,
  released_at TIMESTAMPTZ NOT NULL, -- the record's status_at
  published_at TIMESTAMPTZ);
CREATE INDEX quarantine_outbox_waiting_idx ON quarantine_outbox (quarantine_id) WHERE published_at IS NULL;
CREATE INDEX quarantine_outbox_published_idx ON quarantine_outbox (published_at) WHERE published_at IS NOT NULL;
INSERT INTO quarantine_outbox (quarantine_id, released_at, published_at) SELECT id, status_at, published_at FROM quarantine WHERE status = 'replaying';
DROP INDEX quarantine_replaying_idx;

-- The same decision about many records is one row: quarantine_id is null then, and quarantine_ids has them, in order.
ALTER TABLE quarantine_decisions ALTER COLUMN quarantine_id DROP NOT NULL;
ALTER TABLE quarantine_decisions ADD COLUMN quarantine_ids BIGINT[], ADD COLUMN first_id BIGINT, ADD COLUMN last_id BIGINT;
CREATE INDEX quarantine_decisions_many_idx ON quarantine_decisions (last_id, first_id) WHERE quarantine_ids IS NOT NULL;

-- Held off are few.
CREATE INDEX quarantine_held_idx ON quarantine (held_until) WHERE status = 'open' AND held_until IS NOT NULL;

-- +goose Down
DROP INDEX quarantine_held_idx;
INSERT INTO quarantine_decisions (quarantine_id, from_status, to_status, decided_by, decided_at, note)
SELECT q.id, from_status, to_status, decided_by, decided_at, note FROM quarantine_decisions d CROSS JOIN unnest(quarantine_ids) AS r (id) JOIN quarantine q ON q.id = r.id ORDER BY d.id, q.id;
DELETE FROM quarantine_decisions WHERE quarantine_id IS NULL;
ALTER TABLE quarantine_decisions DROP COLUMN quarantine_ids, DROP COLUMN first_id, DROP COLUMN last_id;
ALTER TABLE quarantine_decisions ALTER COLUMN quarantine_id SET NOT NULL;
UPDATE quarantine q SET published_at = o.published_at FROM quarantine_outbox o WHERE o.quarantine_id = q.id AND q.status = 'replaying' AND q.status_at = o.released_at;
CREATE INDEX quarantine_replaying_idx ON quarantine (published_at) WHERE status = 'replaying';
DROP TABLE quarantine_outbox;
