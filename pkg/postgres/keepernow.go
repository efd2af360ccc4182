package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// KeeperSession is the session that keeps the GIN index, as Postgres shows it. Program, Client and LastWorked are empty
// where this role may not see another role's sessions.
type KeeperSession struct {
	Holds      bool // somebody does
	Foreign    bool // whoever holds the keeper's lock may not merge the list, so that nobody does
	PID        int
	Role       string        // whose session it is
	Program    string        // application_name
	Client     string        // address; "": a local socket
	LastWorked time.Duration // since its last statement began
}

// KeeperNow looks who keeps the GIN index, or who holds the lock and does not. No session is the zero value.
func KeeperNow(ctx context.Context, db rowQuerier) (k KeeperSession, err error) {
	err = db.QueryRow(ctx, `SELECT a.pid, coalesce(usename::text, ''), NOT `+keeperMay+`, coalesce(application_name, ''), coalesce(host(client_addr), ''), coalesce(clock_timestamp() - query_start, '0')
		FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid WHERE `+keeperHolds+` LIMIT 1`).Scan(&k.PID, &k.Role, &k.Foreign, &k.Program, &k.Client, &k.LastWorked)
	if errors.Is(err, pgx.ErrNoRows) {
		return KeeperSession{}, nil
	}
	if err != nil {
		return KeeperSession{}, fmt.Errorf("looking for the keeper: %w", err)
	}
	k.Holds = !k.Foreign
	return k, nil
}

// rowQuerier is a pool, a connection or a transaction.
type rowQuerier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}
