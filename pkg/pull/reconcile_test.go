package pull

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/source"
)

// here puts events on the timeline, and into quarantine.
func here(t *testing.T, pool *pgxpool.Pool, timeline, waits []string) {
	t.Helper()
	for _, id := range timeline {
		_, err := pool.Exec(t.Context(), `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
			VALUES ($1, 'a.b', 'stripe', $2, '{}', now(), now()) ON CONFLICT DO NOTHING`, uuid.New(), id)
		require.NoError(t, err)
	}
	for _, id := range waits {
		_, err := pool.Exec(t.Context(), `INSERT INTO quarantine (dedup_key, reason, source, source_event_id, topic, partition, "offset", raw, status_by)
			VALUES ($1, 'unresolved_account', 'stripe', $2, 'raw.stripe', 0, 0, '', 'test')`, "event:"+id, id)
		require.NoError(t, err)
	}
}

// ids of the events of a window's page, as atOnce numbers them.
func (a atOnce) ids(from time.Time, page int, numbers ...int) (ids []string) {
	for _, n := range numbers {
		ids = append(ids, fmt.Sprintf("evt_%d_%d_%d", from.Unix(), page, n))
	}
	return ids
}

func (a atOnce) reconciling(pool *pgxpool.Pool) ReconcileOptions {
	o := a.options()
	return ReconcileOptions{Source: a, API: o.API, Store: NewStore(pool), From: o.From, To: o.To, By: "test", Wait: time.Nanosecond}
}

func upTo(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i)
	}
	return numbers
}

// What is neither on the timeline nor in quarantine is published, looked for, and told.
func TestReconcile(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	a := newAtOnce(1, 2)
	o := a.reconciling(pool)
	here(t, pool, append(a.ids(o.From, 0, upTo(95)...), a.ids(o.From, 1, upTo(90)...)...), append(a.ids(o.From, 0, 95, 96), a.ids(o.From, 0, 3)...))

	report, err := Reconcile(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, [...]int64{200, 0, 185, 2, 13, 0, 13}, numbers(report))
	require.Equal(t, map[string]int64{MissingNotHealed: 13}, report.Reasons)
	require.Equal(t, "done", report.Status)

	var got into
	o.Publish = func(ctx context.Context, records []source.Record) error {
		here(t, pool, a.ids(o.From, 0, 97, 98, 99), nil) // these come at once, the others never
		return got.publish(ctx, records)
	}
	report, err = Reconcile(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, [...]int64{200, 0, 185, 2, 13, 3, 10}, numbers(report))
	require.Equal(t, map[string]int64{MissingNotArrived: 10}, report.Reasons)
	require.Len(t, got.ids, 13)

	here(t, pool, a.ids(o.From, 1, 90, 91), a.ids(o.From, 1, 92))
	came, err := o.Store.LookAgain(t.Context(), "stripe")
	require.NoError(t, err)
	require.EqualValues(t, 3, came)
	reports, err := o.Store.Reports(t.Context(), "stripe")
	require.NoError(t, err)
	require.Len(t, reports, 1, "the newest")
	require.Equal(t, [...]int64{200, 0, 185, 2, 13, 6, 7}, numbers(reports[0]))
	require.Equal(t, map[string]int64{MissingNotArrived: 7}, reports[0].Reasons)
	require.True(t, reports[0].Heals)

	here(t, pool, a.ids(o.From, 1, upTo(100)...), nil)
	_, err = o.Store.LookAgain(t.Context(), "stripe")
	require.NoError(t, err)
	reports, err = o.Store.Reports(t.Context(), "")
	require.NoError(t, err)
	require.Zero(t, reports[0].StillMissing())
	require.Empty(t, reports[0].Reasons)
}

func numbers(r ReconcileReport) [7]int64 {
	return [...]int64{r.Said, r.Unread, r.OnTimeline, r.InQuarantine, r.Missing, r.Healed, r.StillMissing()}
}

