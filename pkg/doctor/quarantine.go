package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/quarantine"
)

const (
	// oldRecord is how long a record may wait for a person.
	oldRecord = 3 * 24 * time.Hour
	// stuckAfter is how long a release may be under way, and outboxMost how long it may wait to be published.
	stuckAfter, outboxMost = 10 * time.Minute, 2 * time.Minute
	// moveMost is how long a move of history may take.
	moveMost = 30 * time.Minute
	// erasureMost is how long an erasure may take: a million events take less.
	erasureMost = 10 * time.Minute
)

func quarantineChecks() []Check {
	return []Check{
		onPostgres("quarantine.open", "nothing has waited in quarantine for long, by reason", (*examination).quarantined),
		onPostgres("quarantine.conflicts", "nothing contradicts the timeline", (*examination).conflicts),
		onPostgres("quarantine.releases", "released records are published and arrive", (*examination).releases),
		onPostgres("accounts.moves", "the events of changed links have moved", (*examination).moves),
		onPostgres("accounts.erasures", "no erasure was left unfinished", (*examination).erasures),
		onPostgres("accounts.changes", "changes of accounts are published to account-changes", (*examination).changes),
		onPostgres("alerts.receivers", "somebody is told of alerts", (*examination).receivers),
	}
}

func (e *examination) quarantined(context.Context, *pgxpool.Pool) Finding {
	stats, err := e.waiting()
	if err != nil {
		return queryFailed(err)
	}
	reasons := slices.DeleteFunc(slices.Collect(maps.Keys(stats.Open)), func(reason string) bool { return reason == string(fault.Conflict) }) // quarantine.conflicts tells of these
	if len(reasons) == 0 {
		return ok("nothing waits in quarantine")
	}
	age := func(reason string) time.Duration { return max(e.Now().Sub(stats.OldestOf[reason]), 0) }
	slices.SortFunc(reasons, func(a, b string) int { return cmp.Or(cmp.Compare(age(b), age(a)), cmp.Compare(a, b)) })
	var parts []string
	for _, reason := range reasons {
		parts = append(parts, fmt.Sprintf("%s %s, the oldest for %v", counted(stats.Open[reason]), reason, rounded(age(reason))))
	}
	text := strings.Join(parts, "; ")
	if age(reasons[0]) > oldRecord {
		return warning("throughline quarantine list --reason "+reasons[0]+"; link what it waits for, or discard it", "%s", text)
	}
	return ok("%s", text)
}

func (e *examination) conflicts(context.Context, *pgxpool.Pool) Finding {
	stats, err := e.waiting()
	if err != nil {
		return queryFailed(err)
	}
	if n := stats.Open[string(fault.Conflict)]; n > 0 {
		return warning("throughline events conflicts lists them beside what is stored; throughline quarantine discard ID closes one",
			"%s records contradict the timeline, the oldest for %v", counted(n), rounded(max(e.Now().Sub(stats.OldestOf[string(fault.Conflict)]), 0)))
	}
	return ok("nothing contradicts the timeline")
}

// counted is a count of at most quarantine.MostCounted.
func counted(n int) string {
	if n >= quarantine.MostCounted {
		return fmt.Sprintf("%d or more", quarantine.MostCounted)
	}
	return fmt.Sprint(n)
}

