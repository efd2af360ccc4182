package postgres_test

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// breaking is what a migration may not do, because programs of the version before run on the schema after it, and go on
// running while it is made (docs/operations/upgrade.md has the same list).
func breaking() map[string]*regexp.Regexp {
	words := func(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?i)\b` + pattern) }
	return map[string]*regexp.Regexp{
		"drops something that older programs use":           words(`DROP\s+(TABLE|COLUMN|VIEW|FUNCTION|TRIGGER|INDEX|SEQUENCE|TYPE|CONSTRAINT|SCHEMA|EXTENSION|DEFAULT)\b`),
		"renames something":                                 words(`RENAME\s+(\S+\s+)?(\S+\s+)?TO\b`),
		"changes a column's type":                           words(`ALTER\s+(COLUMN\s+)?\S+\s+(SET\s+DATA\s+)?TYPE\b`),
		"makes a column mandatory that older programs omit": words(`SET\s+NOT\s+NULL\b`),
		"adds a mandatory column without a default":         words(`ADD\s+COLUMN\s+(IF\s+NOT\s+EXISTS\s+)?\S+\s+[^,;]*NOT\s+NULL(?:[^,;]*)`),
		"adds a check that older programs' rows may fail":   words(`ADD\s+(CONSTRAINT\s+\S+\s+)?(CHECK|UNIQUE|PRIMARY\s+KEY|FOREIGN\s+KEY|EXCLUDE)\b`),
		"takes rights away":                                 words(`REVOKE\b`),
		"takes rows away":                                   words(`(TRUNCATE|DELETE\s+FROM)\s+\w+\s*(;|WHERE|$)`),
		"makes a unique index on a table that is there":     words(`CREATE\s+UNIQUE\s+INDEX\b`),
	}
}

// allowed are the exceptions, each with its reason.
func allowed() map[string]map[string]string {
	const inTrigger = "the rows of a function's body, not the migration's"
	return map[string]map[string]string{
		"00006_account_event_origins.sql": {"takes rows away": inTrigger},
		"00007_link_ledger.sql": {
			"adds a check that older programs' rows may fail": "decision_id, which the trigger account_links_recorded fills for older programs",
		},
		"00010_link_epoch.sql": {"takes rows away": inTrigger},
		"00011_return_and_release.sql": {
			"takes rows away":                                 inTrigger,
			"drops something that older programs use":         "a check, which the next statement makes again with more values",
			"adds a check that older programs' rows may fail": "it allows all that the one before did, and more",
		},
		"00012_least_privilege.sql": {"takes rights away": "EXECUTE of PUBLIC on functions that only triggers and new programs call; the owner, whom older programs connect as, keeps it"},
		"00016_drift.sql":           {"makes a unique index on a table that is there": "the table is made by the statement before"},
		"00021_quarantine_outbox.sql": {
			"drops something that older programs use": "an index; older programs read the few of status replaying by another while both run",
		},
		"00023_quarantine_states.sql": {
			"drops something that older programs use": "indexes; older programs read all of the table instead while both run",
			"takes rights away":                       "EXECUTE of PUBLIC on a function that only triggers call",
			"takes rows away":                         inTrigger,
		},
		"00020_quarantine_rows.sql": {"drops something that older programs use": "an index, which the next statement makes again for what is open; older programs do without while both run"},
		"00027_erasure.sql": {
			"takes rights away":                               "EXECUTE of PUBLIC on functions that only triggers and new programs call",
			"drops something that older programs use":         "a check, which the next statement makes again with more values",
			"adds a check that older programs' rows may fail": "it allows all that the one before did, and more",
		},
		"00028_expire_audit_log.sql": {
			"takes rights away": "EXECUTE of PUBLIC on the function that the migration makes",
			"takes rows away":   "the function does, when an operator of the new version asks for it",
		},
		"00030_erased_texts.sql": {"takes rights away": "EXECUTE of PUBLIC on functions that only triggers and new programs call"},
		"00031_erased_spellings.sql": {
			"takes rights away":                       "EXECUTE of PUBLIC on functions that only triggers call",
			"drops something that older programs use": "triggers, which the next statements make again for more spellings of an address",
		},
		"00032_erasing_accounts.sql": {"takes rights away": "EXECUTE of PUBLIC on a function that only a trigger calls"},
		"00029_erased_accounts.sql":  {"takes rights away": "EXECUTE of PUBLIC on a function that only a trigger calls"},
		"00019_access.sql":           {"makes a unique index on a table that is there": "the migration makes the table, too"},
	}
}

var (
	comment    = regexp.MustCompile(`--[^\n]*`)
	hasDefault = regexp.MustCompile(`(?i)\bDEFAULT\b`)
)

// breaks gives what of breaking a migration does on its way up.
func breaks(text string) (found []string) {
	up, _, _ := strings.Cut(text, "-- +goose Down")
	up = comment.ReplaceAllString(up, "")
	for what, pattern := range breaking() {
		for _, hit := range pattern.FindAllString(up, -1) {
			if what != "adds a mandatory column without a default" || !hasDefault.MatchString(hit) {
				found = append(found, what)
				break
			}
		}
	}
	return found
}

// Migrations only add, so that versions N and N+1 of a program run side by side.
func TestMigrationsOnlyAdd(t *testing.T) {
	t.Parallel()
	files, err := postgres.Migrations()
	require.NoError(t, err)
	names, err := fs.Glob(files, "*.sql")
	require.NoError(t, err)
	exceptions := allowed()
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		require.NoError(t, err)
		for _, what := range breaks(string(text)) {
			require.NotEmpty(t, exceptions[name][what], "%s %s: programs of the version before could not go on (docs/operations/upgrade.md)", name, what)
			delete(exceptions[name], what)
		}
		require.Empty(t, exceptions[name], "%s has an exception that it does not need", name)
		delete(exceptions, name)
	}
	require.Empty(t, exceptions, "exceptions for migrations that there are not")
}

// Each kind of change that breaks an older program is seen, and none that does not is.
func TestWhatBreaksOlderPrograms(t *testing.T) {
	t.Parallel()
	for statement, what := range map[string]string{
		"ALTER TABLE account_events DROP COLUMN source;":                                  "drops something",
		"drop table quarantine;":                                                          "drops something",
		"ALTER TABLE a DROP CONSTRAINT c;":                                                "drops something",
		"ALTER TABLE a ALTER COLUMN b DROP DEFAULT;":                                      "drops something",
		"ALTER TABLE a RENAME COLUMN b TO c;":                                             "renames",
		"ALTER TABLE a RENAME TO b;":                                                      "renames",
		"ALTER TABLE a ALTER COLUMN b TYPE BIGINT;":                                       "changes a column's type",
		"ALTER TABLE a ALTER b SET DATA TYPE BIGINT;":                                     "changes a column's type",
		"ALTER TABLE a ALTER COLUMN b SET NOT NULL;":                                      "makes a column mandatory",
		"ALTER TABLE a ADD COLUMN b TEXT NOT NULL;":                                       "adds a mandatory column",
		"ALTER TABLE a ADD COLUMN c TEXT NOT NULL DEFAULT '', ADD COLUMN b INT NOT NULL;": "adds a mandatory column",
		"ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0);":                                   "adds a check",
		"ALTER TABLE a ADD UNIQUE (b);":                                                   "adds a check",
		"CREATE UNIQUE INDEX i ON a (b);":                                                 "makes a unique index",
		"REVOKE SELECT ON a FROM b;":                                                      "takes rights away",
		"DELETE FROM a WHERE b;":                                                          "takes rows away",
		"TRUNCATE a;":                                                                     "takes rows away",
	} {
		found := breaks("-- +goose Up\n" + statement + "\n-- +goose Down\n")
		require.Len(t, found, 1, statement)
		require.Contains(t, found[0], what, statement)
	}
	for _, statement := range []string{
		"CREATE TABLE a (b TEXT NOT NULL UNIQUE, CHECK (b <> ''));", "ALTER TABLE a ADD COLUMN b TEXT;", "ALTER TABLE a ADD COLUMN b INT NOT NULL DEFAULT 0, ADD COLUMN c TEXT;",
		"CREATE INDEX i ON a (b);", "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';", "CREATE TRIGGER t AFTER DELETE ON a EXECUTE FUNCTION f();",
		"-- DROP TABLE a", "INSERT INTO a DEFAULT VALUES;", "GRANT SELECT ON a TO b;",
	} {
		require.Empty(t, breaks("-- +goose Up\n"+statement+"\n-- +goose Down\nDROP TABLE a;"), statement)
	}
}
