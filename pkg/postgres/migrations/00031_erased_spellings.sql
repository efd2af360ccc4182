-- +goose Up
-- How an address may be spelled in a text, in URLs, HTML and JSON, once over or in each other (a link that redirects has
-- %2540): patterns for ~* and regexp_replace. pkg/resolve has the same for programs, and a test that they are the same.
CREATE FUNCTION spelled_at() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT '@|%(?:25){0,3}40|&(?:amp;){0,2}(?:#0{0,6}64|#x0{0,6}40|commat);|\\u0040'
$$;
CREATE FUNCTION spelled_plus() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT '%(?:25){0,3}2b|&(?:amp;){0,2}(?:#0{0,6}43|#x0{0,6}2b|plus);|\\u002b'
$$;
-- What ends a word in a URL: an escape of what is neither a letter or digit nor one of . _ % + -
CREATE FUNCTION spelled_gap() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT '%(?:25){0,3}(?:[01][0-9a-f]|2[0-46-9acf]|3[a-f]|5[b-e]|60|7[b-f])'
$$;

CREATE OR REPLACE FUNCTION addresses_in(text) RETURNS SETOF text LANGUAGE sql IMMUTABLE STRICT AS $$
  WITH plain AS (
    SELECT lower(regexp_replace(regexp_replace(regexp_replace($1, spelled_at(), '@', 'gi'), spelled_plus(), '+', 'gi'), spelled_gap(), ' ', 'gi')) AS t
  ), found AS (
    SELECT (regexp_matches(t, '[a-z0-9._%+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+', 'g'))[1] AS a FROM plain
    UNION ALL SELECT (regexp_matches(t, '[^\s@,;:<>()\[\]"\\]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+', 'g'))[1] FROM plain -- letters of other alphabets
    UNION ALL SELECT btrim(t) FROM plain WHERE position('@' IN t) > 0
  )
  SELECT DISTINCT x.a FROM found CROSS JOIN LATERAL (VALUES (found.a), (ltrim(found.a, '._%+-'))) AS x (a)
$$;

-- As in 00030, with all spellings.
-- +goose StatementBegin
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
  IF was IS NULL AND NEW.name ~ '[@%&\\]' AND NEW.name ~* spelled_at() AND (TG_OP = 'INSERT' OR NEW.name <> OLD.name) THEN
    erasure := erased_address_in(NEW.name);
    was := CASE WHEN erasure IS NOT NULL THEN 'name' END;
  END IF;
  IF was IS NULL AND NEW.owner ~ '[@%&\\]' AND NEW.owner ~* spelled_at() AND (TG_OP = 'INSERT' OR NEW.owner <> OLD.owner) THEN
    erasure := erased_address_in(NEW.owner);
    was := CASE WHEN erasure IS NOT NULL THEN 'owner' END;
  END IF;
  IF was IS NOT NULL THEN
    RAISE EXCEPTION 'what would be known of this account was erased on request' USING ERRCODE = 'TL001', COLUMN = was, DETAIL = coalesce(erasure::text, '');
  END IF;
  RETURN NEW;
END
$$;

-- A reference without a tenant stands for every tenant, also for the one in which it was erased: suppressions have a digest
-- of it in the tenant E'\x1f', which no tenant is.
CREATE OR REPLACE FUNCTION refuse_suppressed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM suppressions) OR NOT EXISTS (SELECT FROM suppressed(ARRAY[NEW.source], ARRAY[NEW.kind], ARRAY[coalesce(nullif(NEW.tenant, ''), E'\x1f')], ARRAY[NEW.external_id])) THEN
    RETURN NEW;
  END IF;
  IF TG_TABLE_NAME IN ('account_links', 'account_link_denials') THEN
    RAISE EXCEPTION 'a reference was erased on request, and is not linked again' USING ERRCODE = 'TL001';
  END IF;
  RETURN NULL;
END
$$;

