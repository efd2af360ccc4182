package quarantine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// A release changes a record's wide row twice, and no index of it: both versions stay on its page.
func TestAReleaseLeavesTheIndexesOfTheRecordsAlone(t *testing.T) {
	t.Parallel()
	config, err := pgxpool.ParseConfig(postgrestest.URL(t))
	require.NoError(t, err)
	config.MaxConns = 1 // its own statistics are its own to flush
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s := quarantine.NewStore(pool).WithSources(catalog.Set())
	const records = 300
	var letters []quarantine.Letter
	for n := range records {
		letters = append(letters, letter(n, int64(n)))
	}
	put(t, s, letters...)

	var rulings []quarantine.Ruling
	for id := range int64(records) {
		rulings = append(rulings, quarantine.Ruling{ID: id + 1, Note: "linked"})
	}
	released, err := s.ReleaseByLink(t.Context(), rulings)
	require.NoError(t, err)
	require.Equal(t, records, released)
	var rows []postgres.Row
	var arrivals []quarantine.Arrival
	_, err = s.Publish(t.Context(), 0, func(_ context.Context, page []quarantine.Replay) []error {
		for i, p := range page {
			l := quarantine.Letter{}
			for _, of := range letters {
				if string(of.Value) == string(p.Value) {
					l = of
				}
			}
			a := arrival(p.ID, l)
			a.Row = i
			rows, arrivals = append(rows, row(l)), append(arrivals, a)
		}
		return make([]error, len(page))
	})
	require.NoError(t, err)
	_, err = postgres.NewWriter(pool).Upsert(t.Context(), rows, quarantine.ResolveArrivals(arrivals))
	require.NoError(t, err)

	var resolved int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM quarantine_states WHERE status = 'resolved'").Scan(&resolved))
	require.Equal(t, records, resolved)
	_, err = pool.Exec(t.Context(), "SELECT pg_stat_force_next_flush()")
	require.NoError(t, err)
	var updates string
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT n_tup_upd || ' updates, within their pages ' || n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'quarantine'").Scan(&updates))
	require.Equal(t, fmt.Sprintf("%d updates, within their pages %[1]d", 2*records), updates)
}
