package quarantine_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

func TestALinkReleases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readRaw()
	w.start(patient())
	w.deadLetter(unresolved(1, 17), unresolved(2, 18))
	w.awaitCount(quarantine.Open, 2)
	acme := w.account("Acme")
	require.NoError(t, w.link(1, acme))

	got := w.awaitReplay(unresolved(1, 17).Value)
	list, err := w.store.List(t.Context(), quarantine.Filter{Status: quarantine.Replaying})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, unresolved(1, 17).Key, got.Key)
	raw := stream.ReadRaw(got)
	require.Equal(t, list[0].ID, raw.QuarantineID)
	require.Equal(t, source.ModeReplay, raw.Mode)
	require.EqualValues(t, 1, raw.Attempts)
	require.True(t, seen.Equal(raw.FirstSeen))
	require.Equal(t, "acct_1", raw.Tenant)
	require.Equal(t, "2026-11-02T08:59:59Z", raw.ReceivedAt.Format(time.RFC3339))
	for _, key := range []string{stream.HeaderDelivery, stream.HeaderSource} {
		n := 0
		for _, h := range got.Headers {
			if h.Key == key {
				n++
			}
		}
		require.Equal(t, 1, n, "header %s is replaced, not added", key)
	}
	d, err := w.store.Show(t.Context(), list[0].ID)
	require.NoError(t, err)
	require.Len(t, d.Decisions, 1)
	require.Equal(t, quarantine.ByLink, d.Decisions[0].By)
	require.Equal(t, "stripe:customer:cus_1 leads to account "+acme.String()+" (rule links)", d.Decisions[0].Note)
	require.Eventually(t, func() bool {
		d, err := w.store.Show(t.Context(), list[0].ID)
		return err == nil && d.PublishedAt != nil
	}, patience, 5*time.Millisecond)
	w.awaitCount(quarantine.Open, 1)
}

func TestAFailedReplayComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readRaw()
	w.start(patient())
	require.NoError(t, w.link(1, w.account("Acme"))) // before the letter: it is released on arrival
	w.deadLetter(unresolved(1, 17))
	raw := stream.ReadRaw(w.awaitReplay(unresolved(1, 17).Value))

	again := unresolved(1, 90)
	again.Reason, again.Error, again.Attempts = "malformed", "still odd", raw.Attempts+1
	again.Headers = append(again.Headers, event.Header{Key: stream.HeaderQuarantineID, Value: stream.Header(w.replays(again.Value)[0], stream.HeaderQuarantineID)})
	w.deadLetter(again, again)
	w.awaitCount(quarantine.Open, 1)
	d, err := w.store.Show(t.Context(), raw.QuarantineID)
	require.NoError(t, err)
	require.EqualValues(t, 2, d.Attempts)
	require.Equal(t, []string{"malformed", "still odd"}, []string{d.Reason, d.Error})

	// A person releases it from another process.
	counts, err := w.store.Release(t.Context(), quarantine.Filter{IDs: []int64{d.ID}}, "ada", "", false)
	require.NoError(t, err)
	require.Equal(t, 1, counts.Changed)
	require.Eventually(t, func() bool { return len(w.replays(again.Value)) == 2 }, patience, 5*time.Millisecond)
	require.EqualValues(t, 2, stream.ReadRaw(w.replays(again.Value)[1]).Attempts)
}

// A page that was refused as a whole, and is released, is resolved once the brokers have it: nothing of its own arrives,
// its elements do. When it is refused once more, it is open again.
func TestAReleasedPageIsResolved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readRaw()
	w.start(patient())
	page := unresolved(1, 17)
	page.Value, page.Reason, page.References = fmt.Appendf(nil, "[%s]", page.Value), "oversized", nil
	page.SourceEventID, page.Type = "", ""
	garbage := page
	garbage.Value, garbage.Offset = []byte("[{"), 18 // nobody knows what this will be
	w.deadLetter(page, garbage)
	w.awaitCount(quarantine.Open, 2)
	_, err := w.store.Release(t.Context(), quarantine.Filter{}, "ada", "", false)
	require.NoError(t, err)
	raw := stream.ReadRaw(w.awaitReplay(page.Value))
	w.awaitCount(quarantine.Resolved, 1)
	w.awaitReplay(garbage.Value)
	w.awaitCount(quarantine.Replaying, 1)

	page.Offset = 90
	page.Headers = append(page.Headers, event.Header{Key: stream.HeaderQuarantineID, Value: strconv.AppendInt(nil, raw.QuarantineID, 10)})
	w.deadLetter(page)
	w.awaitCount(quarantine.Resolved, 0)
	d, err := w.store.Show(t.Context(), raw.QuarantineID)
	require.NoError(t, err)
	require.Equal(t, quarantine.Open, d.Status)
}

