package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// A role that may not make temporary tables can write, and a writer that is
// connected for long holds neither vacuum's horizon nor datfrozenxid back.
func TestWriterWithoutTemporaryTables(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	owner := open(t, address, 2)
	database := owner.Config().ConnConfig.Database
	role := fmt.Sprintf("writer_%d", time.Now().UnixNano())
	_, err := owner.Exec(t.Context(), `CREATE ROLE `+role+` LOGIN; REVOKE TEMPORARY ON DATABASE `+database+` FROM PUBLIC;
		GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO `+role+`; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO `+role)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = owner.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: settings.URL(postgrestest.WithUser(t, address, role)), MaxConns: 2}, "writer")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), "CREATE TEMPORARY TABLE denied (n INT)")
	require.ErrorContains(t, err, "42501")
	w := postgres.NewWriter(pool)
	require.Equal(t, postgres.Result{Inserted: 100}, upsert(t, w, eventRows(0, 100)))
	require.NoError(t, w.Probe(t.Context()))

	require.Zero(t, count(t, owner, "SELECT count(*) FROM pg_class WHERE relpersistence = 't'"))
	require.Zero(t, count(t, owner, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'writer' AND (backend_xmin IS NOT NULL OR state <> 'idle')"),
		"an idle writer holds nothing back")
	// Freezing what there is moves datfrozenxid on while the writer is connected.
	before := count(t, owner, "SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()")
	for _, sql := range []string{"SELECT txid_current()", "SELECT txid_current()", "VACUUM (FREEZE)"} {
		_, err = owner.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	after := count(t, owner, "SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()")
	require.Less(t, after, max(before, 50)+1)
	require.Equal(t, postgres.Result{Inserted: 50, AlreadyPresent: 50}, upsert(t, w, eventRows(50, 150)))
}
