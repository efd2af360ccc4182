-- +goose Up
-- A released record's row is written anew three times, in each index, too. Its bytes never change: apart from the row
-- they are not copied each time. Those of rows that are there go with their next update.
ALTER TABLE quarantine SET (toast_tuple_target = 1024);
-- Only what is open is looked for by its references, of which a record has many.
DROP INDEX quarantine_reference_keys_idx;
CREATE INDEX quarantine_reference_keys_idx ON quarantine USING GIN (reference_keys) WHERE status = 'open';

-- +goose Down
DROP INDEX quarantine_reference_keys_idx;
CREATE INDEX quarantine_reference_keys_idx ON quarantine USING GIN (reference_keys);
ALTER TABLE quarantine RESET (toast_tuple_target);
