// Package postgrestest gives each test a database of its own on a real Postgres, with the schema in place.
//
// The first test that asks starts one server for the whole test binary, without durability, on a free port. It
// ends with the binary, however that ends; what a killed one left on disk is removed by the next. A package that
// checks for leaked goroutines wraps its tests in [Main], which stops the server when they are done:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }
//
// With THROUGHLINE_TEST_POSTGRES_URL set, that server is used instead; its role must be allowed to create
// databases. Any number of test binaries may share it.
package postgrestest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// URLVariable names the environment variable with the Postgres to use instead of one of our own.
const URLVariable = "THROUGHLINE_TEST_POSTGRES_URL"

// setupTimeout bounds everything that happens before the test has its database.
const setupTimeout = 2 * time.Minute

// New returns a pool on a fresh database with all migrations applied. Database and pool end with the test.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(URL(t))
	require.NoError(t, err)
	config.MaxConns = 16
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// URL returns the address of a fresh database with all migrations applied. The database ends with the test,
// connections that are still open included.
func URL(t testing.TB) string {
	t.Helper()
	return create(t, true)
}

// EmptyURL returns the address of a fresh database without a schema, for tests of the migrations themselves.
func EmptyURL(t testing.TB) string {
	t.Helper()
	return create(t, false)
}

var databases atomic.Int64

func create(t testing.TB, migrated bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	server, err := shared.get(ctx)
	require.NoError(t, err)
	name := fmt.Sprintf("throughline_test_%d_%d_%d", os.Getpid(), time.Now().UnixNano()%1e9, databases.Add(1))
	source := "template0"
	if migrated {
		source = server.template
	}
	require.NoError(t, admin(ctx, server.url, func(conn *pgx.Conn) error {
		// The default copies by way of the log, whose first files cost a young server more than the database does.
		_, err := conn.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+source+" STRATEGY file_copy")
		return err
	}))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
		defer cancel()
		require.NoError(t, admin(ctx, server.url, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
			return err
		}))
	})
	return withDatabase(server.url, name)
}

// admin runs one action on a connection of its own to the server's administrative database.
func admin(ctx context.Context, url string, action func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connecting to the test server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return action(conn)
}

// withDatabase replaces the database of a connection URL.
func withDatabase(url, name string) string {
	rest, query, hasQuery := strings.Cut(url, "?")
	scheme, rest, _ := strings.Cut(rest, "://")
	host, _, _ := strings.Cut(rest, "/")
	replaced := scheme + "://" + host + "/" + name
	if hasQuery {
		replaced += "?" + query
	}
	return replaced
}
