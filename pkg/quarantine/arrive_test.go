package quarantine_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// released is a store with records that are released and published, and a
// timeline to write them to.
type released struct {
	*quarantine.Store
	pool *pgxpool.Pool
}

func newReleased(t *testing.T, letters ...quarantine.Letter) (*released, []int64) {
	t.Helper()
	s, pool := newStore(t)
	put(t, s, letters...)
	r := &released{s, pool}
	r.exec(t, "UPDATE quarantine SET status = 'replaying', status_by = 'ada'")
	r.exec(t, "INSERT INTO quarantine_outbox SELECT id, status_at, now() - interval '1 minute' FROM quarantine")
	rows, err := pool.Query(t.Context(), "SELECT id FROM quarantine ORDER BY id")
	require.NoError(t, err)
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		require.NoError(t, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(t, rows.Err())
	return r, ids
}

func (r *released) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := r.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// row is the timeline's row of a letter's event.
func row(l quarantine.Letter) postgres.Row {
	return postgres.Row{
		AccountID: uuid.UUID{1}, EventType: l.Type, Source: l.Source, SourceEventID: l.SourceEventID, Payload: l.Value, OccurredAt: seen, IngestedAt: seen,
	}
}

// arrival is what the sink says of a letter's event, the first of its batch.
func arrival(id int64, l quarantine.Letter) quarantine.Arrival {
	return quarantine.Arrival{ID: id, Source: l.Source, SourceEventID: l.SourceEventID, SHA256: sha256.Sum256(l.Value)}
}

// arrive writes the letter's event, as released from the record id.
func (r *released) arrive(t *testing.T, id int64, l quarantine.Letter) {
	t.Helper()
	_, err := postgres.NewWriter(r.pool).Upsert(t.Context(), []postgres.Row{row(l)}, quarantine.ResolveArrivals([]quarantine.Arrival{arrival(id, l)}))
	require.NoError(t, err)
}

func (r *released) requireStatus(t *testing.T, id int64, status quarantine.Status, outcome string) {
	t.Helper()
	got := show(t, r.Store, id)
	require.Equal(t, []any{status, outcome}, []any{got.Status, got.Outcome})
}

func TestArrivalsAreResolved(t *testing.T) {
	t.Parallel()
	r, ids := newReleased(t, letter(1, 1), letter(2, 2))
	_, err := postgres.NewWriter(r.pool).Upsert(t.Context(), []postgres.Row{row(letter(2, 2))})
	require.NoError(t, err)

	first, second := arrival(ids[0], letter(1, 1)), arrival(ids[1], letter(2, 2))
	first.Row = 2
	rows := []postgres.Row{row(letter(2, 2)), row(letter(3, 3)), row(letter(1, 1))}
	resolve := quarantine.ResolveArrivals([]quarantine.Arrival{first, second, first})
	for range 2 { // a redelivery keeps the first outcome
		_, err = postgres.NewWriter(r.pool).Upsert(t.Context(), rows, resolve)
		require.NoError(t, err)
		r.requireStatus(t, ids[0], quarantine.Resolved, quarantine.OutcomeInserted)
		r.requireStatus(t, ids[1], quarantine.Resolved, quarantine.OutcomeAlreadyPresent)
	}
	got := show(t, r.Store, ids[0])
	require.Equal(t, quarantine.BySink, got.StatusBy)
	require.Len(t, got.Decisions, 1)
	require.Equal(t, quarantine.Decision{From: quarantine.Replaying, To: quarantine.Resolved, By: "sink", At: got.Decisions[0].At, Note: "inserted"}, got.Decisions[0])
}

// Headers are copied with records from elsewhere, and by whoever wants to close
// a record of somebody else's.
func TestAHeaderAloneResolvesNothing(t *testing.T) {
	t.Parallel()
	undescribed := letter(9, 9)
	undescribed.Source, undescribed.SourceEventID = "", ""
	change := func(do func(l *quarantine.Letter)) quarantine.Letter {
		l := letter(1, 1)
		do(&l)
		return l
	}
	tests := map[string]struct {
		record, event quarantine.Letter
		status        quarantine.Status
	}{
		"the same event":                    {letter(1, 1), letter(1, 1), quarantine.Resolved},
		"another event":                     {letter(1, 1), letter(2, 2), quarantine.Replaying},
		"its identity with other bytes":     {letter(1, 1), change(func(l *quarantine.Letter) { l.Value = []byte(`{}`) }), quarantine.Replaying},
		"its bytes with another identity":   {letter(1, 1), change(func(l *quarantine.Letter) { l.SourceEventID = "evt_2" }), quarantine.Replaying},
		"its bytes, of another source":      {letter(1, 1), change(func(l *quarantine.Letter) { l.Source = "hubspot" }), quarantine.Replaying},
		"the bytes of an undescribed one":   {undescribed, letter(9, 9), quarantine.Resolved},
		"an undescribed one of other bytes": {undescribed, letter(1, 1), quarantine.Replaying},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, ids := newReleased(t, tt.record)
			r.arrive(t, ids[0], tt.event)
			require.Equal(t, tt.status, show(t, r.Store, ids[0]).Status)
		})
	}
	t.Run("a record that is not there", func(t *testing.T) {
		t.Parallel()
		r, ids := newReleased(t, letter(1, 1))
		r.arrive(t, ids[0]+1, letter(1, 1))
		r.requireStatus(t, ids[0], quarantine.Replaying, "")
	})
}

