package postgres

import (
	"context"
	"net"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
)

// The keys of advisory locks.
const (
	KeeperLock = keeperLock
	RolesLock  = rolesLock
)

// TellingValues are those that the index is asked for.
var TellingValues = tellingValues

// MigrateTrying is Migrate that asks for the lock so often, a second apart.
func MigrateTrying(ctx context.Context, pool *pgxpool.Pool, log *zap.Logger, tries uint64) error {
	return migrate(ctx, pool, log, tries)
}

// KeeperRuns asks whether any process is this database's keeper now.
const KeeperRuns = keeperRuns

// TCPConn gives the socket of a connection without TLS.
func TCPConn(conn net.Conn) *net.TCPConn { return conn.(*namedConn).Conn.(*net.TCPConn) }
