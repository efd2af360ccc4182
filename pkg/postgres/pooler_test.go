package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// Behind a pooler in transaction mode every transaction meets another session,
// and none of ours may leave anything behind in one.
func TestBehindAPooler(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	direct, err := postgres.Open(t.Context(), postgres.Config{URL: settings.URL(url), MaxConns: 4}, "direct")
	require.NoError(t, err)
	t.Cleanup(direct.Close)
	k, _ := runKeeper(t, direct)
	require.Eventually(t, holds(k), patience, tick)

	pool, err := postgres.Open(t.Context(), postgres.Config{URL: settings.URL(postgrestest.Pooler(t, url)), MaxConns: 4}, "pooled")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w := postgres.NewWriter(pool)
	var group errgroup.Group
	for range 2 {
		group.Go(func() error {
			for round := range 10 {
				_, err := w.Upsert(t.Context(), eventRows(round*50, round*50+100), func(ctx context.Context, tx pgx.Tx, _ postgres.Inserted) error {
					_, err := tx.Exec(ctx, "SELECT $1::text[], $2::bigint", []string{"a"}, int64(1))
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	events, err := postgres.Timeline(t.Context(), pool, postgres.TimelineQuery{AccountID: account(1), Source: "stripe"})
	require.NoError(t, err)
	require.Len(t, events, 550)
	_, followed, err := postgres.Follow(t.Context(), pool, postgres.TimelineQuery{AccountID: account(1)})
	require.NoError(t, err)
	require.Len(t, followed, 550)

	require.Zero(t, count(t, direct, "SELECT count(*) FROM pg_class WHERE relpersistence = 't'"), "no temporary table")
	for range 10 {
		require.Equal(t, "4MB", setting(t, pool, "gin_pending_list_limit"), "no setting stays in a session")
	}
}

// A keeper behind a pooler would leave its lock in a session that is not its own.
func TestAKeeperBehindAPooler(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	direct, err := postgres.Open(t.Context(), postgres.Config{URL: settings.URL(url), MaxConns: 2}, "direct")
	require.NoError(t, err)
	t.Cleanup(direct.Close)
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: settings.URL(postgrestest.Pooler(t, url)), MaxConns: 2}, "pooled")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	told := make(chan struct{})
	log := zaptest.NewLogger(t, zaptest.WrapOptions(zap.Hooks(func(entry zapcore.Entry) error {
		if strings.Contains(entry.Message, "does not keep the GIN index") {
			close(told) // a second time would panic
		}
		return nil
	})))
	ctx, cancel := context.WithCancel(t.Context())
	k := postgres.NewKeeper(pool, log)
	var group errgroup.Group
	group.Go(func() error { return k.Run(ctx) })
	<-told
	require.False(t, keeperRuns(t, direct))
	cancel()
	require.NoError(t, group.Wait())
}

// Past the pooler there are sessions: for migrations, and for a keeper's lock.
func TestDirectURL(t *testing.T) {
	t.Parallel()
	url := postgrestest.EmptyURL(t)
	config := postgres.Config{URL: settings.URL(postgrestest.Pooler(t, url)), DirectURL: settings.URL(url), MaxConns: 2}
	require.NoError(t, config.Validate())
	direct, err := postgres.Open(t.Context(), config.Direct(), "direct")
	require.NoError(t, err)
	t.Cleanup(direct.Close)
	require.NoError(t, postgres.Migrate(t.Context(), direct, nil))
	k, _ := runKeeper(t, direct)
	require.Eventually(t, holds(k), patience, tick)

	config.DirectURL = "mysql://x"
	require.ErrorContains(t, config.Validate(), "THROUGHLINE_POSTGRES_DIRECT_URL does not begin with postgres://")
	config.DirectURL = "postgres://u:hidden@127.0.0.1:1/x"
	_, err = postgres.Open(t.Context(), config.Direct(), "direct")
	require.ErrorContains(t, err, "connecting to Postgres (THROUGHLINE_POSTGRES_DIRECT_URL)")
	config.DirectURL = ""
	require.Equal(t, config, config.Direct())
}
