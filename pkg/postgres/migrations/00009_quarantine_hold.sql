-- +goose Up
-- A record that a link released and that came back unresolved is held off, longer each time, because the two services
-- disagree about the rules: released again at once it would go round for ever.
ALTER TABLE quarantine ADD COLUMN releases INTEGER NOT NULL DEFAULT 0; -- by links, since a person last released it
ALTER TABLE quarantine ADD COLUMN ruling TEXT; -- why a link released it last
ALTER TABLE quarantine ADD COLUMN held_until TIMESTAMPTZ; -- the same ruling releases it no earlier
-- The place of the record within a page, from 0; -1: it is a whole record.
ALTER TABLE quarantine ADD COLUMN raw_index INTEGER NOT NULL DEFAULT -1;

-- +goose Down
ALTER TABLE quarantine DROP COLUMN releases, DROP COLUMN ruling, DROP COLUMN held_until, DROP COLUMN raw_index;
