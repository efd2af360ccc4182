-- +goose Up
-- Who made the account: a person, or the program that imported it. Links have said so from the start.
ALTER TABLE accounts ADD COLUMN created_by TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE accounts DROP COLUMN created_by;