// A try that fails counts nothing twice, and one record that the topic does not take holds no other up.
func TestReconcileWhileThingsFail(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	a := newAtOnce(2, 1)
	o := a.reconciling(pool)
	o.Pauses.First, o.Pauses.Most = time.Millisecond, time.Millisecond
	tries := 0
	o.Publish = func(_ context.Context, records []source.Record) error {
		tries++
		switch {
		case tries == 1 || tries == 9:
			return fault.Transient(fault.Unavailable, errors.New("away"))
		case len(records) > 1 || string(records[0].Key) == "stripe:customer:cus_7":
			return fault.Permanent(fault.Oversized, errors.New("too large"))
		}
		return nil
	}
	report, err := Reconcile(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, [...]int64{200, 0, 0, 0, 200, 0, 200}, numbers(report))
	require.Equal(t, map[string]int64{MissingNotArrived: 198, MissingOversized: 2}, report.Reasons)
}

// A vendor that fails half-way: the report says so, and what it has found by then.
func TestReconcileThatFails(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	a := newAtOnce(1, 3)
	a.asked = func(q source.Query) error {
		if string(q.Cursor) == "2" {
			return fault.Permanent(fault.Unauthenticated, errors.New("the key is wrong"))
		}
		return nil
	}
	o := a.reconciling(pool)
	_, err := Reconcile(t.Context(), o)
	require.ErrorContains(t, err, "the key is wrong")
	reports, err := o.Store.Reports(t.Context(), "stripe")
	require.NoError(t, err)
	require.Equal(t, "failed", reports[0].Status)
	require.Contains(t, reports[0].Error, "the key is wrong")
	require.Equal(t, [...]int64{200, 0, 0, 0, 200, 0, 200}, numbers(reports[0]))
	at, err := o.Store.LastReconciled(t.Context(), "stripe", "", "events")
	require.NoError(t, err)
	require.Zero(t, at, "it did not come to its end")
}

// What retention has deleted is neither missing nor brought back, whether it was asked for or is told of all the same.
func TestReconcileWithRetention(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	a := newAtOnce(4, 1)
	o := a.reconciling(pool)
	o.From = time.Now().UTC().Truncate(time.Hour).Add(-26 * time.Hour)
	o.To = o.From.Add(4 * time.Hour)
	o.Retention = time.Since(o.From.Add(90 * time.Minute)) // the second of the four hours is half kept
	cut := o.From.Add(90 * time.Minute)
	var asked []time.Time
	a.asked = func(q source.Query) error { asked = append(asked, q.From); return nil }
	o.Source = a
	var got into
	o.Publish = got.publish
	report, err := Reconcile(t.Context(), o)
	require.NoError(t, err)
	require.WithinDuration(t, cut, asked[0], 2*time.Second, "it is not asked for what is not kept")
	require.Equal(t, asked[0], report.RetainedSince)
	require.EqualValues(t, 300, report.Said)
	require.EqualValues(t, 100, report.Beyond, "those of its first second are older by now")
	require.EqualValues(t, 200, report.Missing)
	require.Len(t, got.ids, 200)
	reports, err := o.Store.Reports(t.Context(), "stripe")
	require.NoError(t, err)
	require.EqualValues(t, 100, reports[0].Beyond)
	require.Equal(t, report.RetainedSince, reports[0].RetainedSince)

	o.Retention = 365 * 24 * time.Hour
	report, err = Reconcile(t.Context(), o)
	require.NoError(t, err)
	require.Zero(t, report.RetainedSince)
	require.EqualValues(t, 400, report.Missing)
	require.ErrorContains(t, CheckRetention(time.Hour), "24h or more")
	require.NoError(t, CheckRetention(0))
}

// Reports do not pile up, and name no more than a thousand events.
func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	a := newAtOnce(1, 15)
	o := a.reconciling(pool)
	_, err := Reconcile(t.Context(), o)
	require.NoError(t, err)
	count := func(table string) (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM "+pgx.Identifier{table}.Sanitize()).Scan(&n))
		return n
	}
	require.Equal(t, 1000, count("reconcile_missing"))
	for range keptReports {
		require.NoError(t, o.Store.beginReport(t.Context(), &ReconcileReport{Source: "stripe", Stream: "events", From: o.From, To: o.To}))
	}
	require.Equal(t, keptReports, count("reconcile_reports"))
	require.Zero(t, count("reconcile_missing"))
}
