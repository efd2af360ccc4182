package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// Database is the state of the timeline's table.
type Database struct {
	Rows           int64            `json:"rows"`        // as Postgres' statistics have them
	TableBytes     int64            `json:"table_bytes"` // with what is stored beside the rows (TOAST), without indexes
	Indexes        map[string]int64 `json:"index_bytes"`
	DatabaseBytes  int64            `json:"database_bytes"`
	PendingPages   int64            `json:"pending_pages"` // of the payload's index, of 8 KiB; -1: not measured
	DeadRows       int64            `json:"dead_rows"`
	Autovacuums    int64            `json:"autovacuums"`
	LastAutovacuum *time.Time       `json:"last_autovacuum,omitempty"`
	// HorizonAge is how many transactions began since the oldest that somebody may still see: what vacuum must keep.
	HorizonAge int64 `json:"horizon_age"`
}

// readDatabase asks a database, over a connection of its own that lasts as long.
func readDatabase(ctx context.Context, url string) (d Database, err error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return d, fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer pool.Close()
	err = pool.QueryRow(ctx, `SELECT n_live_tup, n_dead_tup, autovacuum_count, last_autovacuum, pg_table_size(relid), pg_database_size(current_database()),
		coalesce((SELECT max(greatest(age(backend_xmin), age(backend_xid))) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()), 0)
		FROM pg_stat_user_tables WHERE relname = 'account_events'`).
		Scan(&d.Rows, &d.DeadRows, &d.Autovacuums, &d.LastAutovacuum, &d.TableBytes, &d.DatabaseBytes, &d.HorizonAge)
	if err != nil {
		return d, fmt.Errorf("asking for the table's state: %w", err)
	}
	rows, err := pool.Query(ctx, "SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes WHERE relname = 'account_events'")
	if err != nil {
		return d, fmt.Errorf("asking for the indexes: %w", err)
	}
	var name string
	var size int64
	d.Indexes = map[string]int64{}
	if _, err = pgx.ForEachRow(rows, []any{&name, &size}, func() error { d.Indexes[name] = size; return nil }); err != nil {
		return d, fmt.Errorf("asking for the indexes: %w", err)
	}
	d.PendingPages, err = postgres.PendingPages(ctx, pool)
	if errors.Is(err, postgres.ErrNotMeasured) {
		d.PendingPages, err = -1, nil
	}
	return d, err
}

// Timeline is how long the users' query took, in SQL, over accounts chosen at random.
type Timeline struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	Max  float64 `json:"max_ms"`
	Rows float64 `json:"rows"`      // of an answer, in the middle
	Most int     `json:"most_rows"` // of an answer
}

// timelineQuery is the users'.
const timelineQuery = `SELECT occurred_at, source, event_type, payload->>'subject' AS subject FROM account_events
WHERE account_id = $1 AND occurred_at > NOW() - INTERVAL '90 days'
ORDER BY occurred_at`

// timelineAccounts is of how many accounts it is asked, after a tenth as many that are not counted.
const timelineAccounts = 1000

// askTimelines asks for timelines, one after the other, of accounts chosen at random.
func askTimelines(ctx context.Context, url string) (t Timeline, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return t, fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, "SELECT id FROM accounts ORDER BY md5(id::text) LIMIT $1", timelineAccounts+timelineAccounts/10)
	if err != nil {
		return t, fmt.Errorf("choosing accounts: %w", err)
	}
	accounts, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return t, fmt.Errorf("choosing accounts: %w", err)
	}
	var took, counts []float64
	for i, account := range accounts {
		began := time.Now()
		rows, err := conn.Query(ctx, timelineQuery, account)
		if err != nil {
			return t, fmt.Errorf("asking for a timeline: %w", err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Err(); err != nil {
			return t, fmt.Errorf("asking for a timeline: %w", err)
		}
		if i >= len(accounts)/11 {
			took, counts = append(took, float64(time.Since(began).Microseconds())/1000), append(counts, float64(n))
			t.Most = max(t.Most, n)
		}
	}
	slices.Sort(took)
	if len(took) > 0 {
		at := func(share float64) float64 { return took[int(share*float64(len(took)-1))] }
		t.P50, t.P99, t.Max, t.Rows = at(0.5), at(0.99), at(1), median(counts)
	}
	return t, nil
}
