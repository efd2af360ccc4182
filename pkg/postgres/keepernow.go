package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// KeeperSession is the session that keeps the GIN index, as Postgres shows it. Program, Client and LastWorked are empty
// where this role may not see another role's sessions.
type KeeperSession struct {
	Holds      bool // somebody does
	PID        int
	Program    string        // application_name
	Client     string        // address; "": a local socket
	LastWorked time.Duration // since its last statement began
}

// KeeperNow looks who keeps the GIN index.
func KeeperNow(ctx context.Context, pool *pgxpool.Pool) (k KeeperSession, err error) {
	err = pool.QueryRow(ctx, `SELECT a.pid, coalesce(application_name, ''), coalesce(host(client_addr), ''), coalesce(clock_timestamp() - query_start, '0')
		FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid WHERE `+keeperHolds+` LIMIT 1`).Scan(&k.PID, &k.Program, &k.Client, &k.LastWorked)
	if errors.Is(err, pgx.ErrNoRows) {
		return KeeperSession{}, nil
	}
	if err != nil {
		return KeeperSession{}, fmt.Errorf("looking for the keeper: %w", err)
	}
	k.Holds = true
	return k, nil
}