-- The audit log takes every entry, and neither its target nor its reason nor its author is an address that was erased.
CREATE OR REPLACE FUNCTION empty_erased_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
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
  IF NEW.who !~ '^(user|token):' AND erased_address_in(NEW.who) IS NOT NULL THEN
    NEW.who := 'erased:' || left(encode(reference_digest('', 'author', '', NEW.who), 'hex'), 16);
  END IF;
  RETURN NEW;
END
$$;
-- +goose StatementEnd

-- The digest of a reference that has a tenant, for whoever writes it without one.
ALTER TABLE suppressions ADD COLUMN any_tenant BOOLEAN NOT NULL DEFAULT false;

-- +goose StatementBegin
-- The triggers of 00030 look at every text in which an address may be spelled. And who did what is a text like the others,
-- unless it is a user of Throughline who has signed in (user:…) or a token (token:…): on the command line anybody is
-- whoever they say.
DO $$
DECLARE
  t record;
  f text;
BEGIN
  FOR t IN SELECT * FROM (VALUES
      ('link_decisions_erased', 'INSERT', 'link_decisions', 'reason', 'NEW.learned IN (''operator'', ''import'')', ''),
      ('link_decisions_emptied', 'INSERT', 'link_decisions', 'reason', 'NEW.learned NOT IN (''operator'', ''import'')', ', ''empty'''),
      ('quarantine_decisions_erased', 'INSERT', 'quarantine_decisions', 'note', 'NEW.decided_by NOT IN (''quarantine'', ''link'', ''sink'')', ''),
      ('quarantine_decisions_emptied', 'INSERT', 'quarantine_decisions', 'note', 'NEW.decided_by IN (''quarantine'', ''link'', ''sink'')', ', ''empty'''),
      ('drift_decisions_erased', 'INSERT', 'drift_decisions', 'note', 'true', ''),
      ('alert_silences_erased', 'INSERT', 'alert_silences', 'comment', 'true', ''),
      ('suspect_domains_erased', 'INSERT OR UPDATE OF reason', 'suspect_domains', 'reason', 'true', ''),
      ('saved_views_erased', 'INSERT OR UPDATE OF name', 'saved_views', 'name', 'true', ''),
      ('saved_views_erased_path', 'INSERT', 'saved_views', 'path', 'true', ''),
      ('replays_erased', 'INSERT', 'replays', 'reason', 'true', ''),
      ('erasures_erased', 'INSERT', 'erasures', 'reason', 'true', '')
    ) AS v (name, events, tab, col, also, more) LOOP
    EXECUTE format('DROP TRIGGER %I ON %I', t.name, t.tab);
    EXECUTE format('CREATE TRIGGER %I BEFORE %s ON %I FOR EACH ROW WHEN (NEW.%I ~ ''[@%%&\\]'' AND %s) EXECUTE FUNCTION refuse_erased(%L%s)', t.name, t.events, t.tab, t.col, t.also, t.col, t.more);
  END LOOP;
  FOR t IN SELECT * FROM (VALUES -- a link's and a dead letter's author is that of the decision, which is written with it
      ('accounts', 'created_by'), ('link_decisions', 'author'), ('quarantine_decisions', 'decided_by'), ('drift_decisions', 'by'), ('drift_expectations', 'declared_by'),
      ('link_suggestions', 'decided_by'), ('suspect_domains', 'decided_by'), ('alert_silences', 'created_by'), ('alert_silences', 'ended_by'), ('replays', 'started_by'),
      ('pull_runs', 'started_by'), ('pull_requests', 'asked_by'), ('reconcile_reports', 'started_by'), ('erasures', 'requested_by'), ('erasures', 'lifted_by')
    ) AS v (tab, col) LOOP
    EXECUTE format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE OF %I ON %I FOR EACH ROW WHEN (NEW.%2$I ~ ''[@%%&\\]'' AND NEW.%2$I !~ ''^(user|token):'') EXECUTE FUNCTION refuse_erased(%2$L)',
      t.tab || '_erased_' || t.col, t.col, t.tab);
  END LOOP;
  -- As in 00012.
  FOREACH f IN ARRAY ARRAY['spelled_at()', 'spelled_plus()', 'spelled_gap()', 'addresses_in(text)', 'refuse_suppressed_account()', 'refuse_suppressed()', 'empty_erased_audit()'] LOOP
    EXECUTE format('ALTER FUNCTION %I.%s SET search_path = pg_catalog, %I, pg_temp', current_schema(), f, current_schema());
    EXECUTE format('REVOKE ALL ON FUNCTION %I.%s FROM PUBLIC', current_schema(), f);
  END LOOP;
