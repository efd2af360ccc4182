package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// attempt is a statement, and the privilege that it takes.
type attempt struct {
	sql                     string
	kind                    postgres.ObjectKind
	object, operation, coln string
}

// allowed: the table of privileges has it.
func (a attempt) allowed(role postgres.Role) bool {
	return slices.ContainsFunc(postgres.Privileges(role), func(p postgres.Privilege) bool {
		return p.Kind == a.kind && p.Object == a.object && p.Operation == a.operation && (p.Columns == nil || slices.Contains(p.Columns, a.coln))
	})
}

// Each role tries everything on everything, and Postgres allows exactly what the table says.
func TestEverythingElseIsRefused(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	owner := open(t, address, 2)
	var attempts []attempt
	table := func(name, operation, column, sql string) {
		attempts = append(attempts, attempt{strings.NewReplacer("@t", pgx.Identifier{name}.Sanitize(), "@c", pgx.Identifier{column}.Sanitize()).Replace(sql), postgres.KindTable, name, operation, column})
	}
	for _, name := range postgres.Tables() {
		table(name, "DELETE", "", "DELETE FROM @t WHERE false")
		table(name, "TRUNCATE", "", "TRUNCATE @t CASCADE")
		table(name, "TRIGGER", "", "CREATE TRIGGER mine BEFORE INSERT ON @t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()")
		table(name, "OWN", "", "ALTER TABLE @t ADD COLUMN mine INT")
		table(name, "OWN", "", "DROP TABLE @t")
		for _, column := range texts(t, owner, "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped", name) {
			table(name, "SELECT", column, "SELECT @c FROM @t LIMIT 0")
			table(name, "INSERT", column, "INSERT INTO @t (@c) SELECT NULL WHERE false")
			table(name, "UPDATE", column, "UPDATE @t SET @c = NULL WHERE false")
		}
	}
	for _, name := range texts(t, owner, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'") {
		attempts = append(attempts,
			attempt{"SELECT nextval('" + name + "')", postgres.KindSequence, name, "USAGE", ""},
			attempt{"SELECT setval('" + name + "', 1)", postgres.KindSequence, name, "UPDATE", ""},
			attempt{"SELECT last_value FROM " + name, postgres.KindSequence, name, "SELECT", ""})
	}
	for _, name := range postgres.Functions() {
		attempts = append(attempts, attempt{"SELECT " + strings.NewReplacer("text[]", "ARRAY['']", "text", "'x'", "timestamp with time zone", "'-infinity'", "integer", "1").Replace(name), postgres.KindFunction, name, "EXECUTE", ""})
	}
	attempts = append(attempts,
		attempt{"CREATE TEMPORARY TABLE mine (n INT)", postgres.KindDatabase, "", "TEMPORARY", ""},
		attempt{"CREATE TABLE mine (n INT)", postgres.KindSchema, "", "CREATE", ""},
		attempt{"CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'", postgres.KindSchema, "", "CREATE", ""},
		attempt{"CREATE SCHEMA mine", postgres.KindDatabase, "", "CREATE", ""},
		attempt{"CREATE ROLE mine", postgres.KindDatabase, "", "CREATEROLE", ""},
		attempt{"SET ROLE " + pgx.Identifier{owner.Config().ConnConfig.User}.Sanitize(), postgres.KindDatabase, "", "OWN", ""},
		attempt{"SELECT pg_read_file('PG_VERSION')", postgres.KindDatabase, "", "OWN", ""},
		attempt{"COPY accounts TO PROGRAM 'cat'", postgres.KindDatabase, "", "OWN", ""},
		attempt{"SELECT * FROM pgstatginindex('account_events_payload_idx')", postgres.KindDatabase, "", "OWN", ""},
		attempt{"SELECT gin_clean_pending_list('account_events_payload_idx')", postgres.KindDatabase, "", "OWN", ""},
	)
	for role, address := range postgrestest.Logins(t, address) {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			pool := open(t, address, 1)
			missing, err := postgres.Missing(t.Context(), pool, role)
			require.NoError(t, err)
			require.Empty(t, missing)
			var wrong []string
			done := map[bool]int{}
			for _, a := range attempts {
				allowed := !refused(t, pool, a.sql)
				done[allowed]++
				if allowed != a.allowed(role) {
					wrong = append(wrong, fmt.Sprintf("%s: allowed is %v", a.sql, allowed))
				}
			}
			require.Empty(t, strings.Join(wrong, "\n"))
			t.Logf("%s: %d allowed, %d refused", role, done[true], done[false])
		})
	}
}

// refused runs a statement, undoes it, and says whether it was for want of a privilege.
func refused(t *testing.T, db interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}, sql string,
) bool {
	t.Helper()
	tx, err := db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
	_, err = tx.Exec(t.Context(), sql)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return true
	}
	require.NoError(t, err, sql)
	return false
}
