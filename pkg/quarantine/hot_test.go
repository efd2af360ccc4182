package quarantine_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// A release changes a record's wide row twice, and no index of it: none names what changes, and there is room for a second
// version on the row's page. (For the third, Postgres has to know by then that nobody sees the first: that is not tested.)
func TestAReleaseLeavesTheIndexesOfTheRecordsAlone(t *testing.T) {
	t.Parallel()
	config, err := pgxpool.ParseConfig(postgrestest.URL(t))
	require.NoError(t, err)
	config.MaxConns = 1 // its own statistics are its own to flush
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s := quarantine.NewStore(pool).WithSources(catalog.Set())
	const records = 200
	var letters []quarantine.Letter
	var rulings []quarantine.Ruling
	for n := range records {
		letters = append(letters, letter(n, int64(n)))
		rulings = append(rulings, quarantine.Ruling{ID: int64(n + 1), Note: "linked"})
	}
	put(t, s, letters...)
	released, err := s.ReleaseByLink(t.Context(), rulings)
	require.NoError(t, err)
	require.Equal(t, records, released)

	_, err = pool.Exec(t.Context(), "SELECT pg_stat_force_next_flush()")
	require.NoError(t, err)
	var updates, within int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'quarantine'").Scan(&updates, &within))
	require.Equal(t, []int{records, records}, []int{updates, within})
	var naming int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_indexes WHERE tablename = 'quarantine' AND indexdef ~ '\m(status|status_by|status_at|outcome|published_at|releases|ruling)\M'`).Scan(&naming))
	require.Zero(t, naming, "indexes that name what a release changes")
}
