package doctor

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

const (
	pageBytes = 8 << 10
	// pendingMost is what a search of the payload reads unmerged: the list is merged five times a second while somebody keeps it.
	pendingMost = 64 << 20
)

func indexChecks() []Check {
	return []Check{
		onPostgres("postgres.keeper", "one sink merges the payload index's pending list, and has just done so", (*examination).keeper),
		onPostgres("postgres.pending-list", "the payload index's pending list is short", (*examination).pendingList),
	}
}

func (e *examination) keeper(ctx context.Context, pool *pgxpool.Pool) Finding {
	if !hasTables(ctx, pool) {
		return noTables()
	}
	k, err := postgres.KeeperNow(ctx, pool)
	if err != nil {
		return queryFailed(err)
	}
	switch {
	case k.Foreign:
		return warning(fmt.Sprintf("SELECT pg_terminate_backend(%d), and ask who uses the role %s: whoever may connect to the database can take that lock", k.PID, k.Role),
			"process %d of role %s, which may not merge the payload index's pending list, holds the lock of who does: no process keeps the index, and writers stop to merge", k.PID, k.Role)
	case !k.Holds:
		return warning("start a sink; where THROUGHLINE_POSTGRES_URL leads to a pooler, set THROUGHLINE_POSTGRES_DIRECT_URL for it", "no process keeps the payload index, so writers stop to merge its pending list")
	case k.Program == "":
		return ok("process %d keeps the payload index (what it does cannot be seen: GRANT pg_read_all_stats)", k.PID)
	case k.LastWorked > longTransaction:
		return warning("look at it in pg_stat_activity; pg_terminate_backend() lets another take over", "process %d (%s) keeps the payload index, but has not worked for %v", k.PID, k.Program, rounded(k.LastWorked))
	}
	return ok("process %d (%s, %s) keeps the payload index; it last worked %v ago", k.PID, k.Program, k.Client, rounded(k.LastWorked))
}

func (e *examination) pendingList(ctx context.Context, pool *pgxpool.Pool) Finding {
	pages, err := postgres.PendingPages(ctx, pool)
	if errors.Is(err, postgres.ErrNotMeasured) {
		return notChecked("CREATE EXTENSION pgstattuple, and GRANT pg_stat_scan_tables to this role", "%v", err)
	}
	if err != nil {
		return queryFailed(err)
	}
	if bytes := pages * pageBytes; bytes > pendingMost {
		return warning("see postgres.keeper; to merge it now: SELECT gin_clean_pending_list('account_events_payload_idx')", "%d MiB of the payload index wait to be merged, which every search of a payload reads", bytes>>20)
	}
	return ok("%d pages wait to be merged", pages)
}
