-- +goose Up
-- Until when a vendor has asked to be left alone, and how it said so. free_at moves with every turn that is taken, and
-- does not tell.
ALTER TABLE api_budgets
  ADD COLUMN paused_until TIMESTAMPTZ,
  ADD COLUMN pause_reason TEXT NOT NULL DEFAULT '';

-- Events that the vendor has and the timeline need not: older than what is kept here. They are not missing.
ALTER TABLE reconcile_reports
  ADD COLUMN beyond_retention BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN retained_since TIMESTAMPTZ; -- nothing from before was asked for, because it is not kept

-- +goose Down
ALTER TABLE reconcile_reports DROP COLUMN beyond_retention, DROP COLUMN retained_since;
ALTER TABLE api_budgets DROP COLUMN paused_until, DROP COLUMN pause_reason;
