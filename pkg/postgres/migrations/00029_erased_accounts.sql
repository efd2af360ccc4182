-- +goose Up
-- No account takes up again what was erased on request, whoever tries: its domain, its id, or a person's address as its
-- name. Events of such a domain are passed over, so that the account's timeline would stay empty and nobody would know why.
-- +goose StatementBegin
CREATE FUNCTION refuse_suppressed_account() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  kinds text[] := '{}';
  ids text[] := '{}';
  kind text;
BEGIN
  IF NOT EXISTS (SELECT FROM suppressions) THEN
    RETURN NEW;
  END IF;
  IF TG_OP = 'INSERT' THEN
    kinds := kinds || 'account_uuid'::text;
    ids := ids || NEW.id::text;
  END IF;
  IF NEW.domain <> '' AND (TG_OP = 'INSERT' OR NEW.domain IS DISTINCT FROM OLD.domain) THEN
    kinds := kinds || 'domain'::text;
    ids := ids || lower(NEW.domain);
  END IF;
  IF position('@' IN NEW.name) > 0 AND (TG_OP = 'INSERT' OR NEW.name <> OLD.name) THEN
    kinds := kinds || 'email'::text;
    ids := ids || lower(btrim(NEW.name));
  END IF;
  SELECT kinds[s.n] INTO kind FROM suppressed(kinds, kinds, array_fill(''::text, ARRAY[cardinality(kinds)]), ids) AS s ORDER BY s.n LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'what would be known of this account was erased on request' USING ERRCODE = 'TL001',
      COLUMN = CASE kind WHEN 'account_uuid' THEN 'id' WHEN 'email' THEN 'name' ELSE kind END;
  END IF;
  RETURN NEW;
END
$$;

-- As in 00012.
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION %I.refuse_suppressed_account() SET search_path = pg_catalog, %1$I, pg_temp', current_schema());
  EXECUTE format('REVOKE ALL ON FUNCTION %I.refuse_suppressed_account() FROM PUBLIC', current_schema());
END
$$;
-- +goose StatementEnd
CREATE TRIGGER accounts_suppressed BEFORE INSERT OR UPDATE OF domain, name ON accounts FOR EACH ROW EXECUTE FUNCTION refuse_suppressed_account();

-- Up to when a run was to bring its period in: that of its checkpoint moves on with later runs. NULL: a run of an earlier version.
ALTER TABLE pull_runs ADD COLUMN to_time TIMESTAMPTZ;

-- +goose Down
ALTER TABLE pull_runs DROP COLUMN to_time;
DROP TRIGGER accounts_suppressed ON accounts;
DROP FUNCTION refuse_suppressed_account();
