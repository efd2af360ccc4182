package sink_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/sink/sink"
)

func TestAReplayChangesNothingAndIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.start(t)
	w.publish(t, events(0, 50))
	w.requireRows(t, 50)
	w.publish(t, events(0, 60))
	w.requireRows(t, 60)
	require.Eventually(t, func() bool { return s.value(t, "throughline_sink_rows_total", "result=already_present") == 50 }, patience, 5*time.Millisecond)
	require.Equal(t, 60.0, s.value(t, "throughline_sink_rows_total", "result=inserted"))
	require.Eventually(t, func() bool { return w.committed(t) == 110 }, patience, 5*time.Millisecond)
	require.Equal(t, 110.0, s.value(t, "throughline_sink_visible_age_seconds", "source=stripe"))
	w.requireLetters(t, 0)
}

func TestTheRowIsTheEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(t)
	ev := events(7, 8)[0]
	ev.Payload, ev.IngestedAt = `{"subject":"charged twice","n":1180591620717411303424,"é":"ü"}`, occurred.Add(time.Hour+time.Microsecond)
	w.publish(t, []event.AccountEvent{ev})
	w.requireRows(t, 1)
	var got event.AccountEvent
	var big string
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT account_id, event_type, source, source_event_id, payload->>'subject', payload->>'n', occurred_at, ingested_at
		FROM account_events`).Scan(&got.AccountID, &got.Type, &got.Source, &got.SourceEventID, &got.Payload, &big, &got.OccurredAt, &got.IngestedAt))
	require.Equal(t, "1180591620717411303424", big)
	got.OccurredAt, got.IngestedAt = got.OccurredAt.UTC(), got.IngestedAt.UTC()
	ev.Payload, ev.Delivery = "charged twice", ""
	require.Equal(t, ev, got)
}

func TestBadRowsAloneAreDeadLettered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse(t)
	batch := events(0, 200)
	batch[10].Payload = `{"a":"x\u0000y"}`      // SQLSTATE 22P05
	batch[11] = refused(11)                     // 23514
	batch[150].SourceEventID = randomText(5000) // 54000
	w.publish(t, batch, kgo.RecordHeader{Key: "x", Value: []byte("y")}, kgo.RecordHeader{Key: stream.HeaderTraceparent, Value: []byte("00-1")})
	s := w.start(t)
	w.requireLetters(t, 3)
	w.requireRows(t, 197)
	require.Eventually(t, func() bool { return w.committed(t) == 200 }, patience, 5*time.Millisecond)
	require.ElementsMatch(t, []string{"evt_000010", "evt_000011", ""}, w.letters.ids(), "an id beyond the bound is left out")
	for _, letter := range w.letters.list() {
		require.Equal(t, "unstorable", letter.Reason)
		require.Equal(t, "account-events", letter.Topic)
		require.Equal(t, "stripe", letter.Source)
		require.Equal(t, []byte("one"), letter.Key)
		require.Equal(t, int32(1), letter.Attempts)
		require.Equal(t, []event.Header{{Key: stream.HeaderTraceparent, Value: []byte("00-1")}}, letter.Headers)
		require.False(t, letter.FirstSeen.IsZero())
		var original event.AccountEvent
		decoder, err := event.NewDecoder(w.registry)
		require.NoError(t, err)
		require.NoError(t, decoder.AccountEvent(t.Context(), letter.Value, &original))
		require.Contains(t, []string{"evt_000010", "evt_000011", batch[150].SourceEventID}, original.SourceEventID, "the original bytes")
	}
	require.Equal(t, 3.0, s.value(t, "throughline_sink_dead_letters_total", ""))
	require.Equal(t, 197.0, s.value(t, "throughline_sink_rows_total", "result=inserted"))
	require.Equal(t, 197.0, s.value(t, "throughline_sink_visible_age_seconds", ""), "what was refused never became visible")
	require.True(t, s.ready())
}

func TestARecordThatIsNoEventIsDeadLettered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, events(0, 3))
	w.publishRecords(t,
		&kgo.Record{Topic: stream.AccountEvents, Key: []byte("one"), Value: []byte("garbage")},
		&kgo.Record{Topic: stream.AccountEvents, Value: nil}, // a tombstone says nothing
		&kgo.Record{Topic: stream.AccountEvents, Value: []byte{}},
	)
	w.publish(t, events(3, 5))
	w.start(t)
	w.requireRows(t, 5)
	require.Eventually(t, func() bool { return w.committed(t) == 8 }, patience, 5*time.Millisecond)
	w.requireLetters(t, 2)
	for _, letter := range w.letters.list() {
		require.Equal(t, "malformed", letter.Reason)
		require.Contains(t, letter.Error, "wire format")
	}
}

func TestAReleasedRecordIsResolved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := func(e event.AccountEvent) (id int64) {
		require.NoError(t, w.pool.QueryRow(t.Context(), `INSERT INTO quarantine (dedup_key, source, source_event_id, reason, topic, partition, "offset", raw, status, status_by)
			VALUES ($2, $1, $2, 'unresolved_account', 'raw.stripe', 0, 0, '{}', 'replaying', 'ada') RETURNING id`, e.Source, e.SourceEventID).Scan(&id))
		return id
	}
	fresh, known := id(events(0, 1)[0]), id(events(1, 2)[0])
	w.refuse(t)
	w.start(t)
	w.publish(t, events(1, 2))
	w.requireRows(t, 1)
	release := func(quarantineID int64) []kgo.RecordHeader {
		return []kgo.RecordHeader{
			{Key: stream.HeaderQuarantineID, Value: fmt.Append(nil, quarantineID)}, {Key: stream.HeaderAttempts, Value: []byte("2")},
			{Key: stream.HeaderFirstSeen, Value: []byte("2026-10-01T00:00:00Z")},
		}
	}
	w.publish(t, events(0, 1), release(fresh)...)
	w.publish(t, events(1, 2), release(known)...)
	outcome := func(id int64) (text string) {
		require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT status || ' ' || coalesce(outcome, '') FROM quarantine WHERE id = $1", id).Scan(&text))
		return text
	}
	require.Eventually(t, func() bool { return outcome(known) == "resolved already_present" }, patience, 5*time.Millisecond)
	require.Equal(t, "resolved inserted", outcome(fresh))

	// One that fails here goes on counting.
	again := id(refused(9))
	w.publish(t, []event.AccountEvent{refused(9)}, release(again)...)
	w.requireLetters(t, 1)
	letter := w.letters.list()[0]
	require.Equal(t, int32(3), letter.Attempts)
	require.Equal(t, time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), letter.FirstSeen)
	require.Contains(t, letter.Headers, event.Header{Key: stream.HeaderQuarantineID, Value: fmt.Append(nil, again)})
	require.Equal(t, "replaying ", outcome(again))
}

func TestTwoSinksWorkSideBySide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.start(t, small), w.start(t, small)
	w.requireMembers(t, 2)
	// The same events on all partitions, so that both write the same rows at once.
	for round := range 4 {
		var records []*kgo.Record
		for i, ev := range events(round*500, round*500+1000) {
			value, err := w.encoder.AccountEvent(&ev)
			require.NoError(t, err)
			for copies := range 2 {
				records = append(records, &kgo.Record{Topic: stream.AccountEvents, Key: fmt.Append(nil, i*31+copies*17), Value: value})
			}
		}
		w.publishRecords(t, records...)
	}
	w.requireRows(t, 2500)
	require.Eventually(t, func() bool { return w.committed(t) == 8000 }, patience, 5*time.Millisecond)
	var deadlocks int
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&deadlocks))
	require.Zero(t, deadlocks)
	for _, s := range []*runningSink{first, second} {
		require.Zero(t, s.value(t, "throughline_sink_batch_retries_total", ""))
		require.Positive(t, s.value(t, "throughline_sink_records_total", ""), "both had a share")
	}
	w.requireLetters(t, 0)
}

// small batches make many.
func small(o *sink.Options) { o.Tuning.Records, o.Tuning.Wait = 100, time.Millisecond }

func TestTheTraceEndsWithTheCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	t.Cleanup(func() { require.NoError(t, provider.Shutdown(context.Background())) })
	w.start(t, func(o *sink.Options) {
		o.Runtime = service.NewRuntime(service.Options{Name: "sink", TracerProvider: provider})
	})
	trace := func(flags string) kgo.RecordHeader {
		return kgo.RecordHeader{Key: stream.HeaderTraceparent, Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-" + flags)}
	}
	w.publish(t, events(0, 1), trace("01"))
	w.publish(t, events(1, 2), trace("00"))
	w.publish(t, events(2, 3), kgo.RecordHeader{Key: stream.HeaderTraceparent, Value: []byte("\xff")})
	w.requireRows(t, 3)
	require.Eventually(t, func() bool { return len(spans.GetSpans()) == 1 }, patience, 5*time.Millisecond)
	span := spans.GetSpans()[0]
	require.Equal(t, "upsert", span.Name)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", span.SpanContext.TraceID().String())
	require.Equal(t, "b7ad6b7169203331", span.Parent.SpanID().String())
	require.False(t, span.EndTime.Before(span.StartTime))
}

func TestASinkIsReadyWithoutTraffic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.start(t)
	require.Eventually(t, s.ready, patience, 5*time.Millisecond)
}
