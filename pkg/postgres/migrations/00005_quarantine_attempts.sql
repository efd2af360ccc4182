-- +goose Up
-- Where the attempts failed ("raw.stripe/0/17"), the newest last: a dead letter that is delivered again says nothing
-- new, and must not open a record that has been cleared meanwhile.
ALTER TABLE quarantine ADD COLUMN tried TEXT[] NOT NULL DEFAULT '{}';
-- What is under way: what was published long ago and did not arrive is published again.
CREATE INDEX quarantine_replaying_idx ON quarantine (published_at) WHERE status = 'replaying';

-- +goose Down
DROP INDEX quarantine_replaying_idx;
ALTER TABLE quarantine DROP COLUMN tried;
