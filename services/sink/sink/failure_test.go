package sink_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

func TestAMissingTableStopsTheSinkAndNothingDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.start(t)
	w.publish(t, events(0, 10))
	w.requireRows(t, 10)
	w.exec(t, "ALTER TABLE account_events RENAME TO elsewhere")
	w.publish(t, events(10, 40))
	require.Eventually(t, func() bool { return !s.ready() && s.value(t, "throughline_sink_batch_retries_total") >= 2 }, patience, 5*time.Millisecond)
	require.Equal(t, int64(10), w.committed(t))
	state, _ := servicetest.Component(s.runtime, "sink-0")
	require.Contains(t, state.Advice, "throughline migrate", "it does not pass by itself")
	w.exec(t, "ALTER TABLE elsewhere RENAME TO account_events")
	w.requireRows(t, 40)
	require.Eventually(t, s.ready, patience, 5*time.Millisecond)
	w.requireLetters(t, 0)
}

func TestTheBreakerOpensWhenABatchWouldDie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, "ALTER TABLE account_events ADD CONSTRAINT refusing CHECK (false)")
	w.publish(t, events(0, 30))
	s := w.start(t)
	open := func() bool { return s.value(t, "throughline_sink_held_partitions") == 1 }
	require.Eventually(t, func() bool { return open() && !s.ready() }, patience, 5*time.Millisecond)
	state, _ := servicetest.Component(s.runtime, "sink-0")
	require.Contains(t, state.Error, "SQLSTATE 23514, constraint refusing")
	require.NotEmpty(t, state.Advice)
	require.Eventually(t, func() bool { return s.value(t, "throughline_sink_batch_retries_total") >= 2 }, patience, 5*time.Millisecond)
	require.Zero(t, w.committed(t))
	w.requireLetters(t, 0)
	w.accept(t)
	w.requireRows(t, 30)
	require.Eventually(t, func() bool { return !open() && s.ready() && w.committed(t) == 30 }, patience, 5*time.Millisecond)
	w.requireLetters(t, 0)
}

// The other partitions of the same batch go on, and so does what comes later.
func TestAnOpenBreakerHoldsItsPartitionOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse(t)
	to := func(partition int32, list ...event.AccountEvent) []*kgo.Record { return w.to(t, partition, list...) }
	garbage := &kgo.Record{Topic: stream.AccountEvents, Partition: 1, Value: []byte("no event")}
	batch := append(to(1, events(0, 5)...), garbage)
	for i := range 20 {
		batch = append(batch, to(1, refused(100+i))...)
		batch = append(batch, to(0, events(10+i, 11+i)...)...)
		batch = append(batch, to(2, events(40+i, 41+i)...)...)
	}
	batch = append(batch, to(2, refused(99))...)
	w.publishTo(t, batch...)
	s := w.start(t)
	w.requireRows(t, 5+20+20)
	w.requireLetters(t, 1)
	require.Eventually(t, func() bool {
		return w.committed(t) == 41 && s.value(t, "throughline_sink_held_partitions") == 1 && !s.ready()
	}, patience, 5*time.Millisecond)

	w.publishTo(t, append(to(0, events(60, 70)...), to(1, events(70, 80)...)...)...)
	w.requireRows(t, 5+20+20+10)
	require.Eventually(t, func() bool { return s.value(t, "throughline_sink_batch_retries_total") >= 3 }, patience, 5*time.Millisecond)
	require.Equal(t, int64(51), w.committed(t))
	w.requireLetters(t, 1)

	w.accept(t)
	w.requireRows(t, 5+20+20+10+20+10)
	require.Eventually(t, func() bool {
		return w.committed(t) == 51+26+10 && s.value(t, "throughline_sink_held_partitions") == 0 && s.ready()
	}, patience, 5*time.Millisecond)
	w.requireLetters(t, 2)
}

func TestTheBreakerCountsOverBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse(t)
	s := w.start(t)
	// A good one between them sets the count back.
	var dead int
	alone := func(i int) {
		w.publish(t, []event.AccountEvent{refused(i)})
		dead++
		w.requireLetters(t, dead)
	}
	for i := range 5 {
		alone(i)
	}
	w.publish(t, events(100, 101))
	w.requireRows(t, 1)
	for i := range 9 {
		alone(5 + i)
	}
	require.Zero(t, s.value(t, "throughline_sink_held_partitions"))
	w.publish(t, []event.AccountEvent{refused(14)})
	require.Eventually(t, func() bool { return s.value(t, "throughline_sink_held_partitions") == 1 }, patience, 5*time.Millisecond)
	w.requireLetters(t, 14)
	require.Equal(t, int64(15), w.committed(t))
	w.accept(t)
	w.requireRows(t, 2)
	w.requireLetters(t, 14)
}

func TestWithoutABreakerAllAreDeadLettered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, "ALTER TABLE account_events ADD CONSTRAINT refusing CHECK (false)")
	w.publish(t, events(0, 15))
	w.start(t, func(o *options) { o.tuning.BreakerRows = 0 })
	require.Eventually(t, func() bool { return w.committed(t) == 15 }, patience, 5*time.Millisecond)
	w.requireLetters(t, 15)
}

