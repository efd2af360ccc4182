package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// connectTimeout bounds one connection attempt, so that an address which swallows packets shows as an error.
	connectTimeout = 5 * time.Second
	// pingTimeout bounds the look at a connection that was idle: behind one that is dead there may be one that works.
	pingTimeout = 5 * time.Second
)

// Open validates the configuration, makes a pool whose connections carry name as their application_name (what
// pg_stat_activity shows), and proves that the database answers. It does not retry. The caller closes the pool.
//
// Connections keep no statement prepared by name, so that they may go through a pooler in transaction mode
// (default_query_exec_mode in the URL says otherwise). They are made to servers that take writes only, unless the
// URL has its own target_session_attrs, with jit off, unless the URL says otherwise. Each reads the files for TLS that the
// URL names anew. When one finds that its server has become read-only or shuts down, all of the pool are dropped, and the
// next look for the server that takes writes among the hosts of the URL.
func Open(ctx context.Context, c Config, name string) (*pgxpool.Pool, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	pc, err := poolConfig(c, name)
	if err != nil {
		return nil, err
	}
	var made atomic.Pointer[pgxpool.Pool]
	pc.ConnConfig.OnPgError = keepUnlessLost(func() {
		if pool := made.Load(); pool != nil {
			pool.Reset()
		}
	})
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("making the Postgres pool: %w", err)
	}
	made.Store(pool)
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connecting to Postgres (%s): %w", c.variable(), err)
	}
	return pool, nil
}

func poolConfig(c Config, name string) (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(string(c.URL))
	if err != nil {
		return nil, fmt.Errorf("reading %s: it is not understood", c.variable())
	}
	u, err := url.Parse(string(c.URL))
	if err != nil {
		return nil, fmt.Errorf("reading %s: it is not a URL", c.variable())
	}
	asked := u.Query()
	pc.MaxConns = c.MaxConns
	conn := pc.ConnConfig
	conn.ConnectTimeout = connectTimeout
	conn.RuntimeParams["application_name"] = name
	if !asked.Has("default_query_exec_mode") {
		conn.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	if !asked.Has("target_session_attrs") {
		conn.ValidateConnect = requireWritable
	}
	if _, set := conn.RuntimeParams["jit"]; !set {
		conn.AfterConnect = withoutJIT
	}
	pc.PingTimeout = pingTimeout
	conn.DialFunc = dial(c.peerTimeout())
	pc.BeforeConnect = renewed(c)
	return pc, nil
}

// keepUnlessLost closes a connection after which nothing more is to be expected of its server, and calls lost.
func keepUnlessLost(lost func()) pgconn.PgErrorHandler {
	return func(_ *pgconn.PgConn, err *pgconn.PgError) bool {
		if stateOf(err).lost {
			lost()
			return false
		}
		return !strings.EqualFold(err.Severity, "FATAL")
	}
}

// withoutJIT is for statements like ours, which read few rows by indexes: compiling one takes up to seconds, on estimates
// that have little to do with what it reads, and saves nothing. It is no startup parameter, because poolers refuse those
// that they do not know.
func withoutJIT(ctx context.Context, conn *pgconn.PgConn) error {
	if err := conn.Exec(ctx, "SET jit = off").Close(); err != nil {
		return fmt.Errorf("switching the compilation of statements off: %w", err)
	}
	return nil
}

// errReadOnly refuses a connection to a server that takes no writes.
var errReadOnly = errors.New("the server is read-only")

// requireWritable is target_session_attrs=read-write, with an error that can be told from others.
func requireWritable(ctx context.Context, conn *pgconn.PgConn) error {
	results, err := conn.Exec(ctx, "SHOW transaction_read_only").ReadAll()
	switch {
	case err != nil:
		return fmt.Errorf("asking whether the server takes writes: %w", err)
	case len(results) == 1 && len(results[0].Rows) == 1 && string(results[0].Rows[0][0]) == "on":
		return errReadOnly
	}
	return nil
}