func TestABatchThatFailsResolvesNothing(t *testing.T) {
	t.Parallel()
	r, ids := newReleased(t, letter(1, 1))
	boom := errors.New("boom")
	resolve := quarantine.ResolveArrivals([]quarantine.Arrival{arrival(ids[0], letter(1, 1))})
	_, err := postgres.NewWriter(r.pool).Upsert(t.Context(), []postgres.Row{row(letter(1, 1))}, resolve, func(context.Context, pgx.Tx, postgres.Inserted) error { return boom })
	require.ErrorIs(t, err, boom)
	require.False(t, fault.IsPermanent(err))
	r.requireStatus(t, ids[0], quarantine.Replaying, "")
}

// An event that was on the timeline as its record arrived, and that somebody takes off before the record is resolved,
// has been released anew: resolved, it would be nowhere.
func TestARecordOfAnEventThatIsTakenOffStaysReleased(t *testing.T) {
	t.Parallel()
	takeOff := func(t *testing.T, tx pgx.Tx) {
		_, err := tx.Exec(t.Context(), "DELETE FROM account_events")
		require.NoError(t, err)
		require.NoError(t, quarantine.Return(t.Context(), tx, catalog.Set(), []event.DeadLetter{letter(1, 1).DeadLetter}, "ada", "undone"))
	}
	for name, c := range map[string]struct {
		there bool // on the timeline before
		take  func(t *testing.T, r *released, tx pgx.Tx)
	}{
		"in its own transaction": {false, func(t *testing.T, _ *released, tx pgx.Tx) { takeOff(t, tx) }},
		"by another transaction": {true, func(t *testing.T, r *released, _ pgx.Tx) {
			require.NoError(t, pgx.BeginFunc(t.Context(), r.pool, func(tx pgx.Tx) error { takeOff(t, tx); return nil }))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, ids := newReleased(t, letter(1, 1))
			rows := []postgres.Row{row(letter(1, 1))}
			if c.there {
				_, err := postgres.NewWriter(r.pool).Upsert(t.Context(), rows)
				require.NoError(t, err)
			}
			_, err := postgres.NewWriter(r.pool).Upsert(t.Context(), rows, func(_ context.Context, tx pgx.Tx, _ postgres.Inserted) error {
				c.take(t, r, tx)
				return nil
			}, quarantine.ResolveArrivals([]quarantine.Arrival{arrival(ids[0], letter(1, 1))}))
			require.NoError(t, err)
			r.requireStatus(t, ids[0], quarantine.Replaying, "")
			require.Nil(t, show(t, r.Store, ids[0]).PublishedAt)

			r.arrive(t, ids[0], letter(1, 1))
			r.requireStatus(t, ids[0], quarantine.Resolved, quarantine.OutcomeInserted)
		})
	}
}