// A registry that forgot its schemas must not empty the topic into quarantine:
// what one of ours reads is stored, what none reads waits while the registry is
// away, and holds nothing up once the registry says that it does not know it.
func TestARegistryThatForgotItsSchemas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	unknown := func(id byte, ev event.AccountEvent, more ...byte) *kgo.Record {
		value, err := w.encoder.AccountEvent(&ev)
		require.NoError(t, err)
		value[4] = id // the schema's
		return &kgo.Record{Topic: stream.AccountEvents, Key: []byte("one"), Value: append(value, more...)}
	}
	for _, ev := range events(0, 30) {
		w.publishRecords(t, unknown(99, ev))
	}
	s := w.start(t)
	w.requireRows(t, 30)
	require.Zero(t, s.value(t, "throughline_sink_batch_retries_total"))

	w.schemas.Fail(streamtest.Gone)
	w.publishRecords(t, unknown(98, events(30, 31)[0], 1))
	require.Eventually(t, func() bool { return s.value(t, "throughline_sink_batch_retries_total") >= 2 && !s.ready() }, patience, 5*time.Millisecond)
	w.requireLetters(t, 0)
	w.schemas.Recover()
	w.publish(t, events(40, 45))
	w.requireRows(t, 35)
	w.requireLetters(t, 1)
	require.Contains(t, w.letters.list()[0].Error, "the schema registry does not know schema 98")
}

// Bytes that are no event are no reason to stop, however many.
func TestGarbageDoesNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 103 {
		w.publishRecords(t, &kgo.Record{Topic: stream.AccountEvents, Key: []byte("one"), Value: []byte{0, 0, 0, 9, 9, byte(i)}})
	}
	w.publish(t, events(0, 1))
	s := w.start(t)
	w.requireRows(t, 1)
	w.requireLetters(t, 103)
	require.Zero(t, s.value(t, "throughline_sink_held_partitions"))
	require.Zero(t, s.value(t, "throughline_sink_batch_retries_total"))
}

func TestADeadLetterThatIsNotAcknowledgedHoldsTheOffset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse(t)
	w.publish(t, append(events(0, 5), refused(5)))
	var refusing atomic.Bool
	refusing.Store(true)
	var refusals atomic.Int32
	w.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if !refusing.Load() {
			return nil, nil, false
		}
		refusals.Add(1)
		return streamtest.RefuseProduce(req.(*kmsg.ProduceRequest), kerr.TopicAuthorizationFailed), nil, true
	})
	s := w.start(t)
	require.Eventually(t, func() bool { return refusals.Load() >= 2 && !s.ready() }, patience, 5*time.Millisecond)
	w.requireRows(t, 5)
	require.Zero(t, w.committed(t), "the offset waits for the letter")
	w.requireLetters(t, 0)
	refusing.Store(false)
	require.Eventually(t, func() bool { return w.committed(t) == 6 }, patience, 5*time.Millisecond)
	require.Eventually(t, s.ready, patience, 5*time.Millisecond)
	w.requireLetters(t, 1)
	require.Equal(t, []string{"evt_000005"}, w.letters.ids())
	require.Equal(t, 5, w.rows(t))
	require.Equal(t, 1.0, s.value(t, "throughline_sink_dead_letters_total"))
}

// A letter that its topic does not take is written without the record's bytes,
// and the others with them, although one answer refused all together.
func TestADeadLetterThatIsTooLargeIsWrittenBare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse(t)
	streamtest.SetMaxMessageBytes(t, w.client, stream.DeadLetters, 5000)
	large := refused(6)
	large.Payload = fmt.Appendf(nil, "%q", streamtest.Noise(20_000))
	w.publish(t, append(events(0, 5), refused(5), large, refused(7)))
	s := w.start(t)
	w.requireRows(t, 5)
	w.requireLetters(t, 3)
	require.Equal(t, []string{"", "evt_000005", "evt_000007"}, w.letters.ids())
	for _, letter := range w.letters.list() {
		require.Equal(t, letter.SourceEventID == "", len(letter.Value) == 0)
		require.Equal(t, letter.SourceEventID == "", strings.Contains(letter.Error, "to be found at account-events/"))
	}
	require.Eventually(t, func() bool { return w.committed(t) == 8 }, patience, 5*time.Millisecond)
	require.Zero(t, s.value(t, "throughline_sink_batch_retries_total"))
}

func TestAnEndBetweenTheTwoCommitsDoublesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse(t)
	var lost atomic.Int32
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		lost.Add(1)
		commit := req.(*kmsg.OffsetCommitRequest)
		answer := commit.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, topic := range commit.Topics {
			t := kmsg.NewOffsetCommitResponseTopic()
			t.Topic, t.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				p := kmsg.NewOffsetCommitResponseTopicPartition()
				p.Partition, p.ErrorCode = partition.Partition, kerr.GroupAuthorizationFailed.Code
				t.Partitions = append(t.Partitions, p)
			}
			answer.Topics = append(answer.Topics, t)
		}
		return answer, nil, lost.Load() <= 1 // the first sink's
	})
	w.publish(t, append(events(0, 50), refused(50)))
	first := w.start(t)
	w.requireRows(t, 50)
	require.Eventually(t, func() bool { return lost.Load() == 1 }, patience, 5*time.Millisecond)
	first.stop()
	require.Zero(t, w.committed(t))

	w.publish(t, events(51, 60))
	second := w.start(t)
	w.requireRows(t, 59)
	require.Eventually(t, func() bool { return w.committed(t) == 60 }, patience, 5*time.Millisecond)
	require.Equal(t, 50.0, second.value(t, "throughline_sink_rows_total", "result=already_present"))
	w.requireLetters(t, 2)
	require.Equal(t, []string{"evt_000050", "evt_000050"}, w.letters.ids(), "the quarantine knows duplicates by the event's id")
	letters := w.letters.list()
	require.Equal(t, letters[0], letters[1])
}
