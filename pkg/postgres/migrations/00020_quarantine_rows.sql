-- +goose Up
-- A released record's row is written anew three times, in each index, too. Its bytes never change: apart from the row
-- they are not copied each time. Those of rows that are there go with their next update.
ALTER TABLE quarantine SET (toast_tuple_target = 1024);
-- Only what is open is looked for by its references, of which a record has many.
DROP INDEX quarantine_reference_keys_idx;
CREATE INDEX quarantine_reference_keys_idx ON quarantine USING GIN (reference_keys) WHERE status = 'open';
-- A list of what is open, the last seen first, does not read the whole table.
CREATE INDEX quarantine_open_last_seen_idx ON quarantine (last_seen DESC, id DESC) WHERE status = 'open';

-- +goose Down
DROP INDEX quarantine_open_last_seen_idx;
DROP INDEX quarantine_reference_keys_idx;
CREATE INDEX quarantine_reference_keys_idx ON quarantine USING GIN (reference_keys);
ALTER TABLE quarantine RESET (toast_tuple_target);
