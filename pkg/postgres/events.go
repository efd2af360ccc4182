package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Event gives one event of account_events. One that is not there is Permanent, NotFound.
func Event(ctx context.Context, db DB, id int64) (TimelineEvent, error) {
	rows, err := db.Query(ctx, "SELECT "+eventColumns+" FROM account_events WHERE id = $1", id)
	if err != nil {
		return TimelineEvent{}, Classify(fmt.Errorf("reading an event: %w", err))
	}
	e, err := pgx.CollectExactlyOneRow(rows, scanEvent)
	if errors.Is(err, pgx.ErrNoRows) {
		return TimelineEvent{}, fault.Permanent(fault.NotFound, fmt.Errorf("no timeline has the event %d", id))
	}
	if err != nil {
		return TimelineEvent{}, Classify(fmt.Errorf("reading an event: %w", err))
	}
	return e, nil
}

// OriginOf gives an event's origin; the zero value where it was not written down.
func OriginOf(ctx context.Context, db DB, id int64) (Origin, error) {
	var o Origin
	err := db.QueryRow(ctx, `SELECT reference, rule, delivery, raw_topic, raw_partition, raw_offset, raw_index FROM account_event_origins WHERE event_id = $1`, id).
		Scan(&o.Reference, &o.Rule, &o.Delivery, &o.RawTopic, &o.RawPartition, &o.RawOffset, &o.RawIndex)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Origin{}, Classify(fmt.Errorf("reading an event's origin: %w", err))
	}
	return o, nil
}

// Density is how an account's events lie in time.
type Density struct {
	From, To time.Time // of the oldest and the newest that was looked at; zero: there is none
	Spans    []int64   // events in equal spans of it
	More     bool      // there are older ones than the most that is looked at
}

// MostDensity is how many events DensityOf looks at.
const MostDensity = 100_000

// DensityOf counts the events of a timeline in equal spans of time: the newest MostDensity, of the query's account,
// source and type. spans is at least 1.
func DensityOf(ctx context.Context, db DB, q TimelineQuery, spans int) (Density, error) {
	c := newConditions(q)
	rows, err := db.Query(ctx, fmt.Sprintf(`
WITH newest AS MATERIALIZED (SELECT occurred_at AS at FROM account_events WHERE %s ORDER BY occurred_at DESC LIMIT %d),
bounds AS MATERIALIZED (SELECT min(at) AS first, max(at) AS last, count(*) AS n FROM newest)
SELECT first, last, n, CASE WHEN first = last THEN 1
  ELSE least(%d, 1 + floor(extract(epoch FROM at - first) / extract(epoch FROM last - first) * %d))::int END AS span, count(*)
FROM newest, bounds GROUP BY 1, 2, 3, 4`, c.text(), MostDensity+1, spans, spans), c.values...)
	if err != nil {
		return Density{}, Classify(fmt.Errorf("counting events in time: %w", err))
	}
	d := Density{Spans: make([]int64, spans)}
	var n, count int64
	var span int
	if _, err := pgx.ForEachRow(rows, []any{&d.From, &d.To, &n, &span, &count}, func() error {
		d.Spans[span-1] += count
		return nil
	}); err != nil {
		return Density{}, Classify(fmt.Errorf("counting events in time: %w", err))
	}
	d.From, d.To, d.More = d.From.UTC(), d.To.UTC(), n > MostDensity
	return d, nil
}
