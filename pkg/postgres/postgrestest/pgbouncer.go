package postgrestest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// Bouncer is the distribution's pgbouncer before a database. It ends with the test.
type Bouncer struct {
	t       testing.TB
	cmd     []string
	log     string
	url     string
	process *process.Process
}

// Pgbouncer starts the distribution's pgbouncer, in the mode "transaction" or "session", before the server of the
// database at this address, and gives the database's address by way of it. It ends with the test.
func Pgbouncer(t testing.TB, databaseURL, mode string) string {
	t.Helper()
	b := NewBouncer(t, databaseURL, mode)
	ctx, cancel := context.WithTimeout(t.Context(), setupTimeout)
	defer cancel()
	err := b.process.Await(ctx, func(ctx context.Context) error {
		return admin(ctx, b.url, func(conn *pgx.Conn) error { return conn.Ping(ctx) })
	})
	text, _ := os.ReadFile(b.log)
	require.NoError(t, err, "%s", text)
	return b.url
}

// NewBouncer starts one, whether the server answers or not.
func NewBouncer(t testing.TB, databaseURL, mode string) *Bouncer {
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
	// A server that refused is asked again after a second, not after 15.
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
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
`, server, ports[0], mode), 0o644)) // as above
	b := &Bouncer{t: t, cmd: []string{program, "-q", config}, log: filepath.Join(dir, "log")}
	if os.Geteuid() == 0 {
		b.cmd = []string{program, "-q", "-u", "nobody", config}
	}
	u.Host = net.JoinHostPort("127.0.0.1", fmt.Sprint(ports[0]))
	b.url = u.String()
	b.Start()
	t.Cleanup(b.Kill)
	return b
}

// URL is the database's address by way of it, also while it does not run.
func (b *Bouncer) URL() string { return b.url }

// Start starts one that does not run.
func (b *Bouncer) Start() {
	b.t.Helper()
	cmd := exec.CommandContext(context.Background(), b.cmd[0], b.cmd[1:]...)
	log, err := os.Create(b.log)
	require.NoError(b.t, err)
	defer log.Close() // the pooler has its own
	cmd.Stderr = log
	b.process, err = process.Start(cmd)
	require.NoError(b.t, err, "apt-get install pgbouncer")
}

// Kill ends it with SIGKILL: its clients' connections and its own end.
func (b *Bouncer) Kill() { b.process.Kill() }

// Freeze stops it without ending it, until Thaw: nothing answers, and no connection ends.
func (b *Bouncer) Freeze() { b.process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen one go on.
func (b *Bouncer) Thaw() { b.process.Signal(syscall.SIGCONT) }
