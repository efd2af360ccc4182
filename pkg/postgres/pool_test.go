package postgres_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/settings"
)

func open(t *testing.T, url string, conns int32) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: settings.URL(url), MaxConns: conns}, "test")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// with gives a database's address with one more parameter.
func with(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

func pid(t *testing.T, pool *pgxpool.Pool) (pid int) {
	t.Helper()
	return count(t, pool, "SELECT pg_backend_pid()")
}

// Compiling a statement takes longer than ours run: with it, a look at 5,000 quarantined records took 5 s instead of 10 ms.
func TestStatementsAreNotCompiled(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	for asked, want := range map[string]string{address: "off", with(t, address, "jit", "on"): "on"} {
		var jit string
		require.NoError(t, open(t, asked, 1).QueryRow(t.Context(), "SHOW jit").Scan(&jit))
		require.Equal(t, want, jit)
	}
}

// The pool looks for a server that takes writes, and leaves one that has ceased to.
func TestAReadOnlyServer(t *testing.T) {
	t.Parallel()
	t.Run("IsNotConnectedTo", func(t *testing.T) {
		t.Parallel()
		address := postgrestest.URL(t)
		admin := open(t, address, 1)
		_, err := admin.Exec(t.Context(), "ALTER DATABASE "+admin.Config().ConnConfig.Database+" SET default_transaction_read_only = on")
		require.NoError(t, err)
		_, err = postgres.Open(t.Context(), postgres.Config{URL: settings.URL(address), MaxConns: 1}, "test")
		require.Error(t, err)
		require.Contains(t, postgres.Advice(err), "read-only")
		require.Equal(t, "on", setting(t, open(t, with(t, address, "target_session_attrs", "any"), 1), "transaction_read_only"))
	})
	t.Run("IsLeft", func(t *testing.T) {
		t.Parallel()
		pool := open(t, postgrestest.URL(t), 1)
		w := postgres.NewWriter(pool)
		upsert(t, w, eventRows(0, 1))
		before := pid(t, pool)
		_, err := pool.Exec(t.Context(), "SET default_transaction_read_only = on") // what a demotion looks like
		require.NoError(t, err)
		_, err = w.Upsert(t.Context(), eventRows(1, 2))
		require.ErrorContains(t, err, "25006")
		require.False(t, fault.IsPermanent(err))
		require.Contains(t, postgres.Advice(err), "read-only")
		require.Equal(t, postgres.Result{Inserted: 1}, upsert(t, w, eventRows(1, 2)))
		require.NotEqual(t, before, pid(t, pool))
	})
}

func TestNoStatementIsPreparedByName(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	pool := open(t, address, 1)
	require.Equal(t, "4MB", setting(t, pool, "gin_pending_list_limit"))
	require.Zero(t, count(t, pool, "SELECT count(*) FROM pg_prepared_statements"))
	asked := open(t, with(t, address, "default_query_exec_mode", "cache_statement"), 1)
	require.Equal(t, pgx.QueryExecModeCacheStatement, asked.Config().ConnConfig.DefaultQueryExecMode)
}

// A batch that cannot go on, here for another's lock, ends, and says so.
func TestABatchHasADeadline(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ setting, says string }{
		"the writer's own":    {"0", "no answer within 1s"},
		"the administrator's": {"200ms", "57014"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := postgrestest.URL(t)
			other, err := open(t, address, 1).Begin(t.Context())
			require.NoError(t, err)
			_, err = other.Exec(t.Context(), "LOCK TABLE account_events")
			require.NoError(t, err)
			w := postgres.NewWriter(open(t, with(t, address, "statement_timeout", tt.setting), 1))
			if tt.setting == "0" {
				w = w.WithTimeout(time.Second)
			}
			_, err = w.Upsert(t.Context(), eventRows(0, 1))
			require.ErrorContains(t, err, tt.says)
			require.True(t, postgres.TimedOut(err))
			require.False(t, fault.IsPermanent(err))
			require.NoError(t, other.Rollback(t.Context()))
			require.Equal(t, postgres.Result{Inserted: 1}, upsert(t, w.WithTimeout(time.Minute), eventRows(0, 1)))
		})
	}
}

// An error names Postgres and its address, and never the password.
func TestErrorsNameTheServer(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	u, err := url.Parse(address)
	require.NoError(t, err)
	owner := open(t, address, 1)
	_, err = owner.Exec(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())")
	require.ErrorContains(t, err, "57P01")

	network := postgrestest.NewProxy(t, address)
	through, err := url.Parse(network.URL())
	require.NoError(t, err)
	through.User = url.UserPassword(u.User.Username(), "hunter2")
	pool := open(t, through.String(), 1)
	w := postgres.NewWriter(pool)
	upsert(t, w, eventRows(0, 1))
	network.Cut()
	_, err = w.Upsert(t.Context(), eventRows(1, 2))
	if err != nil { // else the pool has found out by itself
		require.ErrorContains(t, err, "Postgres")
		require.ErrorContains(t, err, through.Host)
		require.NotContains(t, err.Error(), "hunter2")
	}
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	network.Cut()
	for range 2 { // at first the end is read, then the connection is known as closed
		_, err = conn.Exec(t.Context(), "SELECT 1")
		err = postgres.Classify(err)
		require.ErrorContains(t, err, "Postgres")
		require.False(t, fault.IsPermanent(err))
		t.Log(err)
	}
	require.Equal(t, postgres.Result{Inserted: 1}, upsert(t, postgres.NewWriter(open(t, address, 1)), eventRows(1, 2)))
}
