package postgrestest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/local/pgserver"
	"github.com/throughline-dev/throughline/pkg/local/process"
)

// Node is a Postgres of one test, alone or one of a primary and its standby, that can be stopped, killed and
// promoted, with all its durability. It ends with the test.
type Node struct {
	t      testing.TB
	dir    string
	env    []string
	server *pgserver.Server // nil while it does not run
	port   int
	url    string
}

// NodeOptions say how a node is run.
type NodeOptions struct {
	Parent string   // the directory in which its own is made, which everybody may enter; "": the temporary one
	Env    []string // added to the server's environment
}

// NewNode starts a primary with an empty, migrated database.
func NewNode(t testing.TB) *Node {
	t.Helper()
	return NewNodeWith(t, NodeOptions{})
}

// NewNodeWith is NewNode with options.
func NewNodeWith(t testing.TB, o NodeOptions) *Node {
	t.Helper()
	n := newNode(t, o)
	n.Start()
	require.NoError(t, migrate(t.Context(), n.URL()))
	return n
}

func newNode(t testing.TB, o NodeOptions) *Node {
	t.Helper()
	// Not t.TempDir, which another user, that a server of root's runs as, cannot enter.
	dir, err := os.MkdirTemp(o.Parent, "throughline-node-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755)) // test data
	n := &Node{t: t, dir: filepath.Join(dir, "data"), env: o.Env}
	t.Cleanup(func() {
		n.Stop()
		require.NoError(t, os.RemoveAll(dir))
	})
	return n
}

// Standby makes a streaming standby of a running node, and starts it.
func (n *Node) Standby() *Node {
	n.t.Helper()
	return n.StandbyWith(NodeOptions{})
}

// StandbyWith is Standby with options.
func (n *Node) StandbyWith(o NodeOptions) *Node {
	n.t.Helper()
	s := newNode(n.t, o)
	s.Follow(n)
	return s
}

// Follow makes a node that does not run a streaming standby of another, with pg_basebackup, and starts it. What it had
// before is gone.
func (n *Node) Follow(primary *Node) {
	n.t.Helper()
	n.baseBackup(primary, n.dir, "--write-recovery-conf")
	n.Start()
	primary.Await("SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'")
}

// baseBackup copies a node that runs to a directory.
func (n *Node) baseBackup(of *Node, dir string, more ...string) {
	n.t.Helper()
	program, err := exec.LookPath("pg_basebackup")
	if err != nil {
		found, globErr := filepath.Glob("/usr/lib/postgresql/*/bin/pg_basebackup")
		require.NoError(n.t, globErr)
		require.NotEmpty(n.t, found, "pg_basebackup is missing: apt-get install postgresql-client")
		program = found[len(found)-1]
	}
	require.NoError(n.t, os.RemoveAll(dir))
	cmd := exec.CommandContext(n.t.Context(), program, "--pgdata", dir, "--dbname", of.URL(), "--wal-method=stream", "--checkpoint=fast", "--no-sync")
	cmd.Args = append(cmd.Args, more...)
	out, err := process.Run(cmd)
	require.NoError(n.t, err, string(out))
	require.NoError(n.t, os.Chmod(dir, 0o700))
}

// Start starts a node that does not run, on the port that it had.
func (n *Node) Start() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	var err error
	n.server, err = pgserver.Start(ctx, pgserver.Options{DataDir: n.dir, Port: n.port, Env: n.env})
	require.NoError(n.t, err)
	n.port, n.url = n.server.Port(), n.server.URL()
}

// URL is the address of its database, also while it does not run.
func (n *Node) URL() string { return n.url }

// URLs is the address of the database of several nodes, of which one takes writes.
func URLs(t testing.TB, nodes ...*Node) string {
	t.Helper()
	u, err := url.Parse(nodes[0].URL())
	require.NoError(t, err)
	var hosts []string
	for _, n := range nodes {
		hosts = append(hosts, fmt.Sprintf("127.0.0.1:%d", n.port))
	}
	u.Host = strings.Join(hosts, ",")
	return u.String()
}

// Stop ends it in order: a standby that is connected has all of it then. One that does not run stays so.
func (n *Node) Stop() {
	n.t.Helper()
	if n.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	require.NoError(n.t, n.server.Stop(ctx))
	n.server = nil
}

// Crash gives it no time to stop: connections are cut, and it recovers at its next start.
func (n *Node) Crash() {
	n.t.Helper()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(n.t, n.server.Stop(now), context.Canceled)
	n.server = nil
}

// Revive starts it again if it has ended by itself, and waits until it answers if it only recovers.
func (n *Node) Revive() {
	n.t.Helper()
	select {
	case <-n.server.Done():
		n.server = nil
		n.Start()
	default:
	}
	require.Eventually(n.t, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return admin(ctx, n.URL(), func(conn *pgx.Conn) error { return conn.Ping(ctx) }) == nil
	}, setupTimeout, 50*time.Millisecond)
}

// Exec runs statements as its superuser.
func (n *Node) Exec(sql string) {
	n.t.Helper()
	n.on(func(ctx context.Context, conn *pgx.Conn) error { _, err := conn.Exec(ctx, sql); return err })
}

// Await waits until a query, which gives a boolean, gives true.
func (n *Node) Await(sql string) {
	n.t.Helper()
	require.Eventually(n.t, func() (ok bool) {
		n.on(func(ctx context.Context, conn *pgx.Conn) error { return conn.QueryRow(ctx, sql).Scan(&ok) })
		return ok
	}, setupTimeout, 20*time.Millisecond, sql)
}

func (n *Node) on(do func(context.Context, *pgx.Conn) error) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	require.NoError(n.t, admin(ctx, n.URL(), func(conn *pgx.Conn) error { return do(ctx, conn) }))
}

// Promote makes a standby a primary, once it has all that it was sent.
func (n *Node) Promote() {
	n.t.Helper()
	n.Exec("SELECT pg_promote(true, 60)")
}

// BaseBackup takes a base backup of a node that runs, with the WAL that it needs, for Restore.
func (n *Node) BaseBackup() (backup string) {
	n.t.Helper()
	backup = n.dir + ".backup"
	n.baseBackup(n, backup)
	return backup
}

// Restore starts a node that does not run from a base backup: what it had since is gone.
func (n *Node) Restore(backup string) {
	n.t.Helper()
	require.NoError(n.t, os.RemoveAll(n.dir))
	require.NoError(n.t, os.Rename(backup, n.dir))
	n.Start()
}