END
$$;
-- +goose StatementEnd
DROP TRIGGER audit_log_erased ON audit_log;
CREATE TRIGGER audit_log_erased BEFORE INSERT ON audit_log FOR EACH ROW
  WHEN (NEW.target || NEW.why || NEW.who ~ '[@%&\\]') EXECUTE FUNCTION empty_erased_audit();
-- Accounts' names and owners are looked at by accounts_suppressed and accounts_suppressed_owner as they were.

-- +goose Down
DROP TRIGGER erasures_erased_lifted_by ON erasures;
DROP TRIGGER erasures_erased_requested_by ON erasures;
DROP TRIGGER reconcile_reports_erased_started_by ON reconcile_reports;
DROP TRIGGER pull_requests_erased_asked_by ON pull_requests;
DROP TRIGGER pull_runs_erased_started_by ON pull_runs;
DROP TRIGGER replays_erased_started_by ON replays;
DROP TRIGGER alert_silences_erased_ended_by ON alert_silences;
DROP TRIGGER alert_silences_erased_created_by ON alert_silences;
DROP TRIGGER suspect_domains_erased_decided_by ON suspect_domains;
DROP TRIGGER link_suggestions_erased_decided_by ON link_suggestions;
DROP TRIGGER drift_expectations_erased_declared_by ON drift_expectations;
DROP TRIGGER drift_decisions_erased_by ON drift_decisions;
DROP TRIGGER quarantine_decisions_erased_decided_by ON quarantine_decisions;
DROP TRIGGER link_decisions_erased_author ON link_decisions;
DROP TRIGGER accounts_erased_created_by ON accounts;
DELETE FROM suppressions WHERE any_tenant;
ALTER TABLE suppressions DROP COLUMN any_tenant;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION addresses_in(text) RETURNS SETOF text LANGUAGE sql IMMUTABLE STRICT AS $$
  WITH plain AS (
    SELECT replace(lower(regexp_replace($1, '%40|&#64;|\\u0040', '@', 'gi')), '%2b', '+') AS t
  ), found AS (
    SELECT (regexp_matches(t, '[a-z0-9._%+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+', 'g'))[1] AS a FROM plain
    UNION ALL SELECT (regexp_matches(t, '[^\s@,;:<>()\[\]"\\]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+', 'g'))[1] FROM plain -- letters of other alphabets
    UNION ALL SELECT btrim(t) FROM plain WHERE position('@' IN t) > 0
  )
  SELECT DISTINCT x.a FROM found CROSS JOIN LATERAL (VALUES (found.a), (ltrim(found.a, '._%+-'))) AS x (a)
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

CREATE OR REPLACE FUNCTION empty_erased_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
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

CREATE OR REPLACE FUNCTION refuse_suppressed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM suppressions) OR NOT EXISTS (SELECT FROM suppressed(ARRAY[NEW.source], ARRAY[NEW.kind], ARRAY[NEW.tenant], ARRAY[NEW.external_id])) THEN
    RETURN NEW;
  END IF;
  IF TG_TABLE_NAME IN ('account_links', 'account_link_denials') THEN
    RAISE EXCEPTION 'a reference was erased on request, and is not linked again' USING ERRCODE = 'TL001';
  END IF;
  RETURN NULL;
END
$$;

DO $$
DECLARE
  f text;
