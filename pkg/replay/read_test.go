package replay_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/replay"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// run replays the period until now.
func (w *world) run() replay.Replay {
	w.t.Helper()
	done, err := replay.Run(w.t.Context(), w.options, w.start())
	require.NoError(w.t, err)
	require.Zero(w.t, done.Left())
	return done
}

// Whoever publishes may write the headers of a copy. Only a copy of what was read is passed over.
func TestACopyIsNotKnownByItsHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.options.Since = time.Now().Add(-time.Hour)
	headers := []kgo.RecordHeader{
		{Key: stream.HeaderDelivery, Value: []byte("replay")},
		{Key: stream.HeaderReceivedAt, Value: time.Now().AppendFormat(nil, time.RFC3339Nano)},
	}
	for i := range 3 {
		require.NoError(t, w.options.Client.ProduceSync(t.Context(), &kgo.Record{Topic: w.topic, Value: fmt.Appendf(nil, `{"id":"evt_%d"}`, i), Headers: headers}).FirstErr())
	}
	w.put(0, 3, 5)
	first := w.run()
	require.Equal(t, [3]int64{5, 5, 0}, [3]int64{first.Read, first.Published, first.Copies})
	second := w.run()
	require.Equal(t, [3]int64{10, 5, 5}, [3]int64{second.Read, second.Published, second.Copies}, "what the first replay published are copies")
}

// A page is larger than the batches of our clients, and somebody's producer may have compressed what is larger still.
func TestWhatIsLargeIsReplayed(t *testing.T) {
	t.Parallel()
	kafka := streamtest.Kafka(t, 1) // bounds batches as they travel, compressed
	w := newWorldOn(t, kafka.Brokers())
	w.options.Until = time.Now().Add(time.Hour)
	large, err := stream.NewClient(w.options.Kafka, stream.Deps{Name: "test"}, append(stream.WholePages(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(t, err)
	t.Cleanup(large.Close)
	sizes := []int{6 << 20, 9 << 20}
	for _, size := range sizes {
		require.NoError(t, large.ProduceSync(t.Context(), &kgo.Record{Topic: w.topic, Value: bytes.Repeat([]byte("x"), size)}).FirstErr())
	}
	w.put(0, 0, 10)
	done := w.run()
	require.EqualValues(t, 12, done.Published)
	require.Empty(t, done.Unfit)
	copies := w.copies()
	require.Len(t, copies, 12)
	for _, size := range sizes {
		require.Equal(t, 1, copies[string(bytes.Repeat([]byte("x"), size))])
	}
}

// What nobody can read is named, and what is behind it replayed.
func TestWhatNobodyCanReadHoldsUpNothing(t *testing.T) {
	t.Parallel()
	kafka := streamtest.Kafka(t, 1)
	w := newWorldOn(t, kafka.Brokers())
	w.options.Until = time.Now().Add(time.Hour)
	bomber, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers()...), kgo.ProducerBatchMaxBytes(64<<20), kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(bomber.Close)
	w.put(0, 0, 10)
	for range 2 {
		require.NoError(t, bomber.ProduceSync(t.Context(), &kgo.Record{Topic: w.topic, Value: make([]byte, 32<<20)}).FirstErr())
	}
	w.put(0, 10, 20)
	done := w.run()
	require.EqualValues(t, 20, done.Published)
	require.Len(t, done.Unfit, 2)
	for i, u := range done.Unfit {
		require.Equal(t, fault.Oversized, fault.ReasonOf(u.Why))
		require.Contains(t, u.String(), fmt.Sprintf("partition 0 offset %d: ", 10+i))
	}

	rec, err := stream.ReadAt(t.Context(), w.options.Kafka, w.topic, 0, 9, time.Minute)
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"evt_9"}`, string(rec.Value))
	_, err = stream.ReadAt(t.Context(), w.options.Kafka, w.topic, 0, 10, time.Minute)
	require.Equal(t, fault.Oversized, fault.ReasonOf(err))
	require.True(t, fault.IsPermanent(err))
}

// What was aborted never was, and what is of a transaction that is not over comes by itself.
func TestTransactionsOfOthers(t *testing.T) {
	t.Parallel()
	kafka := streamtest.Kafka(t, 1)
	w := newWorldOn(t, kafka.Brokers())
	w.options.Until = time.Now().Add(time.Hour)
	producer, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers()...), kgo.TransactionalID("somebody's"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(producer.Close)
	transact := func(event string) {
		t.Helper()
		require.NoError(t, producer.BeginTransaction())
		require.NoError(t, producer.ProduceSync(t.Context(), &kgo.Record{Topic: w.topic, Value: []byte(event)}).FirstErr())
	}
	w.put(0, 0, 5)
	transact(`{"id":"evt_aborted"}`)
	require.NoError(t, producer.EndTransaction(t.Context(), kgo.TryAbort))
	transact(`{"id":"evt_committed"}`)
	require.NoError(t, producer.EndTransaction(t.Context(), kgo.TryCommit))
	transact(`{"id":"evt_open"}`)
	w.put(0, 5, 7) // behind it nobody can read yet, either
	done := w.run()
	require.EqualValues(t, 6, done.Published)
	require.NoError(t, producer.EndTransaction(t.Context(), kgo.TryAbort))
	copies := w.copies()
	require.Len(t, copies, 6)
	require.Equal(t, 1, copies[`{"id":"evt_committed"}`])

	_, err = stream.ReadAt(t.Context(), w.options.Kafka, w.topic, 0, 5, time.Minute)
	require.ErrorIs(t, err, stream.ErrRecordGone)
}
