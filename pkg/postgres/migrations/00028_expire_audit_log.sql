-- +goose Up
-- The audit log grows for ever unless somebody decides otherwise (`throughline retention`). Nobody has DELETE on it: whoever
-- may run this deletes its oldest rows from before a time, at most so many, and none that is younger than 90 days.
-- +goose StatementBegin
CREATE FUNCTION expire_audit_log(timestamptz, integer) RETURNS bigint LANGUAGE plpgsql STRICT SECURITY DEFINER AS $$
DECLARE
  gone bigint;
BEGIN
  IF $1 > now() - interval '90 days' THEN
    RAISE EXCEPTION 'the audit log keeps 90 days at least' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  DELETE FROM audit_log WHERE id = ANY (ARRAY (SELECT o.id FROM (SELECT a.id, a.at FROM audit_log a ORDER BY a.id LIMIT $2) AS o WHERE o.at < $1));
  GET DIAGNOSTICS gone = ROW_COUNT;
  RETURN gone;
END
$$;

-- As in 00012.
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION %I.expire_audit_log(timestamptz, integer) SET search_path = pg_catalog, %1$I, pg_temp', current_schema());
  EXECUTE format('REVOKE ALL ON FUNCTION %I.expire_audit_log(timestamptz, integer) FROM PUBLIC', current_schema());
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION expire_audit_log(timestamptz, integer);