// Somebody has the record, or the whole table, and does not let go: the timeline
// goes on, and the record is resolved when they have.
func TestTheTimelineDoesNotWaitForTheQuarantine(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{
		"a record":  "SELECT FROM quarantine WHERE id = $1 FOR UPDATE",
		"the table": "LOCK TABLE quarantine",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, ids := newReleased(t, letter(1, 1), letter(2, 2))
			tx, err := r.pool.Begin(t.Context())
			require.NoError(t, err)
			defer tx.Rollback(t.Context())
			var args []any
			if name == "a record" {
				args = append(args, ids[0])
			}
			_, err = tx.Exec(t.Context(), lock, args...)
			require.NoError(t, err)

			second := arrival(ids[1], letter(2, 2))
			second.Row = 1
			start := time.Now()
			result, err := postgres.NewWriter(r.pool).Upsert(t.Context(), []postgres.Row{row(letter(1, 1)), row(letter(2, 2))},
				quarantine.ResolveArrivals([]quarantine.Arrival{arrival(ids[0], letter(1, 1)), second}))
			require.NoError(t, err)
			require.Equal(t, 2, result.Inserted)
			require.Less(t, time.Since(start), 20*time.Second)
			if name == "a record" {
				r.requireStatus(t, ids[1], quarantine.Resolved, quarantine.OutcomeInserted)
				n, err := r.ResolveStored(t.Context())
				require.NoError(t, err)
				require.Zero(t, n, "it is locked still")
			}
			require.NoError(t, tx.Rollback(t.Context()))
			r.requireStatus(t, ids[0], quarantine.Replaying, "")
			n, err := r.ResolveStored(t.Context())
			require.NoError(t, err)
			require.Positive(t, n)
			r.requireStatus(t, ids[0], quarantine.Resolved, quarantine.OutcomeAlreadyPresent)
			require.Equal(t, quarantine.BySink, show(t, r.Store, ids[0]).StatusBy)
		})
	}
}

func TestResolveStoredKnowsTheEvent(t *testing.T) {
	t.Parallel()
	spliced := func(payload string) func(*postgres.Row) { return func(r *postgres.Row) { r.Payload = []byte(payload) } }
	tests := map[string]struct {
		value  string // the record's
		change func(*postgres.Row)
		sql    string // what else happened to the record
		want   int
	}{
		"the same":               {`{"id": "evt_1", "n": 1.0}`, spliced(`{"n": 1.0, "id": "evt_1"}`), "", 1},
		"with a subject":         {`{"id": "evt_1"}`, spliced(`{"subject": "ours", "id": "evt_1"}`), "", 1},
		"with both subjects":     {`{"id": "evt_1", "subject": "theirs"}`, spliced(`{"subject": "ours", "id": "evt_1", "subject_ref": "theirs"}`), "", 1},
		"another subject":        {`{"id": "evt_1", "subject": "theirs"}`, spliced(`{"subject": "ours", "id": "evt_1", "subject_ref": "forged"}`), "", 0},
		"other content":          {`{"id": "evt_1"}`, spliced(`{"id": "evt_1", "forged": true}`), "", 0},
		"another identity":       {`{"id": "evt_1"}`, func(r *postgres.Row) { r.SourceEventID = "evt_2" }, "", 0},
		"published just now":     {`{"id": "evt_1"}`, nil, "UPDATE quarantine_outbox SET published_at = now()", 0},
		"not published":          {`{"id": "evt_1"}`, nil, "UPDATE quarantine_outbox SET published_at = NULL", 0},
		"released anew":          {`{"id": "evt_1"}`, nil, "UPDATE quarantine SET status_at = now()", 0},
		"discarded since":        {`{"id": "evt_1"}`, nil, "UPDATE quarantine SET status = 'discarded'", 0},
		"resolved by the sink":   {`{"id": "evt_1"}`, nil, "UPDATE quarantine SET status = 'resolved'", 0},
		"of which no JSON is to": {`{`, nil, "", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := letter(1, 1)
			l.Value = []byte(tt.value)
			r, _ := newReleased(t, l)
			onTimeline := row(l)
			if tt.value == "{" {
				onTimeline.Payload = []byte("{}")
			}
			if tt.change != nil {
				tt.change(&onTimeline)
			}
			_, err := postgres.NewWriter(r.pool).Upsert(t.Context(), []postgres.Row{onTimeline})
			require.NoError(t, err)
			if tt.sql != "" {
				r.exec(t, tt.sql)
			}
			n, err := r.ResolveStored(t.Context())
			require.NoError(t, err)
			require.Equal(t, tt.want, n)
		})
	}
}
