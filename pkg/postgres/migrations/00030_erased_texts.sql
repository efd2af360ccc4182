-- +goose Up
-- A person's address that was erased on request comes back in no text that people write: neither among other words of an
-- account's name, nor as its owner, nor in a comment.
-- +goose StatementBegin
CREATE FUNCTION addresses_in(text) RETURNS SETOF text LANGUAGE sql IMMUTABLE STRICT AS $$
  WITH plain AS (
    SELECT replace(lower(regexp_replace($1, '%40|&#64;|\\u0040', '@', 'gi')), '%2b', '+') AS t
  ), found AS (
    SELECT (regexp_matches(t, '[a-z0-9._%+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+', 'g'))[1] AS a FROM plain
    UNION ALL SELECT (regexp_matches(t, '[^\s@,;:<>()\[\]"\\]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+', 'g'))[1] FROM plain -- letters of other alphabets
    UNION ALL SELECT btrim(t) FROM plain WHERE position('@' IN t) > 0
  )
  SELECT DISTINCT x.a FROM found CROSS JOIN LATERAL (VALUES (found.a), (ltrim(found.a, '._%+-'))) AS x (a)
$$;

-- The erasure (its id, which lifts it) of an address that stands in a text; NULL: none does.
CREATE FUNCTION erased_address_in(text) RETURNS bigint LANGUAGE sql STABLE STRICT SECURITY DEFINER AS $$
  SELECT min(e.id) FROM (SELECT array_agg('email'::text) AS kinds, array_agg(''::text) AS tenants, array_agg(a) AS ids FROM addresses_in($1) AS a) AS f
    CROSS JOIN LATERAL suppressed(f.kinds, f.kinds, f.tenants, f.ids) AS s JOIN erasures e ON e.decision_id = s.decision_id
$$;

CREATE OR REPLACE FUNCTION refuse_suppressed_account() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  kinds text[] := '{}';
  ids text[] := '{}';
  was text;
  erasure bigint;
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
  -- An import writes tens of thousands of accounts, and each look for what was erased costs more than the writing.
  IF EXISTS (SELECT FROM suppressions WHERE kind = ANY (kinds)) THEN
    SELECT CASE kinds[s.n] WHEN 'account_uuid' THEN 'id' ELSE kinds[s.n] END INTO was
      FROM suppressed(kinds, kinds, array_fill(''::text, ARRAY[cardinality(kinds)]), ids) AS s ORDER BY s.n LIMIT 1;
  END IF;
  IF was IS NULL AND NEW.name ~* '@|%40|&#64;|u0040' AND (TG_OP = 'INSERT' OR NEW.name <> OLD.name) THEN
    erasure := erased_address_in(NEW.name);
    was := CASE WHEN erasure IS NOT NULL THEN 'name' END;
  END IF;
  IF was IS NULL AND NEW.owner ~* '@|%40|&#64;|u0040' AND (TG_OP = 'INSERT' OR NEW.owner <> OLD.owner) THEN
    erasure := erased_address_in(NEW.owner);
    was := CASE WHEN erasure IS NOT NULL THEN 'owner' END;
  END IF;
  IF was IS NOT NULL THEN
    RAISE EXCEPTION 'what would be known of this account was erased on request' USING ERRCODE = 'TL001', COLUMN = was, DETAIL = coalesce(erasure::text, '');
  END IF;
  RETURN NEW;
END
$$;

-- Where the column that the trigger names holds what was erased, the row is refused; or, with a second argument, the column is
-- emptied: what a program writes, where nobody is who could write it in another way.
CREATE FUNCTION refuse_erased() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  erasure bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM suppressions) THEN
    RETURN NEW;
  END IF;
  erasure := erased_address_in(to_jsonb(NEW) ->> TG_ARGV[0]);
  IF erasure IS NULL THEN
    RETURN NEW;
  END IF;
  IF TG_NARGS > 1 THEN
    RETURN jsonb_populate_record(NEW, jsonb_build_object(TG_ARGV[0], ''));
  END IF;
  RAISE EXCEPTION 'a text holds what was erased on request' USING ERRCODE = 'TL001', COLUMN = TG_ARGV[0], DETAIL = erasure::text;
END
$$;

-- The audit log takes every entry, also that of an act which was refused because it names what was erased: without it.
CREATE FUNCTION empty_erased_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM suppressions) THEN
    RETURN NEW;
  END IF;
  IF erased_address_in(NEW.target) IS NOT NULL THEN
    NEW.target := 'erased:' || encode(reference_digest('', 'audit', '', NEW.target), 'hex');
  END IF;
  IF erased_address_in(NEW.why) IS NOT NULL THEN
    NEW.why := '(a text with an address that was erased)';
  END IF;
  RETURN NEW;
