-- +goose Up
-- Links are a ledger: every decision about whose an identifier is stands here for good, and account_links is what
-- the decisions come to. Only undone_by is ever updated. Accounts are named without a foreign key: a decision
-- outlives an account that is removed.
CREATE TABLE link_decisions (
  id BIGSERIAL PRIMARY KEY,
  verb TEXT NOT NULL CHECK (verb IN ('link', 'unlink', 'relink', 'merge', 'not_this_account', 'remove')),
  source TEXT NOT NULL DEFAULT '', -- the reference; '' for a merge and a remove
  tenant TEXT NOT NULL DEFAULT '',
  kind TEXT NOT NULL DEFAULT '',
  external_id TEXT NOT NULL DEFAULT '',
  from_account UUID,
  to_account UUID,
  level TEXT NOT NULL DEFAULT 'decided' CHECK (level IN ('decided', 'declared', 'vendor', 'strong', 'medium', 'weak')),
  learned TEXT NOT NULL,
  author TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  evidence JSONB NOT NULL DEFAULT '{}',
  rests_on BIGINT[] NOT NULL DEFAULT '{}', -- decisions without which an automatic link would not have been made
  undone_by BIGINT REFERENCES link_decisions (id),
  at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE INDEX link_decisions_reference_idx ON link_decisions (external_id, kind, source);
CREATE INDEX link_decisions_from_account_idx ON link_decisions (from_account);
CREATE INDEX link_decisions_to_account_idx ON link_decisions (to_account);
CREATE INDEX link_decisions_rests_on_idx ON link_decisions USING GIN (rests_on) WHERE undone_by IS NULL;

-- The decision that a link stands by: its newest link or relink.
ALTER TABLE account_links ADD COLUMN decision_id BIGINT;
UPDATE account_links SET decision_id = nextval('link_decisions_id_seq');
INSERT INTO link_decisions (id, verb, source, tenant, kind, external_id, to_account, learned, author, evidence, at)
SELECT decision_id, 'link', source, tenant, kind, external_id, account_id, learned, created_by, evidence, created_at FROM account_links;
ALTER TABLE account_links ADD FOREIGN KEY (decision_id) REFERENCES link_decisions (id);

-- A version that does not know of the ledger writes the link alone.
-- +goose StatementBegin
CREATE FUNCTION record_link() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO link_decisions (verb, source, tenant, kind, external_id, to_account, learned, author, evidence)
  VALUES ('link', NEW.source, NEW.tenant, NEW.kind, NEW.external_id, NEW.account_id, NEW.learned, NEW.created_by, NEW.evidence)
  RETURNING id INTO NEW.decision_id;
  RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER account_links_recorded BEFORE INSERT ON account_links
  FOR EACH ROW WHEN (NEW.decision_id IS NULL) EXECUTE FUNCTION record_link();

-- What a reference does not stand for, whatever rule would lead there. A tenant of '' matches every tenant.
CREATE TABLE account_link_denials (
  id BIGSERIAL PRIMARY KEY,
  source TEXT NOT NULL,
  tenant TEXT NOT NULL DEFAULT '',
  kind TEXT NOT NULL,
  external_id TEXT NOT NULL,
  account_id UUID NOT NULL REFERENCES accounts (id),
  decision_id BIGINT NOT NULL REFERENCES link_decisions (id),
  UNIQUE (source, kind, external_id, tenant, account_id));
CREATE INDEX account_link_denials_account_id_idx ON account_link_denials (account_id);

-- An account that was merged stays as a tombstone which says where it is now. It never points at another tombstone.
ALTER TABLE accounts
  ADD COLUMN parent_id UUID REFERENCES accounts (id),
  ADD COLUMN merged_into UUID REFERENCES accounts (id),
  ADD COLUMN updated_at TIMESTAMPTZ NOT NULL DEFAULT now();
UPDATE accounts SET updated_at = created_at;
CREATE INDEX accounts_parent_id_idx ON accounts (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX accounts_merged_into_idx ON accounts (merged_into) WHERE merged_into IS NOT NULL;

-- What changes or vanishes is announced like what appears: caches hold it.
CREATE TRIGGER account_links_deleted AFTER DELETE ON account_links REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION announce_links();
CREATE TRIGGER account_link_denials_inserted AFTER INSERT ON account_link_denials REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION announce_links();
CREATE TRIGGER account_link_denials_updated AFTER UPDATE ON account_link_denials REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION announce_links();
CREATE TRIGGER account_link_denials_deleted AFTER DELETE ON account_link_denials REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION announce_links();
CREATE TRIGGER accounts_deleted AFTER DELETE ON accounts REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION announce_accounts();

-- The history that follows a decision: the events of from_account that rest on the reference, or all of them where
-- that is ''. Moves are worked off one after the other, by id, in batches; next_event is where the next batch begins.
CREATE TABLE history_moves (
  id BIGSERIAL PRIMARY KEY,
  decision_id BIGINT NOT NULL REFERENCES link_decisions (id),
  from_account UUID NOT NULL,
  source TEXT NOT NULL DEFAULT '',
  tenant TEXT NOT NULL DEFAULT '',
  kind TEXT NOT NULL DEFAULT '',
  external_id TEXT NOT NULL DEFAULT '',
  events BIGINT NOT NULL, -- how many were to leave from_account when it was decided
  fence TEXT[], -- the transactions (pg_locks.virtualtransaction) that may have stored events without having seen the decision
  next_event BIGINT NOT NULL DEFAULT 0,
  moved BIGINT NOT NULL DEFAULT 0, -- to another account
  returned BIGINT NOT NULL DEFAULT 0, -- to quarantine, to be resolved anew
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  finished_at TIMESTAMPTZ);
CREATE INDEX history_moves_from_account_idx ON history_moves (from_account);
CREATE INDEX history_moves_pending_idx ON history_moves (id) WHERE finished_at IS NULL;

-- +goose Down
DROP TABLE history_moves;
DROP TRIGGER accounts_deleted ON accounts;
DROP TRIGGER account_links_deleted ON account_links;
DROP TRIGGER account_links_recorded ON account_links;
DROP FUNCTION record_link();
ALTER TABLE accounts DROP COLUMN parent_id, DROP COLUMN merged_into, DROP COLUMN updated_at;
DROP TABLE account_link_denials;
ALTER TABLE account_links DROP COLUMN decision_id;
DROP TABLE link_decisions;
