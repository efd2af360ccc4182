package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

func texts(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}

// Whoever adds a table or a function says who may use it.
func TestPrivilegesKnowTheWholeSchema(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	require.ElementsMatch(t, postgres.Tables(), texts(t, pool, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"))
	require.ElementsMatch(t, postgres.Functions(), texts(t, pool, `SELECT format('%I(%s)', proname, pg_get_function_identity_arguments(p.oid)) FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')`))
	for _, role := range postgres.Roles() {
		missing, err := postgres.Missing(t.Context(), pool, role)
		require.NoError(t, err)
		require.Empty(t, missing, "the owner lacks nothing: every object and column is there")
	}
	require.Empty(t, postgres.Privileges("receiver"))
}

// A function that runs as the owner is for nobody, and looks nowhere else, from the moment that a migration makes it.
func TestFunctionsThatRunAsTheOwnerAreClosed(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	require.Empty(t, texts(t, pool, `SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
		AND (has_function_privilege('public', oid, 'EXECUTE') OR proconfig IS NULL OR NOT 'search_path=pg_catalog, public, pg_temp' = ANY (proconfig))`))
}

func TestMissing(t *testing.T) {
	t.Parallel()
	owner := postgrestest.New(t)
	tx, err := owner.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	missing := func(role postgres.Role) (list []string) {
		t.Helper()
		found, err := postgres.Missing(t.Context(), tx, role)
		require.NoError(t, err)
		for _, p := range found {
			list = append(list, p.String())
		}
		return list
	}
	name := "missing_" + owner.Config().ConnConfig.Database
	_, err = tx.Exec(t.Context(), "CREATE ROLE "+name+"; GRANT SELECT (id, merged_into) ON accounts TO "+name+"; GRANT SELECT ON account_links, goose_db_version TO "+name+"; SET LOCAL ROLE "+name)
	require.NoError(t, err)
	require.Equal(t, []string{
		"SELECT (domain) ON TABLE accounts", "SELECT (account_id, external_id, kind, source, tenant) ON TABLE account_link_denials", "SELECT ON TABLE link_epoch",
		"SELECT (decision, domain) ON TABLE suspect_domains", "SELECT (kind, mentions, source) ON TABLE suppressions", "EXECUTE ON FUNCTION suppressed(text[], text[], text[], text[])",
		"SELECT ON TABLE suppressed_events", "INSERT ON TABLE suppressed_events", "UPDATE (events, last_at) ON TABLE suppressed_events",
	}, missing(postgres.RoleNormalizer))
	require.Contains(t, missing(postgres.RoleSink), "EXECUTE ON FUNCTION clean_payload_index()")
	require.Contains(t, missing(postgres.RoleSink), "USAGE ON SEQUENCE account_events_id_seq")
	_, err = tx.Exec(t.Context(), "RESET ROLE; DROP TABLE account_link_denials; REVOKE USAGE ON SCHEMA public FROM PUBLIC; SET LOCAL ROLE "+name)
	require.NoError(t, err)
	require.Contains(t, missing(postgres.RoleNormalizer), "USAGE ON SCHEMA")
}
