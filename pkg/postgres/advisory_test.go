package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3/lock"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// hold takes an advisory lock in a session of its own, as anybody who may connect can.
func hold(t *testing.T, address string, key any) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	_, err = conn.Exec(t.Context(), fmt.Sprintf("SET application_name = 'psql'; SELECT pg_advisory_lock(%v)", key))
	require.NoError(t, err)
	return conn
}

// Whoever may connect can hold any advisory lock, for ever. Nobody waits for ever, and who is in the way is named.
func TestAHeldLockIsNamed(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	pool, logins := open(t, address, 4), postgrestest.Logins(t, address)
	says := func(err error, conn *pgx.Conn, what string) {
		t.Helper()
		require.ErrorContains(t, err, fmt.Sprintf("the lock of %s is held by process %d of role ", what, conn.PgConn().PID()))
		require.ErrorContains(t, err, "reader_login (psql), and was not free within ")
		require.False(t, fault.IsPermanent(err))
		require.Contains(t, fault.Advice(err), fmt.Sprintf("SELECT pg_terminate_backend(%d)", conn.PgConn().PID()))
	}
	t.Run("AnyLock", func(t *testing.T) {
		for _, key := range []int64{4711, -4711, 1 << 40, 8388080129014197348} {
			stranger := hold(t, logins[postgres.RoleReader], key)
			require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), "SET LOCAL lock_timeout = '7s'")
				require.NoError(t, err)
				says(postgres.LockAdvisory(t.Context(), tx, key, "the test", 10*time.Millisecond), stranger, "the test")
				var timeout string
				require.NoError(t, tx.QueryRow(t.Context(), "SELECT current_setting('lock_timeout')").Scan(&timeout), "the transaction goes on")
				require.Equal(t, "7s", timeout)
				require.NoError(t, stranger.Close(t.Context()))
				require.NoError(t, postgres.LockAdvisory(t.Context(), tx, key, "the test", patience))
				require.NoError(t, tx.QueryRow(t.Context(), "SELECT current_setting('lock_timeout')").Scan(&timeout))
				require.Equal(t, "7s", timeout)
				require.Equal(t, 1, count(t, pool, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"))
				return nil
			}))
		}
	})
	t.Run("Roles", func(t *testing.T) {
		stranger := hold(t, logins[postgres.RoleReader], postgres.RolesLock)
		_, err := postgres.ApplyRoles(t.Context(), pool, postgres.RoleOptions{Wait: 10 * time.Millisecond})
		says(err, stranger, "`throughline roles apply`")
	})
	t.Run("Migrate", func(t *testing.T) {
		_, err := pool.Exec(t.Context(), "DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)") // where nothing is to do, nobody waits
		require.NoError(t, err)
		core, logs := observer.New(zap.WarnLevel)
		stranger := hold(t, logins[postgres.RoleReader], lock.DefaultLockID)
		says(postgres.MigrateTrying(t.Context(), pool, zap.New(core), 1), stranger, "the migrations")
		require.Equal(t, 1, logs.FilterMessage("waiting for whoever holds the lock of the migrations").Len())
	})
}
