-- +goose Up
-- What was erased on request, and what must not come back. An erasure is a row; whoever erases takes the oldest that is
-- not finished and goes on where it stands.
CREATE TABLE erasures (
  id BIGSERIAL PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('account', 'reference')),
  label TEXT NOT NULL, -- for people, without the value: "account", "email", "hubspot contact"
  digest BYTEA NOT NULL, -- of the reference, or of the account's id
  decision_id BIGINT NOT NULL REFERENCES link_decisions (id),
  state TEXT NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'lifted')),
  stage TEXT NOT NULL DEFAULT 'fence', -- what is under way
  next BIGINT NOT NULL DEFAULT 0, -- and from which id on
  fence TEXT[], -- the transactions that may have stored events or dead letters without having seen it
  target JSONB, -- what is looked for, in the clear, while it runs; NULL: finished
  counts JSONB NOT NULL DEFAULT '{}', -- rows by table
  requested_by TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  finished_at TIMESTAMPTZ,
  lifted_by TEXT NOT NULL DEFAULT '',
  lifted_at TIMESTAMPTZ);
CREATE INDEX erasures_running_idx ON erasures (id) WHERE state = 'running';

-- References that are erased, as keyed digests (HMAC-SHA-256). source and kind say which references are worth a digest.
CREATE TABLE suppressions (
  digest BYTEA NOT NULL,
  erasure_id BIGINT NOT NULL REFERENCES erasures (id),
  source TEXT NOT NULL,
  kind TEXT NOT NULL,
  decision_id BIGINT NOT NULL,
  mentions BOOLEAN NOT NULL, -- events that only mention it are erased, too
  PRIMARY KEY (digest, erasure_id));
CREATE INDEX suppressions_kind_idx ON suppressions (kind, source);
CREATE INDEX suppressions_mentions_idx ON suppressions (mentions) WHERE mentions;
CREATE INDEX suppressions_erasure_id_idx ON suppressions (erasure_id);

-- The key of the digests, as the two blocks that HMAC (RFC 2104) makes of it. Nobody reads it but the functions below:
-- with it, whoever has a list of addresses finds out which of them are erased.
CREATE TABLE suppression_key (
  one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
  inner_block BYTEA NOT NULL,
  outer_block BYTEA NOT NULL);

-- gen_random_uuid has 122 bits of the server's strong random numbers. XOR is done a byte at a time.
-- +goose StatementBegin
DO $$
DECLARE
  key bytea := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
  i bytea := decode(repeat('36', 64), 'hex');
  o bytea := decode(repeat('5c', 64), 'hex');
