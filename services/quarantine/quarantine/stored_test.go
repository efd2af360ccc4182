package quarantine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
)

// thin is the letter of a thin event, which nothing resolves.
func thin() event.DeadLetter {
	l := unresolved(1, 17)
	l.Value = []byte(`{"object":"v2.core.event","id":"evt_1","related_object":{"id":"in_1","type":"invoice"}}`)
	return l
}

// snapshot stores the event that says more.
func (w *world) snapshot() {
	w.t.Helper()
	_, err := postgres.NewWriter(w.pool).Upsert(w.t.Context(), []postgres.Row{{
		AccountID: w.account("Acme"), EventType: "invoice.paid", Source: "stripe", SourceEventID: "evt_1",
		Payload: []byte(`{"object":"event","id":"evt_1","data":{"object":{"id":"in_1","amount":5}}}`), OccurredAt: seen, IngestedAt: seen,
		Origin: postgres.Origin{RawIndex: -1},
	}})
	require.NoError(w.t, err)
}

// TestAStoredFactDoesNotStandOpen: whether the thin event comes before its snapshot or after it, nobody has to look at it.
func TestAStoredFactDoesNotStandOpen(t *testing.T) {
	t.Parallel()
	t.Run("after the snapshot", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.start(patient())
		w.snapshot()
		w.deadLetter(thin())
		w.awaitCount(quarantine.Resolved, 1)
	})
	t.Run("before it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		tuning := patient()
		tuning.SweepEvery = time.Second
		w.start(tuning)
		w.deadLetter(thin())
		w.awaitCount(quarantine.Open, 1)
		w.snapshot()
		w.awaitCount(quarantine.Resolved, 1)
	})
}

// TestAConflictIsSeenOnce: the sink's letter of an event that contradicts the timeline is one open record, however often
// it comes, and no link releases it.
func TestAConflictIsSeenOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(patient())
	w.snapshot()
	l := unresolved(1, 17)
	l.Value, l.Reason = []byte(`{"object":"event","id":"evt_1","data":{"object":{"id":"in_1","amount":6}}}`), string(fault.Conflict)
	w.deadLetter(l)
	l.Offset = 18
	w.deadLetter(l)
	require.Eventually(t, func() bool {
		list, err := w.store.List(t.Context(), quarantine.Filter{Reason: string(fault.Conflict)})
		return err == nil && len(list) == 1 && list[0].Attempts == 2
	}, patience, 10*time.Millisecond)
	require.NoError(t, w.link(1, w.account("Beta")))
	w.deadLetter(unresolved(2, 19)) // comes after the link's message was looked at, or is itself
	w.awaitCount(quarantine.Open, 2)
}
