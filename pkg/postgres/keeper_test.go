package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

const (
	patience = 20 * time.Second
	tick     = 20 * time.Millisecond
)

// runKeeper runs a keeper until the returned function is called.
func runKeeper(t *testing.T, pool *pgxpool.Pool) (*postgres.Keeper, func()) {
	t.Helper()
	k := postgres.NewKeeper(pool, zaptest.NewLogger(t))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	stop := func() {
		cancel()
		if done != nil {
			require.NoError(t, <-done)
			done = nil
		}
	}
	t.Cleanup(stop)
	return k, stop
}

func holds(k *postgres.Keeper) func() bool {
	return func() bool { return k.Stats().Holds }
}

func pending(t *testing.T, pool *pgxpool.Pool) int64 {
	t.Helper()
	pages, err := postgres.PendingPages(t.Context(), pool)
	require.NoError(t, err)
	return pages
}

func keeperRuns(t *testing.T, pool *pgxpool.Pool) bool {
	t.Helper()
	var runs bool
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT "+postgres.KeeperRuns).Scan(&runs))
	return runs
}

func TestKeeper(t *testing.T) {
	t.Parallel()
	t.Run("MergesWhatIsPending", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		upsert(t, w, eventRows(0, 200))
		require.Positive(t, pending(t, pool))
		k, _ := runKeeper(t, pool)
		require.Eventually(t, func() bool { return pending(t, pool) == 0 }, patience, tick)
		require.Eventually(t, func() bool { return k.Stats().Cleans > 0 }, patience, tick)
		stats := k.Stats()
		require.True(t, stats.Holds)
		require.Positive(t, stats.Pages)
		require.Positive(t, stats.LastPages)
		require.Positive(t, stats.LongestTook)
	})
	t.Run("OneAtATimeAndTheNextTakesOver", func(t *testing.T) {
		t.Parallel()
		pool := postgrestest.New(t)
		first, stopFirst := runKeeper(t, pool)
		require.Eventually(t, holds(first), patience, tick)
		second, stopSecond := runKeeper(t, pool)
		var asked []time.Time
		require.Eventually(t, func() bool { // a second that asked once, or waits for the lock, starts no more queries
			var at *time.Time
			require.NoError(t, pool.QueryRow(t.Context(), `SELECT max(query_start) FROM pg_stat_activity
				WHERE datname = current_database() AND query NOT LIKE '%max(query_start)%'
				AND (query LIKE 'SELECT pg_try_advisory_lock%' OR query LIKE '%FROM pg_stat_activity a JOIN pg_locks%')`).Scan(&at))
			if at != nil && (asked == nil || !asked[len(asked)-1].Equal(*at)) {
				asked = append(asked, *at)
			}
			return len(asked) > 4
		}, patience, tick, "the second keeper asks for the lock until it gets it")
		require.False(t, second.Stats().Holds)
		stopFirst()
		require.False(t, first.Stats().Holds)
		require.Eventually(t, holds(second), patience, tick)
		require.True(t, keeperRuns(t, pool))
		stopSecond()
		require.Eventually(t, func() bool { return !keeperRuns(t, pool) }, patience, tick)
	})
	t.Run("AKilledSessionIsReplaced", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		k, _ := runKeeper(t, pool)
		require.Eventually(t, holds(k), patience, tick)
		killed := count(t, pool, `SELECT count(pg_terminate_backend(pid)) FROM pg_locks
			WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
		require.Equal(t, 1, killed)
		before := k.Stats().Cleans
		upsert(t, w, eventRows(0, 200))
		require.Eventually(t, func() bool { return k.Stats().Cleans > before && k.Stats().Holds }, patience, tick)
	})
	t.Run("AMissingTableDoesNotEndIt", func(t *testing.T) {
		t.Parallel()
		pool, err := pgxpool.New(t.Context(), postgrestest.EmptyURL(t))
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		k, _ := runKeeper(t, pool)
		require.NoError(t, postgres.Migrate(t.Context(), pool, nil))
		w := postgres.NewWriter(pool)
		upsert(t, w, eventRows(0, 200))
		require.Eventually(t, func() bool { return k.Stats().Cleans > 0 }, patience, tick)
	})
}

// seeLimit gives what tells how long a writer lets the pending list grow. The INSERT runs a trigger in the writer's
// transaction, which tells its setting.
func seeLimit(t *testing.T, owner *pgxpool.Pool) func(*postgres.Writer) string {
	t.Helper()
	_, err := owner.Exec(t.Context(), `CREATE TABLE seen_limit (value TEXT);
		INSERT INTO seen_limit VALUES ('');
		GRANT ALL ON seen_limit TO PUBLIC;
		CREATE FUNCTION see_limit() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN UPDATE seen_limit SET value = current_setting('gin_pending_list_limit'); RETURN NULL; END $$;
		CREATE TRIGGER see_limit BEFORE INSERT ON account_events FOR EACH STATEMENT EXECUTE FUNCTION see_limit()`)
	require.NoError(t, err)
	return func(w *postgres.Writer) string {
		upsert(t, w, eventRows(0, 1))
		var value string
		require.NoError(t, owner.QueryRow(t.Context(), "SELECT value FROM seen_limit").Scan(&value))
		return value
	}
}

// A writer lets the pending list grow while somebody keeps the index, and no longer.
func TestWriterFollowsTheKeeper(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	_, stop := runKeeper(t, pool)
	limit := seeLimit(t, pool)
	w := postgres.NewWriter(pool)
	require.Eventually(t, func() bool { return limit(w) == "1GB" }, patience, tick)
	stop()
	require.Eventually(t, func() bool { return limit(w) == "4MB" }, patience, tick)
}

// Whoever may connect can take the keeper's lock. Nobody takes that session for a keeper.
func TestAStrangerIsNoKeeper(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	owner, logins := open(t, address, 4), postgrestest.Logins(t, address)
	sink, limit := open(t, logins[postgres.RoleSink], 4), seeLimit(t, owner)
	stranger := hold(t, logins[postgres.RoleReader], postgres.KeeperLock)

	for _, pool := range []*pgxpool.Pool{owner, sink, open(t, logins[postgres.RoleDoctor], 1)} {
		require.False(t, keeperRuns(t, pool))
		now, err := postgres.KeeperNow(t.Context(), pool)
		require.NoError(t, err)
		require.True(t, now.Foreign)
		require.False(t, now.Holds)
		require.Equal(t, int(stranger.PgConn().PID()), now.PID)
		require.Regexp(t, "reader_login$", now.Role)
	}
	require.Equal(t, "4MB", limit(postgres.NewWriter(sink)))

	core, logs := observer.New(zap.WarnLevel)
	keeper := postgres.NewKeeper(sink, zap.New(core))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- keeper.Run(ctx) }()
	defer func() { cancel(); require.NoError(t, <-done) }()
	require.Eventually(t, func() bool { return logs.FilterField(zap.Int("pid", int(stranger.PgConn().PID()))).Len() == 1 }, patience, tick, "the keeper says who is in its way")
	require.NoError(t, stranger.Close(t.Context()))
	require.Eventually(t, holds(keeper), patience, tick)
	require.True(t, keeperRuns(t, sink))
	w := postgres.NewWriter(sink)
	require.Eventually(t, func() bool { return limit(w) == "1GB" }, patience, tick)
	now, err := postgres.KeeperNow(t.Context(), open(t, logins[postgres.RoleDoctor], 1))
	require.NoError(t, err)
	require.True(t, now.Holds)
	require.False(t, now.Foreign)
}

func TestPendingPagesWithoutTheExtension(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	_, err := pool.Exec(t.Context(), "DROP EXTENSION pgstattuple")
	require.NoError(t, err)
	_, err = postgres.PendingPages(t.Context(), pool)
	require.ErrorIs(t, err, postgres.ErrNotMeasured)
}