// TestLinksRace has each event's letter and link made at the same time, in any order, with nothing that sweeps.
func TestLinksRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readRaw()
	w.start(patient())
	w.start(patient()) // two replicas
	acme := w.account("Acme")
	const events, workers = 400, 8
	type job struct {
		event int
		link  bool
	}
	jobs := make([]job, 0, 2*events)
	for n := range events {
		jobs = append(jobs, job{n, false}, job{n, true})
	}
	// Neighbours stay near each other, so that the two of an event do meet.
	for i := range jobs {
		j := min(len(jobs)-1, i+rand.IntN(8))
		jobs[i], jobs[j] = jobs[j], jobs[i]
	}
	queue := make(chan job)
	var all sync.WaitGroup
	errs := make(chan error, events)
	for range workers {
		all.Go(func() {
			for j := range queue {
				if j.link {
					errs <- w.link(j.event, acme)
					continue
				}
				w.deadLetter(unresolved(j.event, int64(j.event)))
			}
		})
	}
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	all.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return w.distinctReplays() == events }, patience, 10*time.Millisecond, "%d of %d are released", w.distinctReplays(), events)
	w.awaitCount(quarantine.Open, 0)
}

func TestWhatIsNoLetterStopsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(patient())
	require.NoError(t, stream.NewPublisher(w.client).Publish(t.Context(),
		&kgo.Record{Topic: stream.DeadLetters, Key: []byte("k"), Value: []byte("garbage"), Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("b")}}},
		&kgo.Record{Topic: stream.DeadLetters, Key: []byte("k"), Value: []byte{0, 0, 0, 9, 9, 1}},
		&kgo.Record{Topic: stream.DeadLetters, Key: []byte("k")}, // a tombstone
		&kgo.Record{Topic: stream.DeadLetters, Key: []byte("k"), Value: []byte{}}))
	w.deadLetter(unresolved(1, 17))
	w.awaitCount(quarantine.Open, 4)
	list, err := w.store.List(t.Context(), quarantine.Filter{Reason: "malformed"})
	require.NoError(t, err)
	require.Len(t, list, 3)
	for _, r := range list {
		require.Contains(t, r.Error, "not a dead letter: ")
	}
	counts, err := w.store.Release(t.Context(), quarantine.Filter{Reason: "malformed"}, "ada", "", false)
	require.NoError(t, err)
	require.Equal(t, quarantine.Counts{Matched: 3, Impossible: 3}, counts)
}

func TestALetterOfTheSinkGoesBackToTheRawTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readRaw()
	w.start(patient())
	original := []byte(`{"id":"evt_9","object":"event","type":"invoice.paid","created":1762074000,"livemode":true,"subject":"theirs","data":{"object":{"id":"in_9","object":"invoice","customer":"cus_9"}}}`)
	received := time.Date(2026, 11, 2, 8, 59, 59, 0, time.UTC)
	ev := event.AccountEvent{
		AccountID: w.account("Acme"), Type: "invoice.paid", Source: "stripe", SourceEventID: "evt_9", Payload: original, Subject: "ours",
		OccurredAt: seen, IngestedAt: received, Tenant: "acct_1", Delivery: source.ModeWebhook, RawTopic: "raw.stripe", RawIndex: -1,
	}
	value, err := w.encoder.AccountEvent(&ev)
	require.NoError(t, err)
	letter := event.DeadLetter{Value: value, Topic: stream.AccountEvents, Partition: 2, Offset: 5, Key: []byte(ev.AccountID.String()), Reason: "unstorable", Error: "refused", FirstSeen: seen, Attempts: 1,
		Headers: []event.Header{{Key: stream.HeaderTraceparent, Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}}}
	garbage := letter
	garbage.Value, garbage.Offset = []byte("garbage"), 6
	w.deadLetter(letter, garbage)
	w.awaitCount(quarantine.Open, 2)

	list, err := w.store.List(t.Context(), quarantine.Filter{Source: "stripe"})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, []any{stream.AccountEvents, int32(2), int64(5)}, []any{list[0].Topic, list[0].Partition, list[0].Offset}, "where it failed stays visible")
	counts, err := w.store.Release(t.Context(), quarantine.Filter{}, "ada", "", false)
	require.NoError(t, err)
	require.Equal(t, quarantine.Counts{Matched: 2, Changed: 1, Impossible: 1}, counts)
	got := w.awaitReplay(original)
	require.Equal(t, stream.RawTopic("stripe"), got.Topic)
	require.Equal(t, "stripe/acct_1:customer:cus_9", string(got.Key))
	raw := stream.ReadRaw(got)
	require.Equal(t, []any{"acct_1", source.ModeReplay, received, list[0].ID}, []any{raw.Tenant, raw.Mode, raw.ReceivedAt, raw.QuarantineID})
	require.Equal(t, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", raw.Traceparent)
}

