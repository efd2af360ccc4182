-- +goose Up
-- Nothing is linked to an account that is being erased, merged into it or moved to or from it: its events would be erased, too,
-- or escape. Whoever begins to erase an account locks its row, and so does whoever decides about it, so that one of the two
-- sees the other.
-- +goose StatementBegin
CREATE FUNCTION refuse_erasing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  PERFORM FROM accounts WHERE id IN (NEW.from_account, NEW.to_account) ORDER BY id FOR KEY SHARE;
  -- A look at what is suppressed would cost an import more than its writing; when an erasure is done, the account is gone.
  IF EXISTS (SELECT FROM erasures WHERE state = 'running' AND target -> 'accounts' ?| ARRAY[NEW.from_account::text, NEW.to_account::text]) THEN
    RAISE EXCEPTION 'an account of this decision is being erased on request' USING ERRCODE = 'TL001', COLUMN = 'account';
  END IF;
  RETURN NEW;
END
$$;
-- As in 00012.
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION %I.refuse_erasing() SET search_path = pg_catalog, %I, pg_temp', current_schema(), current_schema());
  EXECUTE format('REVOKE ALL ON FUNCTION %I.refuse_erasing() FROM PUBLIC', current_schema());
END
$$;
-- +goose StatementEnd
CREATE TRIGGER link_decisions_erasing BEFORE INSERT ON link_decisions FOR EACH ROW
  WHEN (NEW.verb <> 'erase' AND (NEW.from_account IS NOT NULL OR NEW.to_account IS NOT NULL)) EXECUTE FUNCTION refuse_erasing();

-- +goose Down
DROP TRIGGER link_decisions_erasing ON link_decisions;
DROP FUNCTION refuse_erasing();
