-- +goose Up
-- Names the state of accounts, account_links and account_link_denials: whoever reads two equal epochs knows that no
-- change of the three lies between. A cache of what references lead to holds for one epoch. The value is random,
-- because a counter could come to the same number twice: a standby that took over may have missed changes.
CREATE TABLE link_epoch (
  one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
  epoch UUID NOT NULL DEFAULT gen_random_uuid());
INSERT INTO link_epoch DEFAULT VALUES;

-- Transactions that have changed one of the three tables and not committed yet; committed rows there are none. The
-- epoch moves by a deferred trigger, as a transaction commits: it is the last row that is locked, and only while the
-- commit takes, so that writers neither wait for a whole import nor for each other in a circle.
CREATE UNLOGGED TABLE link_changes (transaction xid8 PRIMARY KEY);

-- Whoever may change links moves the epoch with them; hence SECURITY DEFINER.
-- +goose StatementBegin
CREATE FUNCTION note_link_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO link_changes VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
  RETURN NULL;
END
$$;

CREATE FUNCTION move_link_epoch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM link_changes WHERE transaction = NEW.transaction;
  UPDATE link_epoch SET epoch = gen_random_uuid();
  RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE CONSTRAINT TRIGGER link_changes_committing AFTER INSERT ON link_changes DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION move_link_epoch();
CREATE TRIGGER accounts_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON accounts
  FOR EACH STATEMENT EXECUTE FUNCTION note_link_change();
CREATE TRIGGER account_links_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON account_links
  FOR EACH STATEMENT EXECUTE FUNCTION note_link_change();
CREATE TRIGGER account_link_denials_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON account_link_denials
  FOR EACH STATEMENT EXECUTE FUNCTION note_link_change();

-- +goose Down
DROP TRIGGER account_link_denials_epoch ON account_link_denials;
DROP TRIGGER account_links_epoch ON account_links;
DROP TRIGGER accounts_epoch ON accounts;
DROP TABLE link_changes;
DROP TABLE link_epoch;
DROP FUNCTION move_link_epoch();
DROP FUNCTION note_link_change();
