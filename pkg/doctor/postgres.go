package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// oldestServer is the oldest PostgreSQL that the schema and the statements are for.
const oldestServer = 15

func postgresChecks() []Check {
	return []Check{
		{"postgres.reachable", "Postgres answers with these settings, through the pooler and past it", (*examination).postgresReachable},
		onPostgres("postgres.version", fmt.Sprintf("the server is PostgreSQL %d or newer", oldestServer), (*examination).serverVersion),
		onPostgres("postgres.writable", "the server takes writes: it is no standby and not read-only", (*examination).writable),
		onPostgres("postgres.schema", "the schema is the one that this program knows", (*examination).schema),
		onPostgres("postgres.clock", "this machine's clock and the server's agree", (*examination).postgresClock),
	}
}

func (e *examination) postgresReachable(ctx context.Context, _ string) Finding {
	if e.Postgres == nil {
		return unset("THROUGHLINE_POSTGRES_URL")
	}
	db := e.postgres()
	if db.err != nil {
		return postgresAway(db.err, "THROUGHLINE_POSTGRES_URL")
	}
	if e.Postgres.DirectURL == "" {
		return ok("%v answers", e.Postgres.URL)
	}
	c := *e.Postgres
	c.DirectURL, c.MaxConns = "", 1
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	pool, err := postgres.Open(ctx, c, "throughline-doctor")
	if err != nil && !postgres.ReadOnly(err) {
		return postgresAway(err, "THROUGHLINE_POSTGRES_URL")
	}
	if err == nil {
		e.later(pool.Close)
	}
	return ok("%v answers, and %v past the pooler", e.Postgres.URL, e.Postgres.DirectURL)
}

func postgresAway(err error, variable string) Finding {
	text := err.Error()
	var refused *pgconn.ConnectError
	if errors.As(err, &refused) {
		// The library's own text has the user and the database, and each attempt.
		text = "connecting to Postgres: " + strings.ReplaceAll(errors.Unwrap(refused).Error(), "ValidateConnect failed: ", "")
	}
	return failed(cmp.Or(postgres.Advice(err), "check that the server of "+variable+" runs and is reachable from here"), "%s", text)
}

// hasTables says whether our tables are there. Where that cannot be asked, what needs them says why.
func hasTables(ctx context.Context, pool *pgxpool.Pool) bool {
	var there bool
	err := pool.QueryRow(ctx, "SELECT to_regclass('account_events') IS NOT NULL").Scan(&there)
	return err != nil || there
}

// noTables is the finding of what needs our tables: postgres.schema says what to do.
func noTables() Finding { return notChecked("", "postgres.schema failed: there are no tables") }

func (e *examination) serverVersion(ctx context.Context, pool *pgxpool.Pool) Finding {
	var number int
	var text string
	if err := pool.QueryRow(ctx, "SELECT current_setting('server_version_num')::int, current_setting('server_version')").Scan(&number, &text); err != nil {
		return queryFailed(err)
	}
	if number/10000 < oldestServer {
		return failed(fmt.Sprintf("use PostgreSQL %d or newer", oldestServer), "the server is PostgreSQL %s", text)
	}
	return ok("PostgreSQL %s", text)
}

func (e *examination) writable(ctx context.Context, pool *pgxpool.Pool) Finding {
	var standby, readOnly bool
	if err := pool.QueryRow(ctx, "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool").Scan(&standby, &readOnly); err != nil {
		return queryFailed(err)
	}
	switch {
	case standby:
		return failed("name the primary, or all servers, in THROUGHLINE_POSTGRES_URL", "the server is a standby: it takes no writes")
	case readOnly:
		return failed("look for default_transaction_read_only: ALTER SYSTEM, ALTER DATABASE or ALTER ROLE … SET has turned it on", "the server is read-only")
	}
	return ok("the server takes writes")
}

func (e *examination) schema(ctx context.Context, pool *pgxpool.Pool) Finding {
	v, err := postgres.SchemaVersion(ctx, pool)
	if err != nil {
		return queryFailed(err)
	}
	const migrate = "run `throughline migrate`"
	switch {
	case v.Have == 0:
		return failed(migrate, "the database has no schema yet; this program's is version %d", v.Want)
	case v.Have < v.Want:
		return failed(migrate, "%v", v)
	case v.Have > v.Want:
		return warning("nothing while an upgrade goes on; then replace this program by the one that migrated (docs/operations/upgrade.md)", "%v", v)
	}
	return ok("version %d, as this program", v.Have)
}

func (e *examination) postgresClock(ctx context.Context, pool *pgxpool.Pool) Finding {
	best, apart := time.Hour, time.Duration(0)
	for range 3 { // the quickest answer says most
		began := time.Now()
		before := e.Now()
		var server time.Time
		if err := pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&server); err != nil {
			return queryFailed(err)
		}
		if took := time.Since(began); took < best {
			best, apart = took, before.Add(took/2).Sub(server)
		}
	}
	switch surely := apart.Abs() - best/2; {
	case surely > clockMost && apart > 0:
		return clockOff(apart, "ahead of Postgres'", "")
	case surely > clockMost:
		return clockOff(-apart, "behind Postgres'", "")
	}
	return ok("this clock and Postgres' are less than %v apart", rounded(max(apart.Abs()+best/2, time.Millisecond)))
}