BEGIN
  FOR n IN 0..31 LOOP
    i := set_byte(i, n, get_byte(i, n) # get_byte(key, n));
    o := set_byte(o, n, get_byte(o, n) # get_byte(key, n));
  END LOOP;
  INSERT INTO suppression_key (inner_block, outer_block) VALUES (i, o);
END
$$;

-- The digest of a reference: its source, kind, tenant and id. E-mail addresses, domains and account ids are the same whichever source names them.
CREATE FUNCTION reference_digest(text, text, text, text) RETURNS bytea LANGUAGE sql STABLE STRICT SECURITY DEFINER AS $$
  SELECT sha256(k.outer_block || sha256(k.inner_block || convert_to(
    CASE WHEN $2 IN ('email', 'domain', 'account_uuid') THEN $2 || E'\x1f' || $2 || E'\x1f' ELSE $1 || E'\x1f' || $2 || E'\x1f' || $3 END || E'\x1f' || $4, 'UTF8')))
  FROM suppression_key k
$$;

-- Which of these references (sources, kinds, tenants, ids) are erased, by place, from 1: by which decision, and whether a mention is enough. A
-- reference without a tenant that is erased is erased in every tenant.
CREATE FUNCTION suppressed(text[], text[], text[], text[])
RETURNS TABLE (n bigint, decision_id bigint, mentions boolean) LANGUAGE sql STABLE STRICT SECURITY DEFINER AS $$
  SELECT r.n, s.decision_id, s.mentions
  FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS r (source, kind, tenant, id, n)
  CROSS JOIN LATERAL (
    SELECT min(x.decision_id) AS decision_id, bool_or(x.mentions) AS mentions FROM suppressions x
    WHERE x.digest = ANY (ARRAY[reference_digest(r.source, r.kind, coalesce(r.tenant, ''), r.id), reference_digest(r.source, r.kind, '', r.id)])
    HAVING count(*) > 0) AS s
  WHERE r.source IS NOT NULL AND r.kind IS NOT NULL AND r.id IS NOT NULL
    AND EXISTS (SELECT FROM suppressions k WHERE k.kind = r.kind AND k.source IN (r.source, r.kind))
$$;

-- Nothing links, suggests or looks up what is erased, whoever tries. A link is refused, because somebody wants it; what a
-- program would learn is passed over.
CREATE FUNCTION refuse_suppressed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
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

-- How many events of a source were passed over because what they refer to is erased.
CREATE TABLE suppressed_events (
  source TEXT PRIMARY KEY,
  events BIGINT NOT NULL,
  last_at TIMESTAMPTZ NOT NULL DEFAULT now());

-- Raw records that are published once more, by the time at which the brokers got them: how far each is.
CREATE TABLE replays (
  id BIGSERIAL PRIMARY KEY,
  source TEXT NOT NULL,
  topic TEXT NOT NULL,
  since TIMESTAMPTZ NOT NULL,
  until TIMESTAMPTZ NOT NULL,
  types TEXT[] NOT NULL DEFAULT '{}', -- of events; none: all
  places JSONB NOT NULL, -- by partition: {"next": 5, "end": 9}
  read BIGINT NOT NULL DEFAULT 0,
  published BIGINT NOT NULL DEFAULT 0,
  started_by TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  finished_at TIMESTAMPTZ);
CREATE INDEX replays_unfinished_idx ON replays (id) WHERE finished_at IS NULL;

-- As in 00012: what runs as the owner looks nowhere but in the owner's schema, and is not everybody's.
DO $$
DECLARE
  f text;
BEGIN
  FOREACH f IN ARRAY ARRAY['reference_digest(text, text, text, text)', 'suppressed(text[], text[], text[], text[])', 'refuse_suppressed()'] LOOP
    EXECUTE format('ALTER FUNCTION %I.%s SET search_path = pg_catalog, %I, pg_temp', current_schema(), f, current_schema());
    EXECUTE format('REVOKE ALL ON FUNCTION %I.%s FROM PUBLIC', current_schema(), f);
  END LOOP;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER account_links_suppressed BEFORE INSERT ON account_links FOR EACH ROW EXECUTE FUNCTION refuse_suppressed();
CREATE TRIGGER account_link_denials_suppressed BEFORE INSERT ON account_link_denials FOR EACH ROW EXECUTE FUNCTION refuse_suppressed();
CREATE TRIGGER learned_references_suppressed BEFORE INSERT ON learned_references FOR EACH ROW EXECUTE FUNCTION refuse_suppressed();
CREATE TRIGGER learned_leads_suppressed BEFORE INSERT OR UPDATE ON learned_leads FOR EACH ROW EXECUTE FUNCTION refuse_suppressed();
CREATE TRIGGER link_suggestions_suppressed BEFORE INSERT ON link_suggestions FOR EACH ROW EXECUTE FUNCTION refuse_suppressed();

-- Caches of what references lead to end with each change.
CREATE TRIGGER suppressions_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON suppressions
  FOR EACH STATEMENT EXECUTE FUNCTION note_link_change();

ALTER TABLE link_decisions DROP CONSTRAINT link_decisions_verb_check;
ALTER TABLE link_decisions ADD CONSTRAINT link_decisions_verb_check
  CHECK (verb IN ('link', 'unlink', 'relink', 'merge', 'not_this_account', 'remove', 'split', 'rename', 'erase', 'lift'));

-- +goose Down
DROP TRIGGER link_suggestions_suppressed ON link_suggestions;
DROP TRIGGER learned_leads_suppressed ON learned_leads;
DROP TRIGGER learned_references_suppressed ON learned_references;
DROP TRIGGER account_link_denials_suppressed ON account_link_denials;
DROP TRIGGER account_links_suppressed ON account_links;
DROP TABLE replays;
DROP TABLE suppressed_events;
DROP TABLE suppressions;
DROP TABLE erasures;
DROP FUNCTION refuse_suppressed();
DROP FUNCTION suppressed(text[], text[], text[], text[]);
DROP FUNCTION reference_digest(text, text, text, text);
DROP TABLE suppression_key; -- the verbs stay: the ledger may hold them
