package postgres_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// A server whose machine is gone is found out within seconds.
func TestConnectionsHaveAUserTimeout(t *testing.T) {
	t.Parallel()
	pool := open(t, with(t, postgrestest.URL(t), "sslmode", "disable"), 1)
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	raw, err := postgres.TCPConn(conn.Conn().PgConn().Conn()).SyscallConn()
	require.NoError(t, err)
	option := func(level, name int) (value int) {
		require.NoError(t, raw.Control(func(fd uintptr) { value, err = syscall.GetsockoptInt(int(fd), level, name) }))
		require.NoError(t, err)
		return value
	}
	require.Equal(t, 20_000, option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT))
	require.Equal(t, 1, option(unix.SOL_SOCKET, unix.SO_KEEPALIVE))
	require.Equal(t, 10, option(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE))
}