func (e *examination) releases(ctx context.Context, pool *pgxpool.Pool) Finding {
	var waiting, stuck int
	var oldest time.Duration
	var goesOn bool // of many, some wait long
	err := pool.QueryRow(ctx, `SELECT waiting.n, (SELECT count(*) FROM (SELECT FROM quarantine_outbox WHERE published_at < now() - $1::interval LIMIT $3) AS few),
		waiting.oldest, coalesce((SELECT max(published_at) FROM quarantine_outbox WHERE published_at IS NOT NULL) > now() - $2::interval, false)
		FROM (SELECT count(*) AS n, coalesce(max(now() - released_at), '0') AS oldest FROM (
			SELECT released_at FROM quarantine_outbox WHERE published_at IS NULL ORDER BY quarantine_id LIMIT $3) AS few) AS waiting`, stuckAfter, outboxMost, quarantine.MostCounted).Scan(&waiting, &stuck, &oldest, &goesOn)
	if err != nil {
		return queryFailed(err)
	}
	switch {
	case oldest > outboxMost && !goesOn:
		return failed("start the quarantine service, which publishes them; if it runs, look at its /readyz?verbose", "%s released records wait to be published, the oldest for %v", counted(waiting), rounded(oldest))
	case stuck > 0:
		return warning("see lag.normalizer and lag.sink; what is lost is published again by the quarantine service", "%s released records were published over %v ago and have not arrived", counted(stuck), stuckAfter)
	}
	return ok("%s released records are under way to their topics", counted(waiting))
}

// ageOf counts what waits and says for how long, by a query that gives both.
func ageOf(ctx context.Context, pool *pgxpool.Pool, sql string) (n int, oldest time.Duration, err error) {
	err = pool.QueryRow(ctx, sql).Scan(&n, &oldest)
	return n, oldest, err
}

func (e *examination) moves(ctx context.Context, pool *pgxpool.Pool) Finding {
	n, oldest, err := ageOf(ctx, pool, "SELECT count(*), coalesce(max(now() - created_at), '0') FROM history_moves WHERE finished_at IS NULL")
	if err != nil {
		return queryFailed(err)
	}
	if oldest > moveMost {
		return warning("throughline accounts moves --pending lists them, --resume finishes them; see postgres.transactions for what they wait for", "%d moves are not finished, the oldest for %v", n, rounded(oldest))
	}
	return ok("%d moves are under way", n)
}

func (e *examination) erasures(ctx context.Context, pool *pgxpool.Pool) Finding {
	n, oldest, err := ageOf(ctx, pool, "SELECT count(*), coalesce(max(now() - created_at), '0') FROM erasures WHERE state = 'running'")
	if err != nil {
		return queryFailed(err)
	}
	if oldest > erasureMost {
		return warning("throughline erasures resume finishes them; throughline erasures list says how far they are", "%d erasures are not finished, the oldest for %v: what they look for is still stored in part", n, rounded(oldest))
	}
	return ok("%d erasures are under way", n)
}

func (e *examination) changes(ctx context.Context, pool *pgxpool.Pool) Finding {
	n, oldest, err := ageOf(ctx, pool, "SELECT count(*), coalesce(max(now() - at), '0') FROM account_changes WHERE published_at IS NULL")
	if err != nil {
		return queryFailed(err)
	}
	if oldest > outboxMost {
		return failed("start the quarantine service, which publishes them; if it runs, look at its /readyz?verbose", "%d changes of accounts wait to be published, the oldest for %v", n, rounded(oldest))
	}
	return ok("%d changes wait to be published", n)
}

// receivers is no warning where nobody is told: Prometheus may do it instead.
func (e *examination) receivers(ctx context.Context, pool *pgxpool.Pool) Finding {
	var at *time.Time
	var names []string
	var failing int
	err := pool.QueryRow(ctx, `SELECT (SELECT evaluated_at FROM alert_evaluation), coalesce(array_agg(receiver ORDER BY receiver), '{}'), count(*) FILTER (WHERE failing_since IS NOT NULL) FROM alert_receivers`).Scan(&at, &names, &failing)
	const set = "THROUGHLINE_ALERTS_SLACK_URL, … for the alerter"
	switch {
	case err != nil:
		return queryFailed(err)
	case at == nil:
		return ok("nobody is told of alerts: they were never evaluated (the alerter service does it)")
	case len(names) == 0:
		return ok("nobody is told of alerts: no receiver is configured (%s)", set)
	case failing > 0:
		return warning("throughline alerts test", "%d of %d receivers of alerts cannot be told", failing, len(names))
	}
	return ok("alerts are told to %s", some(names))
}
