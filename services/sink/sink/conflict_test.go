package sink_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// told makes an event of this identity with this payload.
func told(source, id, payload string) event.AccountEvent {
	ev := events(0, 1)[0]
	ev.Source, ev.SourceEventID, ev.Payload = source, id, []byte(payload)
	return ev
}

// TestConflicts: what comes under a stored identity and says something else is a
// dead letter that names the place, and the timeline keeps the first. What the
// source names as volatile, and other forms of one event, are duplicates.
func TestConflicts(t *testing.T) {
	t.Parallel()
	stored := []event.AccountEvent{
		told("stripe", "evt_1", `{"object":"event","api_version":"1","id":"evt_1","pending_webhooks":2,"data":{"amount":5,"subject":"x"}}`),
		told("hubspot", "1|a", `{"subscriptionType":"deal.creation","eventId":1,"attemptNumber":0,"objectId":5}`),
		told("looker", "l", `{"type":"query","scheduled_plan":{"title":"a"},"received_on":"2025-10-09","row":{"n":1}}`),
		told("nobody", "n", `{"a":1,"attempt":1}`),
		told("stripe", "evt_2", `{"object":"event","api_version":"1","id":"evt_2"}`),
	}
	again := []event.AccountEvent{
		told("stripe", "evt_1", `{"pending_webhooks":0,"id":"evt_1","object":"event","api_version":"1","data":{"subject":"x","amount":5.0}}`),
		told("stripe", "evt_1", `{"object":"event","api_version":"2","id":"evt_1","data":{"amount_total":5}}`),
		told("stripe", "evt_1", `{"object":"v2.core.event","id":"evt_1","related_object":{"id":"in_1"}}`),
		told("hubspot", "1|a", `{"subscriptionType":"deal.creation","eventId":2,"attemptNumber":3,"objectId":5}`),
		told("hubspot", "1|a", `{"subscriptionType":"object.creation","objectTypeId":"0-3","objectId":5}`),
		told("looker", "l", `{"type":"query","scheduled_plan":{"title":"b","download_url":"u"},"received_on":"2025-10-10","row":{"n":1}}`),
		told("nobody", "n", `{"attempt":1,"a":1}`),
	}
	again[0].Subject = "a subject line of a newer version"
	conflicts := []event.AccountEvent{
		told("stripe", "evt_1", `{"object":"event","api_version":"1","id":"evt_1","pending_webhooks":2,"data":{"amount":6,"subject":"x"}}`),
		told("hubspot", "1|a", `{"subscriptionType":"deal.creation","eventId":1,"attemptNumber":0,"objectId":5,"changeFlag":"NEW"}`),
		told("nobody", "n", `{"a":1,"attempt":2}`),
		told("stripe", "evt_2", `{"object":"v2.core.event","id":"evt_2","related_object":{"id":"in_1"}}`),
	}
	conflicts[3].AccountID = uuid.New() // another form may not lead to another account
	w := newWorld(t)
	w.exec(t, "INSERT INTO accounts (id, name) VALUES ($1, 'Beta')", conflicts[3].AccountID)
	s := w.start(t)
	w.publish(t, stored)
	w.requireRows(t, len(stored))
	present := func() float64 { return s.value(t, "throughline_sink_rows_total", "result=already_present") }
	w.publish(t, again)
	require.Eventually(t, func() bool { return present() == float64(len(again)) }, patience, 5*time.Millisecond)
	w.requireLetters(t, 0)

	w.publish(t, conflicts)
	w.requireLetters(t, len(conflicts))
	places := map[string]string{"evt_1": `which differs at "/data/amount"`, "1|a": `which differs at "/changeFlag"`, "n": `which differs at "/attempt"`}
	for _, letter := range w.letters.list() {
		require.Equal(t, string(fault.Conflict), letter.Reason)
		require.Contains(t, letter.Error, places[letter.SourceEventID])
		require.Equal(t, stream.AccountEvents, letter.Topic)
		i := slices.IndexFunc(conflicts, func(ev event.AccountEvent) bool { return ev.SourceEventID == letter.SourceEventID })
		value, err := w.encoder.AccountEvent(&conflicts[i])
		require.NoError(t, err)
		require.Equal(t, value, letter.Value, "nothing of it is lost")
	}
	require.Equal(t, float64(len(again)), present(), "a conflict is no duplicate")
	require.Eventually(t, func() bool { return s.value(t, "throughline_sink_dead_letters_total") == float64(len(conflicts)) }, patience, 5*time.Millisecond)
	require.Equal(t, 2.0, s.value(t, "throughline_sink_conflicts_total", "source=stripe"))
	require.Equal(t, 1.0, s.value(t, "throughline_sink_conflicts_total", "source=other"), "a record's own word makes no new series")
	_, payload := w.stored(t, "evt_1")
	require.Contains(t, payload, `"amount": 5`)
	require.Zero(t, s.value(t, "throughline_sink_batch_retries_total"))
}

// A conflict within one batch is one, too: the first of it is stored.
func TestConflictWithinABatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := told("stripe", "evt_1", `{"id":"evt_1","a":1}`), told("stripe", "evt_1", `{"id":"evt_1","a":2}`)
	w.publish(t, append(events(1, 5), first, first, second))
	s := w.start(t)
	w.requireRows(t, 5)
	w.requireLetters(t, 1)
	require.Equal(t, 1.0, s.value(t, "throughline_sink_rows_total", "result=already_present"))
	_, payload := w.stored(t, "evt_1")
	require.Contains(t, payload, `"a": 1`)
}

// TestAConflictClosesNothing: a record that was released from quarantine and
// contradicts the timeline is not on it, so its row stays.
func TestAConflictClosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(t)
	w.publish(t, []event.AccountEvent{told("stripe", "evt_1", `{"id":"evt_1","a":1}`)})
	w.requireRows(t, 1)
	conflict := told("stripe", "evt_1", `{"id":"evt_1","a":2}`)
	var id int64
	require.NoError(t, w.pool.QueryRow(t.Context(), `INSERT INTO quarantine (dedup_key, source, source_event_id, reason, topic, partition, "offset", raw, status, status_by)
		VALUES ('k', 'stripe', 'evt_1', 'unresolved', 'raw.stripe', 0, 7, $1, 'replaying', 'kim') RETURNING id`, conflict.Payload).Scan(&id))
	w.publish(t, []event.AccountEvent{conflict}, stream.Replay{QuarantineID: id, Attempts: 1, FirstSeen: occurred}.Headers()...)
	w.requireLetters(t, 1)
	letter := w.letters.list()[0]
	rec := &kgo.Record{}
	for _, h := range letter.Headers {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	require.Equal(t, id, stream.ReadReplay(rec).QuarantineID, "it returns to its own row")
	var status string
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT status FROM quarantine WHERE id = $1", id).Scan(&status))
	require.Equal(t, "replaying", status)
}
