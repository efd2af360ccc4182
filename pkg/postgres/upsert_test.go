package postgres_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

func newWriter(t *testing.T) (*postgres.Writer, *pgxpool.Pool) {
	t.Helper()
	pool := postgrestest.New(t)
	return postgres.NewWriter(pool), pool
}

func count(t *testing.T, pool *pgxpool.Pool, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

const countEvents = "SELECT count(*) FROM account_events"

func TestUpsert(t *testing.T) {
	t.Parallel()
	t.Run("ABatchAndItsReplay", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		rows := eventRows(0, 100)
		require.Equal(t, postgres.Result{Inserted: 100}, upsert(t, w, rows))
		require.Equal(t, postgres.Result{AlreadyPresent: 100}, upsert(t, w, rows))
		require.Equal(t, postgres.Result{Inserted: 50, AlreadyPresent: 50}, upsert(t, w, eventRows(50, 150)))
		require.Equal(t, 150, count(t, pool, countEvents))
	})
	t.Run("AnEmptyBatch", func(t *testing.T) {
		t.Parallel()
		w, _ := newWriter(t)
		require.Equal(t, postgres.Result{}, upsert(t, w, nil))
	})
	t.Run("ADuplicateWithinTheBatch", func(t *testing.T) {
		t.Parallel()
		w, _ := newWriter(t)
		rows := append(eventRows(0, 3), eventRows(1, 2)...)
		require.Equal(t, postgres.Result{Inserted: 3, AlreadyPresent: 1}, upsert(t, w, rows))
	})
	t.Run("TheFirstVersionStays", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		upsert(t, w, eventRows(0, 1))
		changed := eventRows(0, 1)
		changed[0].Payload, changed[0].AccountID = []byte(`{"changed": true}`), account(2)
		require.Equal(t, postgres.Result{AlreadyPresent: 1}, upsert(t, w, changed))
		require.Zero(t, count(t, pool, countEvents+" WHERE payload ? 'changed' OR account_id = $1", account(2)))
	})
	t.Run("TheCallersRowsKeepTheirOrder", func(t *testing.T) {
		t.Parallel()
		w, _ := newWriter(t)
		rows := eventRows(0, 5)
		slices.Reverse(rows)
		upsert(t, w, rows)
		require.Equal(t, "evt_000004", rows[0].SourceEventID)
	})
	t.Run("ABadRowTakesNothingWithIt", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		rows := eventRows(0, 10)
		rows[7].Payload = []byte(`{"nul": "\u0000"}`)
		_, err := w.Upsert(t.Context(), rows)
		require.True(t, fault.IsPermanent(err), "%v", err)
		require.Equal(t, fault.Unstorable, fault.ReasonOf(err))
		require.Zero(t, count(t, pool, countEvents))
		// The connection is good for the next batch.
		require.Equal(t, postgres.Result{Inserted: 7}, upsert(t, w, rows[:7]))
	})
	t.Run("ABrokenConnectionIsReplaced", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		upsert(t, w, eventRows(0, 1))
		_, err := pool.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		require.NoError(t, err)
		if _, err = w.Upsert(t.Context(), eventRows(0, 1)); err != nil { // the pool may have found out by itself
			require.False(t, fault.IsPermanent(err), "%v", err)
		}
		require.Equal(t, postgres.Result{Inserted: 1, AlreadyPresent: 1}, upsert(t, w, eventRows(0, 2)))
	})
	t.Run("AnEndedContextIsTransient", func(t *testing.T) {
		t.Parallel()
		w, _ := newWriter(t)
		upsert(t, w, eventRows(0, 1))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := w.Upsert(ctx, eventRows(1, 2))
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, fault.IsPermanent(err))
	})
}

// Four writers insert the same rows in different orders at the same time: every event is there once, and nobody
// meets a deadlock.
func TestUpsertConcurrently(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	const writers, rounds, size = 4, 15, 400
	inserted := make([]int, writers)
	var group errgroup.Group
	for i := range writers {
		group.Go(func() error {
			w := postgres.NewWriter(pool)
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for round := range rounds {
				// Half of each batch is also in the next one's, and all of it is in the other writers'.
				rows := eventRows(round*size/2, round*size/2+size)
				random.Shuffle(len(rows), func(a, b int) { rows[a], rows[b] = rows[b], rows[a] })
				result, err := w.Upsert(t.Context(), rows)
				if err != nil {
					return err
				}
				inserted[i] += result.Inserted
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	want := (rounds + 1) * size / 2
	require.Equal(t, want, count(t, pool, countEvents))
	require.Equal(t, want, inserted[0]+inserted[1]+inserted[2]+inserted[3])
}
