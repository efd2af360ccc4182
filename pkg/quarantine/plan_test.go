package quarantine_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/quarantine"
)

const (
	// waitingRecords wait for one customer's link, outboxRecords to be published.
	waitingRecords, outboxRecords = 20_000, 100_000
	// mostBlocks is what a record of a page may cost, its indexes and decision
	// included. A nested loop over what waits would cost 100,000 and more.
	mostBlocks = 50
)

// A page costs the same, in blocks that are read, whatever the statistics say:
// there are none (the test server never analyzes), or they are of a time when
// nothing was released.
func TestPagesCostTheSameWhateverTheStatisticsSay(t *testing.T) {
	t.Parallel()
	for name, analyzed := range map[string]bool{"None": false, "Old": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, err := pgxpool.ParseConfig(postgrestest.URL(t))
			require.NoError(t, err)
			config.MaxConns = 1 // its own statistics are its own to flush
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			s := quarantine.NewStore(pool)
			fill(t, pool, waitingRecords, "open", "{stripe:customer:cus_1}")
			if analyzed {
				_, err = pool.Exec(t.Context(), "ANALYZE quarantine, quarantine_decisions, account_events")
				require.NoError(t, err)
			}
			fill(t, pool, outboxRecords, "replaying", "{}")

			ids, err := s.WaitingIDs(t.Context(), []string{"stripe:customer:cus_1"})
			require.NoError(t, err)
			require.Len(t, ids, waitingRecords)
			for _, page := range [][]int64{ids[:1000], ids[len(ids)-1000:]} {
				cost := blocks(t, pool, func() {
					waiting, err := s.WaitingAmong(t.Context(), page)
					require.NoError(t, err)
					require.Len(t, waiting, 1000)
					var rulings []quarantine.Ruling
					for _, w := range waiting {
						rulings = append(rulings, quarantine.Ruling{ID: w.ID, Note: "linked"})
					}
					released, err := s.ReleaseByLink(t.Context(), rulings)
					require.NoError(t, err)
					require.Equal(t, 1000, released)
				})
				require.Less(t, cost, 1000*mostBlocks, "a page of a release")
			}
			for _, after := range []int64{waitingRecords, waitingRecords + outboxRecords - 2000} {
				cost := blocks(t, pool, func() {
					result, err := s.Publish(t.Context(), after, func(_ context.Context, page []quarantine.Replay) []error { return make([]error, len(page)) })
					require.NoError(t, err)
					require.Len(t, result.Published, 2000)
				})
				require.Less(t, cost, 2000*mostBlocks, "a page of the outbox")
			}
		})
	}
}

// fill adds records of this status that name these references.
func fill(t *testing.T, pool *pgxpool.Pool, n int, status, keys string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `INSERT INTO quarantine (dedup_key, reason, source, source_event_id, topic, partition, "offset", raw, status_by, status, reference_keys)
		SELECT $2 || n, 'unresolved_account', 'stripe', 'evt_' || n, 'raw.stripe', 0, n, '{}', 'feed', $2, $3::text[] FROM generate_series(1, $1) AS n`, n, status, keys)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "INSERT INTO quarantine_outbox (quarantine_id, released_at) SELECT id, status_at FROM quarantine WHERE status = 'replaying' ORDER BY id")
	require.NoError(t, err)
}

// blocks gives how many blocks of the quarantine's tables and indexes do reads.
func blocks(t *testing.T, pool *pgxpool.Pool, do func()) int {
	t.Helper()
	read := func() (n int) {
		_, err := pool.Exec(t.Context(), "SELECT pg_stat_force_next_flush()")
		require.NoError(t, err)
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0) + coalesce(toast_blks_read + toast_blks_hit, 0))
			FROM pg_statio_user_tables WHERE relname LIKE 'quarantine%'`).Scan(&n))
		return n
	}
	before := read()
	do()
	n := read() - before
	t.Logf("%d blocks", n)
	return n
}