BEGIN
  FOREACH f IN ARRAY ARRAY['addresses_in(text)', 'refuse_suppressed_account()', 'refuse_suppressed()', 'empty_erased_audit()'] LOOP
    EXECUTE format('ALTER FUNCTION %I.%s SET search_path = pg_catalog, %I, pg_temp', current_schema(), f, current_schema());
  END LOOP;
END
$$;
-- +goose StatementEnd
DROP FUNCTION spelled_gap();
DROP FUNCTION spelled_plus();
DROP FUNCTION spelled_at();
DROP TRIGGER link_decisions_erased ON link_decisions;
CREATE TRIGGER link_decisions_erased BEFORE INSERT ON link_decisions FOR EACH ROW
  WHEN (NEW.reason ~* '@|%40|&#64;|u0040' AND NEW.learned IN ('operator', 'import')) EXECUTE FUNCTION refuse_erased('reason');
DROP TRIGGER link_decisions_emptied ON link_decisions;
CREATE TRIGGER link_decisions_emptied BEFORE INSERT ON link_decisions FOR EACH ROW
  WHEN (NEW.reason ~* '@|%40|&#64;|u0040' AND NEW.learned NOT IN ('operator', 'import')) EXECUTE FUNCTION refuse_erased('reason', 'empty');
DROP TRIGGER quarantine_decisions_erased ON quarantine_decisions;
CREATE TRIGGER quarantine_decisions_erased BEFORE INSERT ON quarantine_decisions FOR EACH ROW
  WHEN (NEW.note ~* '@|%40|&#64;|u0040' AND NEW.decided_by NOT IN ('quarantine', 'link', 'sink')) EXECUTE FUNCTION refuse_erased('note');
DROP TRIGGER quarantine_decisions_emptied ON quarantine_decisions;
CREATE TRIGGER quarantine_decisions_emptied BEFORE INSERT ON quarantine_decisions FOR EACH ROW
  WHEN (NEW.note ~* '@|%40|&#64;|u0040' AND NEW.decided_by IN ('quarantine', 'link', 'sink')) EXECUTE FUNCTION refuse_erased('note', 'empty');
DROP TRIGGER drift_decisions_erased ON drift_decisions;
CREATE TRIGGER drift_decisions_erased BEFORE INSERT ON drift_decisions FOR EACH ROW
  WHEN (NEW.note ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('note');
DROP TRIGGER alert_silences_erased ON alert_silences;
CREATE TRIGGER alert_silences_erased BEFORE INSERT ON alert_silences FOR EACH ROW
  WHEN (NEW.comment ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('comment');
DROP TRIGGER suspect_domains_erased ON suspect_domains;
CREATE TRIGGER suspect_domains_erased BEFORE INSERT OR UPDATE OF reason ON suspect_domains FOR EACH ROW
  WHEN (NEW.reason ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('reason');
DROP TRIGGER saved_views_erased ON saved_views;
CREATE TRIGGER saved_views_erased BEFORE INSERT OR UPDATE OF name ON saved_views FOR EACH ROW
  WHEN (NEW.name ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('name');
DROP TRIGGER saved_views_erased_path ON saved_views;
CREATE TRIGGER saved_views_erased_path BEFORE INSERT ON saved_views FOR EACH ROW
  WHEN (NEW.path ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('path');
DROP TRIGGER replays_erased ON replays;
CREATE TRIGGER replays_erased BEFORE INSERT ON replays FOR EACH ROW
  WHEN (NEW.reason ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('reason');
DROP TRIGGER erasures_erased ON erasures;
CREATE TRIGGER erasures_erased BEFORE INSERT ON erasures FOR EACH ROW
  WHEN (NEW.reason ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION refuse_erased('reason');
DROP TRIGGER audit_log_erased ON audit_log;
CREATE TRIGGER audit_log_erased BEFORE INSERT ON audit_log FOR EACH ROW
  WHEN (NEW.target || ' ' || NEW.why ~* '@|%40|&#64;|u0040') EXECUTE FUNCTION empty_erased_audit();
