package postgrestest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// Pgbouncer starts the distribution's pgbouncer, in the mode "transaction" or "session", before the server of the
// database at this address, and gives the database's address by way of it. It ends with the test.
func Pgbouncer(t testing.TB, databaseURL, mode string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // not on everybody's PATH
	}
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	ports, err := process.FreePorts(1)
	require.NoError(t, err)
	password, _ := u.User.Password()
	server := fmt.Sprintf("host=%s port=%s user=%s", u.Hostname(), u.Port(), u.User.Username())
	if password != "" {
		server += " password=" + password
	}
	// Not t.TempDir, which another user, that a pooler of root's runs as, cannot enter.
	dir, err := os.MkdirTemp("", "throughline-pgbouncer-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755)) // test data
	config := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = %s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = 30
max_client_conn = 300
ignore_startup_parameters = extra_float_digits
`, server, ports[0], mode), 0o644)) // as above
	args := []string{"-q", config}
	if os.Geteuid() == 0 {
		args = []string{"-q", "-u", "nobody", config}
	}
	cmd := exec.CommandContext(context.Background(), program, args...)
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	defer log.Close() // the pooler has its own
	cmd.Stderr = log
	pooler, err := process.Start(cmd)
	require.NoError(t, err, "apt-get install pgbouncer")
	t.Cleanup(func() { pooler.Kill() })
	u.Host = net.JoinHostPort("127.0.0.1", fmt.Sprint(ports[0]))
	ctx, cancel := context.WithTimeout(t.Context(), setupTimeout)
	defer cancel()
	err = pooler.Await(ctx, func(ctx context.Context) error {
		return admin(ctx, u.String(), func(conn *pgx.Conn) error { return conn.Ping(ctx) })
	})
	text, _ := os.ReadFile(log.Name())
	require.NoError(t, err, "%s", text)
	return u.String()
}
