package postgrestest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

func TestNew(t *testing.T) {
	t.Parallel()
	t.Run("EachTestHasItsOwnDatabase", func(t *testing.T) {
		t.Parallel()
		one, other := postgrestest.New(t), postgrestest.New(t)
		_, err := one.Exec(t.Context(), "INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), 'Acme')")
		require.NoError(t, err)
		var count int
		require.NoError(t, other.QueryRow(t.Context(), "SELECT count(*) FROM accounts").Scan(&count))
		require.Zero(t, count)
	})
	t.Run("TheDatabaseGoesWithTheTest", func(t *testing.T) {
		t.Parallel()
		var name string
		t.Run("Inner", func(t *testing.T) {
			require.NoError(t, postgrestest.New(t).QueryRow(t.Context(), "SELECT current_database()").Scan(&name))
		})
		var exists bool
		err := postgrestest.New(t).QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
		require.NoError(t, err)
		require.False(t, exists)
	})
}

func TestEmptyURL(t *testing.T) {
	t.Parallel()
	require.NotEqual(t, postgrestest.EmptyURL(t), postgrestest.EmptyURL(t))
}