// A letter of the sink that could not be read when it came, because its schema was not
// known, is read later, and goes back to the raw topic.
func TestALetterOfTheSinkIsReadLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ev := event.AccountEvent{
		AccountID: uuid.New(), Type: "invoice.paid", Source: "stripe", SourceEventID: "evt_9", Payload: []byte(`{"id":"evt_9"}`),
		OccurredAt: seen, IngestedAt: seen, Delivery: source.ModeWebhook,
	}
	value, err := w.encoder.AccountEvent(&ev)
	require.NoError(t, err)
	garbage := append([]byte{0, 0, 0, 0, 1}, "garbage"...)
	letter := func(value []byte, offset int64) quarantine.Letter {
		return quarantine.Letter{At: seen, DeadLetter: event.DeadLetter{
			Value: value, Topic: stream.AccountEvents, Offset: offset, Reason: "malformed", Error: "decoding", FirstSeen: seen, Attempts: 1, RawIndex: -1,
		}}
	}
	of := unresolved(3, 21)
	unread := letter(nil, 22)
	unread.Topic = stream.DeadLetters
	unread.Value, err = w.encoder.DeadLetter(&of)
	require.NoError(t, err)
	_, err = w.store.Put(t.Context(), []quarantine.Letter{letter(value, 7), letter(garbage, 8), letter([]byte("text"), 9), unread})
	require.NoError(t, err)
	w.readRaw()
	tuning := patient()
	tuning.SweepEvery = 10 * time.Millisecond
	w.start(tuning)
	require.JSONEq(t, `{"id":"evt_9"}`, string(w.awaitReplay(ev.Payload).Value))
	w.awaitCount(quarantine.Resolved, 2)
	w.awaitCount(quarantine.Open, 3)
	list, err := w.store.List(t.Context(), quarantine.Filter{Source: "stripe", Status: quarantine.Replaying})
	require.NoError(t, err)
	require.Len(t, list, 1, "a letter of an event that is unresolved is no reason to release it")
	require.Equal(t, "evt_9", list[0].SourceEventID)
	require.Equal(t, quarantine.Replaying, list[0].Status)
}

func TestTheOutboxOutlivesTheBrokers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readRaw()
	w.start(patient())
	w.deadLetter(unresolved(1, 17))
	w.awaitCount(quarantine.Open, 1)
	// Each produce request loses its connection until the test says otherwise.
	var mu sync.Mutex
	refused, down := 0, true
	w.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		if !down {
			return nil, nil, false
		}
		w.cluster.KeepControl()
		refused++
		return nil, errBrokerDown, true
	})
	require.NoError(t, w.link(1, w.account("Acme")))
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return refused > 2 }, patience, 5*time.Millisecond)
	w.awaitCount(quarantine.Replaying, 1)
	require.Empty(t, w.replays(unresolved(1, 17).Value))
	mu.Lock()
	down = false
	mu.Unlock()
	w.awaitReplay(unresolved(1, 17).Value)
}

func TestATopicThatIsMissingHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readRaw()
	w.start(patient())
	homeless := unresolved(1, 17)
	homeless.Topic, homeless.Source = stream.RawTopic("nowhere"), "nowhere"
	w.deadLetter(homeless, unresolved(2, 18))
	acme := w.account("Acme")
	require.NoError(t, w.link(1, acme))
	require.NoError(t, w.link(2, acme))
	w.awaitReplay(unresolved(2, 18).Value)
	w.awaitCount(quarantine.Replaying, 2)
}

func TestTheSweepFindsWhatWasMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readRaw()
	stop := w.start(patient())
	w.deadLetter(unresolved(1, 17), unresolved(2, 18))
	w.awaitCount(quarantine.Open, 2)
	stop()
	// A link while the service is down is found at the next start.
	acme := w.account("Acme")
	require.NoError(t, w.link(1, acme))
	tuning := patient()
	tuning.SweepEvery = 50 * time.Millisecond
	w.start(tuning)
	w.awaitReplay(unresolved(1, 17).Value)
	// A link that nobody was told of is found by the next sweep.
	_, err := w.pool.Exec(t.Context(), "ALTER TABLE account_links DISABLE TRIGGER USER")
	require.NoError(t, err)
	require.NoError(t, w.link(2, acme))
	w.awaitReplay(unresolved(2, 18).Value)
}

// groupPasses commits a group's offsets at the ends of these topics, as a service does that has read all of them.
func (w *world) groupPasses(group string, topics ...string) {
	w.t.Helper()
	admin := kadm.NewClient(w.client)
	ends, err := admin.ListEndOffsets(w.t.Context(), topics...)
	require.NoError(w.t, err)
	_, err = admin.CommitOffsets(w.t.Context(), group, ends.Offsets())
	require.NoError(w.t, err)
}

// Releases were published again every ten minutes while the pipeline was away: 2,000 became 8,000. They are published
// once, until they are known to be lost.
func TestReleasesArePublishedOnceUntilTheyAreLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const count = 500
	letters := make([]event.DeadLetter, count)
	for i := range letters {
		letters[i] = unresolved(1, int64(i))
		letters[i].Value = fmt.Appendf(nil, `{"id":"evt_%d"}`, i)
		letters[i].SourceEventID = fmt.Sprintf("evt_%d", i)
	}
	w.deadLetter(letters...)
	var looks atomic.Int32 // at how far the normalizer is
	w.cluster.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		for _, group := range req.(*kmsg.OffsetFetchRequest).Groups {
			if group.Group == "throughline-normalizer" {
				looks.Add(1)
			}
		}
		return nil, nil, false
	})
	tuning := patient()
	tuning.SweepEvery, tuning.StuckAfter = 20*time.Millisecond, 50*time.Millisecond
	w.readRaw()
	w.start(tuning)
	w.awaitCount(quarantine.Open, count)
	require.NoError(t, w.link(1, w.account("Acme")))
	require.Eventually(t, func() bool { return w.distinctReplays() == count }, patience, 10*time.Millisecond)
	since := looks.Load() // "ten minutes" pass
	require.Eventually(t, func() bool { return looks.Load() > since+20 }, patience, 10*time.Millisecond)
	published := func() (n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, records := range w.replayed {
			n += len(records)
		}
		return n
	}
	require.Equal(t, count, published())
	require.Zero(t, w.value("throughline_quarantine_republished_total"))

	// The normalizer has read them, and nothing came of it.
	w.groupPasses("throughline-normalizer", stream.RawTopic("stripe"))
	require.Eventually(t, func() bool { return published() == 2*count }, patience, 10*time.Millisecond)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readRaw()
	odd := unresolved(2, 18)
	odd.Reason = "made up"
	w.deadLetter(unresolved(1, 17), odd)
	require.NoError(t, w.link(1, w.account("Acme")))
	w.start(patient())
	w.awaitReplay(unresolved(1, 17).Value)
	require.Eventually(t, func() bool { return w.value("throughline_quarantine_released_total", "by=link") == 1 }, patience, 5*time.Millisecond)
	require.InDelta(t, 1, w.value("throughline_quarantine_dead_letters_total", "reason=unresolved_account"), 0)
	require.InDelta(t, 1, w.value("throughline_quarantine_dead_letters_total", "reason=other"), 0)
	problems, err := testutil.GatherAndLint(w.runtime.Registry)
	require.NoError(t, err)
	for _, p := range problems {
		require.NotContains(t, p.Metric, "throughline_quarantine")
	}
	require.True(t, w.runtime.Health.Report(t.Context()).Ready)
}
