package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// The links of a database that had no ledger become its first entries; a version that does not know it adds to it.
func TestMigrationFillsTheLedger(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), postgrestest.EmptyURL(t))
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, migrateTo(t, pool, 6))
	_, err = pool.Exec(t.Context(), `INSERT INTO accounts (id, name, created_at) VALUES ('00000000-0000-4000-8000-000000000001', 'Acme', '2025-01-01');
		INSERT INTO account_links (source, tenant, kind, external_id, account_id, learned, evidence, created_by, created_at)
		SELECT 'stripe', 't', 'customer', 'cus_' || i, '00000000-0000-4000-8000-000000000001', 'import', '{"file": "x"}', 'ada', '2025-01-02' FROM generate_series(1, 3) AS i`)
	require.NoError(t, err)
	require.NoError(t, postgres.Migrate(t.Context(), pool, nil))

	count := func(query string) (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&n))
		return n
	}
	const agrees = `SELECT count(*) FROM account_links l JOIN link_decisions d ON d.id = l.decision_id WHERE d.verb = 'link' AND d.level = 'decided' AND d.undone_by IS NULL
		AND d.source = l.source AND d.tenant = l.tenant AND d.kind = l.kind AND d.external_id = l.external_id AND d.to_account = l.account_id
		AND d.learned = l.learned AND d.author = l.created_by AND d.evidence = l.evidence AND d.at = l.created_at`
	require.Equal(t, 3, count(agrees))
	require.Equal(t, 1, count("SELECT count(*) FROM accounts WHERE updated_at = created_at"))

	_, err = pool.Exec(t.Context(), `INSERT INTO account_links (source, kind, external_id, account_id, learned, created_by)
		VALUES ('stripe', 'customer', 'cus_9', '00000000-0000-4000-8000-000000000001', 'operator', 'bob')`)
	require.NoError(t, err)
	require.Equal(t, 4, count(agrees))
	require.Equal(t, 4, count("SELECT count(*) FROM link_decisions"))
}

// migrateTo brings the schema to an older version.
func migrateTo(t *testing.T, pool *pgxpool.Pool, version int64) error {
	t.Helper()
	files, err := postgres.Migrations()
	require.NoError(t, err)
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files)
	require.NoError(t, err)
	_, err = provider.UpTo(t.Context(), version)
	return err
}
