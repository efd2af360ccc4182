package alert

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
)

// Waiting is what waits in quarantine for one reason.
type Waiting struct {
	Reason string
	Source string
	Open   int64 // at most quarantine.MostCounted
	// New came in the last 24 hours, Oldest was first seen then.
	New    int64
	Oldest time.Time
}

// Report is the state of the quarantine, for once a day.
type Report struct {
	At      time.Time
	Waiting []Waiting // the most first
	Open    int64     // of all, at most quarantine.MostCounted of each
}

// NewReport reads it: counts by reason and source, of each reason at most quarantine.MostCounted.
func NewReport(ctx context.Context, pool *pgxpool.Pool, now time.Time) (Report, error) {
	r := Report{At: now}
	err := postgres.Reading(ctx, pool, lookTimeout, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, fmt.Sprintf(`WITH RECURSIVE reasons AS (
				(SELECT reason FROM quarantine_states WHERE status = 'open' ORDER BY reason LIMIT 1)
				UNION ALL
				SELECT n.* FROM reasons r CROSS JOIN LATERAL (SELECT reason FROM quarantine_states WHERE status = 'open' AND reason > r.reason ORDER BY reason LIMIT 1) AS n)
			SELECT r.reason, s.source, count(*), count(*) FILTER (WHERE q.first_seen > $1::timestamptz - interval '24 hours'), min(q.first_seen)
			FROM reasons r CROSS JOIN LATERAL (SELECT id, source FROM quarantine_states WHERE status = 'open' AND reason = r.reason ORDER BY id LIMIT %d) AS s
			CROSS JOIN LATERAL (SELECT first_seen FROM quarantine WHERE id = s.id LIMIT 1) AS q
			GROUP BY r.reason, s.source ORDER BY count(*) DESC, r.reason, s.source LIMIT 200`, quarantine.MostCounted), now)
		if err != nil {
			return err
		}
		r.Waiting, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (w Waiting, err error) {
			err = row.Scan(&w.Reason, &w.Source, &w.Open, &w.New, &w.Oldest)
			w.Oldest = w.Oldest.UTC()
			return w, err
		})
		return err
	})
	if err != nil {
		return Report{}, broken("reading the quarantine", err)
	}
	for _, w := range r.Waiting {
		r.Open += w.Open
	}
	return r, nil
}

// Message gives the report for receivers.
func (r Report) Message() Message {
	m := Message{At: r.At, Subject: "Throughline: nothing waits in quarantine", Note: "Nothing waits in quarantine."}
	if len(r.Waiting) == 0 {
		return m
	}
	m.Subject = fmt.Sprintf("Throughline: %s in quarantine", plural(r.Open, "record"))
	const most = 20
	var b strings.Builder
	for _, w := range r.Waiting[:min(most, len(r.Waiting))] {
		fmt.Fprintf(&b, "%s %s: %d, %d of them new in 24 h, the oldest for %s\n", plain(w.Reason), plain(w.Source), w.Open, w.New, Long(r.At.Sub(w.Oldest)))
	}
	if more := len(r.Waiting) - most; more > 0 {
		fmt.Fprintf(&b, "and %d more: throughline alerts report\n", more)
	}
	b.WriteString("See throughline quarantine list; throughline link REFERENCE ACCOUNT releases what waits for a link.")
	m.Note = b.String()
	return m
}