END
$$;

-- As in 00012.
DO $$
DECLARE
  f text;
BEGIN
  FOREACH f IN ARRAY ARRAY['addresses_in(text)', 'erased_address_in(text)', 'refuse_suppressed_account()', 'refuse_erased()', 'empty_erased_audit()'] LOOP
    EXECUTE format('ALTER FUNCTION %I.%s SET search_path = pg_catalog, %I, pg_temp', current_schema(), f, current_schema());
    EXECUTE format('REVOKE ALL ON FUNCTION %I.%s FROM PUBLIC', current_schema(), f);
  END LOOP;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER accounts_suppressed_owner BEFORE UPDATE OF owner ON accounts FOR EACH ROW EXECUTE FUNCTION refuse_suppressed_account();
CREATE TRIGGER link_decisions_erased BEFORE INSERT ON link_decisions FOR EACH ROW
  WHEN (NEW.reason ~* '@|%40|&#64;|u0040' AND NEW.learned IN ('operator', 'import')) EXECUTE FUNCTION refuse_erased('reason');
CREATE TRIGGER link_decisions_emptied BEFORE INSERT ON link_decisions FOR EACH ROW
  WHEN (NEW.reason ~* '@|%40|&#64;|u0040' AND NEW.learned NOT IN ('operator', 'import')) EXECUTE FUNCTION refuse_erased('reason', 'empty');
CREATE TRIGGER quarantine_decisions_erased BEFORE INSERT ON quarantine_decisions FOR EACH ROW
  WHEN (NEW.note ~* '@|%40|&#64;|u0040' AND NEW.decided_by NOT IN ('quarantine', 'link', 'sink')) EXECUTE FUNCTION refuse_erased('note');
CREATE TRIGGER quarantine_decisions_emptied BEFORE INSERT ON quarantine_decisions FOR EACH ROW
  WHEN (NEW.note ~* '@|%40|&#64;|u0040' AND NEW.decided_by IN ('quarantine', 'link', 'sink')) EXECUTE FUNCTION refuse_erased('note', 'empty');
CREATE TRIGGER drift_decisions_erased BEFORE INSERT ON drift_decisions FOR EACH ROW
  WHEN (NEW.note ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('note');
CREATE TRIGGER alert_silences_erased BEFORE INSERT ON alert_silences FOR EACH ROW
  WHEN (NEW.comment ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('comment');
CREATE TRIGGER suspect_domains_erased BEFORE INSERT OR UPDATE OF reason ON suspect_domains FOR EACH ROW
  WHEN (NEW.reason ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('reason');
CREATE TRIGGER saved_views_erased BEFORE INSERT OR UPDATE OF name ON saved_views FOR EACH ROW
  WHEN (NEW.name ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('name');
CREATE TRIGGER saved_views_erased_path BEFORE INSERT ON saved_views FOR EACH ROW
  WHEN (NEW.path ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('path');
CREATE TRIGGER replays_erased BEFORE INSERT ON replays FOR EACH ROW
  WHEN (NEW.reason ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('reason');
CREATE TRIGGER erasures_erased BEFORE INSERT ON erasures FOR EACH ROW
  WHEN (NEW.reason ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('reason');
CREATE TRIGGER audit_log_erased BEFORE INSERT ON audit_log FOR EACH ROW
  WHEN (NEW.target || ' ' || NEW.why ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION empty_erased_audit();

-- +goose Down
DROP TRIGGER audit_log_erased ON audit_log;
DROP TRIGGER erasures_erased ON erasures;
DROP TRIGGER replays_erased ON replays;
DROP TRIGGER saved_views_erased_path ON saved_views;
DROP TRIGGER saved_views_erased ON saved_views;
DROP TRIGGER suspect_domains_erased ON suspect_domains;
DROP TRIGGER alert_silences_erased ON alert_silences;
DROP TRIGGER drift_decisions_erased ON drift_decisions;
DROP TRIGGER quarantine_decisions_emptied ON quarantine_decisions;
DROP TRIGGER quarantine_decisions_erased ON quarantine_decisions;
DROP TRIGGER link_decisions_emptied ON link_decisions;
DROP TRIGGER link_decisions_erased ON link_decisions;
DROP TRIGGER accounts_suppressed_owner ON accounts;
DROP FUNCTION empty_erased_audit();
DROP FUNCTION refuse_erased();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_suppressed_account() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
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

DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION %I.refuse_suppressed_account() SET search_path = pg_catalog, %1$I, pg_temp', current_schema());
END
$$;
-- +goose StatementEnd
DROP FUNCTION erased_address_in(text);
DROP FUNCTION addresses_in(text);
