package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The GIN index on the payload is what a write costs. New entries first go to its pending list, and the writer
// that finds the list longer than gin_pending_list_limit (4 MB unless set) stops to merge it into the index. While
// a Keeper merges on a connection of its own, writers allow the list 1 GB and so never stop: 1.7 times the rate
// and half the longest stall.
//
// The limit is set in the writer's transaction and nowhere else. Nothing is left behind when a keeper or a writer is
// killed: writers look every second whether a keeper holds its lock, and go back to the default when not.
// A limit that an operator gave the index itself (ALTER INDEX … SET) wins over both.
const (
	keeperLock       = "8388080129014197104" // any number that no other advisory lock uses
	keeperCheckEvery = time.Second
)

// Anybody who may connect can take the lock, so it counts only in the hands of a role that may merge the list: a member of
// the sink's role, the owner of the schema or a superuser. Who a session's role is, all may see.
const (
	keeperMay   = `coalesce(has_function_privilege(a.usesysid, to_regprocedure('clean_payload_index()'), 'EXECUTE'), false)`
	keeperHolds = advisoryHeld + keeperLock
	keeperRuns  = `EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE ` + keeperHolds + ` AND ` + keeperMay + `)`
)

// ErrNotMeasured says that pending pages cannot be seen: the extension pgstattuple is not installed in the
// database, or the owner of the schema may not call it (it needs pg_stat_scan_tables).
var ErrNotMeasured = errors.New("pending pages are not measured: the extension pgstattuple is missing or not permitted")

// PendingPages is how many 8 KB pages of the GIN index wait to be merged: what every search of the payload has to
// read besides the index. It is ErrNotMeasured where Postgres has no way to tell.
func PendingPages(ctx context.Context, pool *pgxpool.Pool) (int64, error) {
	var pages *int64
	err := pool.QueryRow(ctx, "SELECT payload_index_pending_pages()").Scan(&pages)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && (pgErr.Code == undefinedFunction || pgErr.Code == insufficientPrivilege) {
		return 0, ErrNotMeasured
	}
	if err != nil {
		return 0, Classify(fmt.Errorf("measuring the pending list: %w", err))
	}
	if pages == nil {
		return 0, ErrNotMeasured
	}
	return *pages, nil
}

// keepAlive makes the server notice within seconds that a client's machine is gone, so that its lock is free for
// the next keeper.
const keepAlive = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"
