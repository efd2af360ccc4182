package sink_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
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

// stored is what the two tables have of an event, but for the payload.
func (w *world) stored(t *testing.T, id string) (ev event.AccountEvent, payload string) {
	t.Helper()
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT account_id, event_type, source, source_event_id, occurred_at, ingested_at,
		reference, rule, delivery, raw_topic, raw_partition, raw_offset, raw_index, payload::text
		FROM account_events JOIN account_event_origins ON event_id = id WHERE source_event_id = $1`, id).
		Scan(&ev.AccountID, &ev.Type, &ev.Source, &ev.SourceEventID, &ev.OccurredAt, &ev.IngestedAt,
			&ev.Reference, &ev.Rule, &ev.Delivery, &ev.RawTopic, &ev.RawPartition, &ev.RawOffset, &ev.RawIndex, &payload))
	ev.OccurredAt, ev.IngestedAt = ev.OccurredAt.UTC(), ev.IngestedAt.UTC()
	return ev, payload
}

func TestTheRowIsTheEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(t)
	list := events(0, 2)
	spliced := `{"subject":"charged twice","n":1180591620717411303424,"é":"ü","subject_ref":"zen:ticket:1"}`
	for i := range list {
		list[i].IngestedAt = occurred.Add(time.Hour + time.Microsecond)
	}
	list[0].Payload, list[0].Subject = []byte(`{"n":1180591620717411303424,"é":"ü","subject":"zen:ticket:1"}`), "charged twice"
	// As version 1 wrote it: no origin but the delivery, and the subject is in the payload.
	list[1].Payload, list[1].Reference, list[1].Rule = []byte(spliced), "", ""
	list[1].RawTopic, list[1].RawPartition, list[1].RawOffset = "", -1, -1
	w.publish(t, list)
	w.requireRows(t, 2)
	for _, want := range list {
		got, payload := w.stored(t, want.SourceEventID)
		require.JSONEq(t, spliced, payload)
		require.Contains(t, payload, "1180591620717411303424")
		want.Payload, want.Subject, want.Livemode = nil, "", false
		require.Equal(t, want, got)
	}
}

// What others wrote to the topic is held against the bounds before Postgres sees
// it, and says nothing about Postgres to the breaker.
func TestWhatIsBeyondTheBoundsIsDeadLettered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := events(100, 120)
	for i := range bad {
		bad[i].Type = strings.Repeat("x", 100_000)
	}
	bad[1].Type, bad[1].SourceEventID = "a.b", streamtest.Noise(5000)
	bad[2].Type, bad[2].OccurredAt = "a.b", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	bad[3].Type, bad[3].Reference = "a.b", strings.Repeat("r", 1025)
	bad[4].Type, bad[4].Payload = "a.b", []byte("not JSON")
	bad[5].Type, bad[5].Payload = "a.b", []byte(`{"a":"x\u0000y"}`)
	bad[6].Type, bad[6].Rule = "a.b", strings.Repeat("r", 250)
	w.publish(t, append(bad, events(0, 5)...))
	s := w.start(t)
	w.requireRows(t, 5)
	w.requireLetters(t, 20)
	reasons := map[string]int{}
	for _, letter := range w.letters.list() {
		reasons[letter.Reason]++
	}
	require.Equal(t, map[string]int{"oversized": 17, "malformed": 2, "unstorable": 1}, reasons)
	require.Zero(t, s.value(t, "throughline_sink_batch_retries_total"))
}

// Whoever may write to the topic may name accounts and sources that nobody has.
func TestForgedAccountsAndSources(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forged := events(100, 400)
	for i := range forged {
		forged[i].Source = fmt.Sprintf("forged-%d", i)
		if i%3 == 0 {
			forged[i].AccountID = uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
		}
	}
	w.publish(t, append(forged, events(0, 5)...))
	s := w.start(t)
	w.requireRows(t, 205)
	w.requireLetters(t, 100)
	for _, letter := range w.letters.list() {
		require.Equal(t, "unresolved_account", letter.Reason)
		require.Contains(t, letter.Error, "there is no account 00000000-0000-4000-8000-")
	}
	require.Zero(t, s.value(t, "throughline_sink_batch_retries_total"))
	families, err := s.runtime.Registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		require.LessOrEqual(t, len(f.GetMetric()), 40, f.GetName())
	}
}

func TestBadRowsAloneAreDeadLettered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse(t)
	batch := events(0, 200)
	batch[10].RawTopic, batch[10].Payload = "", []byte(`{"a":"x\u0000y"}`) // SQLSTATE 22P05
	batch[11] = refused(11)                                                // 23514
	batch[150].Source = "a\x00b"                                           // 22021
	w.publish(t, batch, kgo.RecordHeader{Key: "x", Value: []byte("y")}, kgo.RecordHeader{Key: stream.HeaderTraceparent, Value: []byte("00-1")})
	s := w.start(t)
	w.requireLetters(t, 3)
	w.requireRows(t, 197)
	require.Eventually(t, func() bool { return w.committed(t) == 200 }, patience, 5*time.Millisecond)
	require.Equal(t, []string{"evt_000010", "evt_000011", "evt_000150"}, w.letters.ids())
	for _, letter := range w.letters.list() {
		require.Equal(t, "unstorable", letter.Reason)
		require.Equal(t, "account-events", letter.Topic)
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
	require.Equal(t, 3.0, s.value(t, "throughline_sink_dead_letters_total"))
	require.Equal(t, 197.0, s.value(t, "throughline_sink_rows_total", "result=inserted"))
	require.Equal(t, 197.0, s.value(t, "throughline_sink_visible_age_seconds"), "what was refused never became visible")
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
			VALUES ($2, $1, $2, 'unresolved_account', 'raw.stripe', 0, 0, $3, 'replaying', 'ada') RETURNING id`, e.Source, e.SourceEventID, e.Payload).Scan(&id))
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

func TestWritersWorkSideBySide(t *testing.T) {
	t.Parallel()
	t.Run("of two sinks", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		first, second := w.start(t, small), w.start(t, small)
		w.requireMembers(t, 2)
		w.writeTheSameAtOnce(t)
		for _, s := range []*runningSink{first, second} {
			require.Zero(t, s.value(t, "throughline_sink_batch_retries_total"))
			require.Positive(t, s.value(t, "throughline_sink_records_total"), "both had a share")
		}
	})
	t.Run("of one", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.start(t, small, func(o *options) { o.tuning.Writers = 3 })
		w.requireMembers(t, 3)
		w.writeTheSameAtOnce(t)
		require.Zero(t, s.value(t, "throughline_sink_batch_retries_total"))
		require.Equal(t, 8000.0, s.value(t, "throughline_sink_records_total"))
		require.True(t, s.ready())
		s.stop()
	})
}

// writeTheSameAtOnce publishes events twice, on all partitions, so that writers
// have the same rows at once.
func (w *world) writeTheSameAtOnce(t *testing.T) {
	t.Helper()
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
	w.requireLetters(t, 0)
}

// small batches make many.
func small(o *options) { o.tuning.Batch.Records, o.tuning.Batch.Wait = 100, time.Millisecond }

func TestTheTraceEndsWithTheCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	t.Cleanup(func() { require.NoError(t, provider.Shutdown(context.Background())) })
	w.start(t, func(o *options) {
		o.deps.Runtime = service.NewRuntime(service.Options{Name: "sink", TracerProvider: provider})
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
