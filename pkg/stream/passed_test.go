package stream

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/service/servicetest"
)

// writer writes to account-events in transactions.
type writer struct {
	t      *testing.T
	client *kgo.Client
	sent   int
}

func newWriter(t *testing.T, c Config) *writer {
	t.Helper()
	client, err := NewClient(c, Deps{Name: "writer"}, kgo.TransactionalID("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &writer{t: t, client: client}
}

// write writes n records to each of the partitions, and ends the transaction so.
func (w *writer) write(end kgo.TransactionEndTry, n int, partitions ...int32) {
	w.t.Helper()
	require.NoError(w.t, w.client.BeginTransaction())
	for range n {
		for _, p := range partitions {
			value := strconv.Itoa(w.sent)
			if end == kgo.TryAbort {
				value = "aborted"
			} else {
				w.sent++
			}
			require.NoError(w.t, w.client.ProduceSync(w.t.Context(), &kgo.Record{Topic: AccountEvents, Value: []byte(value), Partition: p}).FirstErr())
		}
	}
	require.NoError(w.t, w.client.EndTransaction(w.t.Context(), end))
}

// A loop commits the markers of transactions with the records before them, so that
// its group reaches the end of a topic, and loses no record by it.
func TestAGroupReachesTheEndOfATransactionalTopic(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t)
	w := newWriter(t, c)
	var got seen
	reading := func(most int) (stop func(), metrics *LoopMetrics) {
		o := LoopOptions{Config: c, Group: "g", Topics: []string{AccountEvents}, MaxRecords: most, Metrics: NewLoopMetrics(nil, "test")}
		return servicetest.Run(t, func(ctx context.Context) error {
			return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error {
				require.NotEmpty(t, batch)
				for _, r := range batch {
					require.False(t, r.Attrs.IsControl())
				}
				got.add(batch)
				return nil
			})
		}), o.Metrics
	}
	atEnd := func() {
		t.Helper()
		marks, err := Ends(t.Context(), client, AccountEvents)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			ok, err := Passed(t.Context(), client, "g", marks)
			require.NoError(t, err)
			return ok
		}, patience, 5*time.Millisecond)
		require.Equal(t, w.sent, got.distinct())
	}
	// Batches of one record, so that each marker comes in a batch of its own.
	stop, metrics := reading(1)
	w.write(kgo.TryCommit, 3, 0, 1)
	atEnd()
	w.write(kgo.TryAbort, 3, 0, 2) // of partition 2 nothing is left but a marker
	atEnd()
	require.Equal(t, float64(w.sent), testutil.ToFloat64(metrics.records))
	for partition := range 2 {
		require.Zero(t, testutil.ToFloat64(metrics.lag.WithLabelValues(AccountEvents, strconv.Itoa(partition))))
	}
	stop()
	w.write(kgo.TryCommit, 5, 0, 1, 2)
	w.write(kgo.TryAbort, 5, 0, 1, 2)
	w.write(kgo.TryCommit, 5, 2)
	stop, _ = reading(100)
	atEnd()
	stop()
	for value, times := range got.counts {
		require.Equal(t, 1, times, value)
	}
}

// So does the loop that writes in transactions itself.
func TestATransformReachesTheEndOfATransactionalTopic(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t)
	w := newWriter(t, c)
	w.write(kgo.TryCommit, 3, 0)
	w.write(kgo.TryAbort, 3, 0, 1)
	var got seen
	o := TransformOptions{LoopOptions: LoopOptions{Config: c, Group: "g", Topics: []string{AccountEvents}, MaxRecords: 1}, TransactionalID: "x"}
	stop := servicetest.Run(t, func(ctx context.Context) error {
		return RunTransform(ctx, o, func(_ context.Context, batch []*kgo.Record) ([]*kgo.Record, error) {
			got.add(batch)
			return []*kgo.Record{{Topic: DeadLetters, Value: batch[0].Value}}, nil
		})
	})
	marks, err := Ends(t.Context(), client, AccountEvents)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		ok, err := Passed(t.Context(), client, "g", marks)
		require.NoError(t, err)
		return ok
	}, patience, 5*time.Millisecond)
	stop()
	require.Equal(t, map[string]int{"0": 1, "1": 1, "2": 1}, got.counts)
}

func TestPassed(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t)
	w := newWriter(t, c)
	passed := func(marks Marks) bool {
		ok, err := Passed(t.Context(), client, "g", marks)
		require.NoError(t, err)
		return ok
	}
	w.write(kgo.TryCommit, 1, 0)
	marks, err := Ends(t.Context(), client, AccountEvents, "none")
	require.NoError(t, err)
	require.Len(t, marks, 1)
	require.False(t, passed(marks), "the group has committed nothing")

	reader, err := NewClient(c, Deps{Name: "reader"}, kgo.ConsumerGroup("g"), kgo.ConsumeTopics(AccountEvents), kgo.DisableAutoCommit(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	t.Cleanup(reader.CloseAllowingRebalance)
	var last *kgo.Record
	for last == nil || last.Offset < marks[AccountEvents][0]-1 {
		for _, r := range reader.PollFetches(t.Context()).Records() {
			last = r
		}
	}
	require.NoError(t, reader.CommitRecords(t.Context(), last))
	require.True(t, passed(marks))
	w.write(kgo.TryCommit, 1, 0)
	require.True(t, passed(marks), "what came later does not count")
	marks, err = Ends(t.Context(), client, AccountEvents)
	require.NoError(t, err)
	require.False(t, passed(marks))
	_, err = kadm.NewClient(client).DeleteTopic(t.Context(), AccountEvents)
	require.NoError(t, err)
	require.True(t, passed(marks), "it is gone")
}
