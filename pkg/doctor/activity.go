package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// fewConnections is what an administrator and one more service need.
	fewConnections = 10
	// longTransaction keeps dead rows and a move of history waiting.
	longTransaction = 10 * time.Minute
	// deadRows and deadShare: autovacuum should have been there.
	deadRows, deadShare = 50_000, 0.3
	// wrapAge is where Postgres itself begins to hurry (vacuum_failsafe_age is 1.6 billion, the end 2.1).
	wrapAge = 1_000_000_000
	// slotWarning is how much WAL a replication slot may hold.
	slotWarning = 5 << 30
)

func activityChecks() []Check {
	return []Check{
		onPostgres("postgres.connections", "connections are left", (*examination).connections),
		onPostgres("postgres.transactions", "no transaction has been open for long", (*examination).openTransactions),
		onPostgres("postgres.vacuum", "autovacuum keeps up with our tables", (*examination).vacuum),
		onPostgres("postgres.slots", "no replication slot holds WAL until the disk is full", (*examination).slots),
	}
}

func (e *examination) connections(ctx context.Context, pool *pgxpool.Pool) Finding {
	var used, most, role int
	err := pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
		current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
		(SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user)`).Scan(&used, &most, &role)
	if err != nil {
		return queryFailed(err)
	}
	if role >= 0 && role < most {
		var mine int
		if err := pool.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user").Scan(&mine); err != nil {
			return queryFailed(err)
		}
		if left := role - mine; left < fewConnections {
			return warning("raise it (ALTER ROLE … CONNECTION LIMIT), or lower THROUGHLINE_POSTGRES_MAX_CONNS", "%d of the %d connections that this role may have are left", max(left, 0), role)
		}
	}
	if left := most - used; left < fewConnections {
		return warning("raise the server's max_connections, lower THROUGHLINE_POSTGRES_MAX_CONNS, or put a pooler in between", "%d of %d connections are left", max(left, 0), most)
	}
	return ok("%d of %d connections are left", most-used, most)
}

func (e *examination) openTransactions(ctx context.Context, pool *pgxpool.Pool) Finding {
	var age, prepared time.Duration
	var pid, hidden int
	var program, state string
	err := pool.QueryRow(ctx, `SELECT coalesce(a.age, '0'), coalesce(a.pid, 0), coalesce(a.application_name, ''), coalesce(a.state, ''),
		(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND state IS NULL),
		(SELECT coalesce(max(now() - prepared), '0') FROM pg_prepared_xacts WHERE database = current_database())
		FROM (SELECT 1) AS one LEFT JOIN LATERAL (SELECT clock_timestamp() - xact_start AS age, pid, application_name, state FROM pg_stat_activity
			WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1) AS a ON true`).
		Scan(&age, &pid, &program, &state, &hidden, &prepared)
	if err != nil {
		return queryFailed(err)
	}
	more := ""
	if hidden > 0 {
		more = fmt.Sprintf(" (%d sessions of other roles cannot be seen: GRANT pg_read_all_stats)", hidden)
	}
	switch {
	case prepared > longTransaction:
		return warning("look at pg_prepared_xacts and end it: ROLLBACK PREPARED or COMMIT PREPARED", "a prepared transaction has been open for %v", rounded(prepared))
	case age > longTransaction:
		return warning(fmt.Sprintf("look at it in pg_stat_activity and end it: SELECT pg_terminate_backend(%d)", pid),
			"a transaction has been open for %v: process %d, program %q, %s%s", rounded(age), pid, program, state, more)
	case pid == 0:
		return ok("no other transaction is open%s", more)
	}
	return ok("the longest transaction has been open for %v%s", rounded(age), more)
}

func (e *examination) vacuum(ctx context.Context, pool *pgxpool.Pool) Finding {
	rows, err := pool.Query(ctx, `SELECT relname, n_dead_tup, n_live_tup FROM pg_stat_user_tables
		WHERE schemaname = current_schema() AND relname IN ('account_events', 'account_event_origins', 'quarantine', 'account_links') ORDER BY n_dead_tup DESC`)
	if err != nil {
		return queryFailed(err)
	}
	type table struct {
		Name       string
		Dead, Live int64
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	if err != nil {
		return queryFailed(err)
	}
	var age int64
	var off bool
	if err := pool.QueryRow(ctx, "SELECT age(datfrozenxid), NOT current_setting('autovacuum')::bool FROM pg_database WHERE datname = current_database()").Scan(&age, &off); err != nil {
		return queryFailed(err)
	}
	if len(tables) == 0 {
		return noTables()
	}
	switch worst := tables[0]; {
	case age > wrapAge:
		return failed("look for what holds it back (postgres.transactions, postgres.slots), then VACUUM (FREEZE)", "the oldest transaction id is %d transactions old; at 2.1 billion the server stops taking writes", age)
	case off:
		return warning("ALTER SYSTEM SET autovacuum = on", "autovacuum is off")
	case worst.Dead > deadRows && float64(worst.Dead) > deadShare*float64(worst.Live):
		return warning("VACUUM (ANALYZE) "+worst.Name+"; look for what holds it back: postgres.transactions, postgres.slots", "%s has %d dead rows beside %d live ones", worst.Name, worst.Dead, worst.Live)
	default:
		return ok("at most %d dead rows in a table", worst.Dead)
	}
}

func (e *examination) slots(ctx context.Context, pool *pgxpool.Pool) Finding {
	var name string
	var active bool
	var held int64
	err := pool.QueryRow(ctx, `SELECT coalesce(s.slot_name, ''), coalesce(s.active, true), coalesce(s.held, 0)::bigint
		FROM (SELECT 1) AS one LEFT JOIN LATERAL (
			SELECT slot_name, active, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn) AS held
			FROM pg_replication_slots WHERE restart_lsn IS NOT NULL ORDER BY 3 DESC NULLS LAST LIMIT 1) AS s ON true`).Scan(&name, &active, &held)
	if err != nil {
		return queryFailed(err)
	}
	switch {
	case name == "":
		return ok("no replication slot holds WAL")
	case held > slotWarning:
		state := map[bool]string{true: "is active", false: "is not active"}[active]
		return warning(fmt.Sprintf("bring its reader back, or drop it: SELECT pg_drop_replication_slot('%s'); max_slot_wal_keep_size bounds it", name), "replication slot %s %s and holds %d MiB of WAL", name, state, held>>20)
	}
	return ok("replication slots hold %d MiB of WAL at most", held>>20)
}
