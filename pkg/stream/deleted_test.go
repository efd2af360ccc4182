package stream

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/service/servicetest"
)

// A loss is told once, also when what stands behind it is read again because a transaction was aborted.
func TestALossIsToldOnce(t *testing.T) {
	t.Parallel()
	var r reading
	r.begin(func() map[string]map[int32]kgo.EpochOffset {
		return map[string]map[int32]kgo.EpochOffset{"raw.stripe": {0: {Offset: 6}}}
	})
	fetch := func(start, offset int64) (deletedUnread, bool) {
		p := kgo.FetchTopicPartition{Topic: "raw.stripe", FetchPartition: kgo.FetchPartition{LogStartOffset: start}}
		p.Records = []*kgo.Record{{Offset: offset}}
		return r.fetched(p)
	}
	gone, some := fetch(9, 9)
	require.True(t, some)
	require.Equal(t, deletedUnread{topic: "raw.stripe", from: 6, to: 9}, gone)
	r.again()
	_, some = fetch(9, 9)
	require.False(t, some)
	r.again()
	gone, some = fetch(12, 12) // more of it was deleted meanwhile
	require.True(t, some)
	require.Equal(t, deletedUnread{topic: "raw.stripe", from: 9, to: 12}, gone)
}

// Retention passes what a group has committed while its only member is away: what it never read is counted and named, by
// partition and offsets, and the rest is read. What it had read may go without a word, and so may what no group knows of.
func TestWhatIsDeletedUnreadIsNamed(t *testing.T) {
	t.Parallel()
	loops := map[string]func(ctx context.Context, o LoopOptions, add func([]*kgo.Record)) error{
		"batches": func(ctx context.Context, o LoopOptions, add func([]*kgo.Record)) error {
			return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { add(batch); return nil })
		},
		"transform": func(ctx context.Context, o LoopOptions, add func([]*kgo.Record)) error {
			return RunTransform(ctx, TransformOptions{LoopOptions: o, TransactionalID: "t"}, func(_ context.Context, batch []*kgo.Record) ([]*kgo.Record, error) {
				add(batch)
				return nil, nil
			})
		},
	}
	topic := RawTopic("stripe")
	for name, run := range loops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _, _ := ready(t)
			client, err := NewClient(c, Deps{Name: "vendor"}, kgo.RecordPartitioner(kgo.ManualPartitioner()))
			require.NoError(t, err)
			t.Cleanup(client.Close)
			admin := kadm.NewClient(client)
			put := func(values ...string) {
				t.Helper()
				for _, value := range values {
					require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: 1, Value: []byte(value)}).FirstErr())
				}
			}
			deleteBefore := func(offset int64) {
				t.Helper()
				at := kadm.Offsets{}
				at.AddOffset(topic, 1, offset, -1)
				answers, err := admin.DeleteRecords(t.Context(), at)
				require.NoError(t, err)
				require.NoError(t, answers.Error())
			}
			core, lines := observer.New(zapcore.ErrorLevel)
			metrics := NewLoopMetrics(nil, "stage")
			o := LoopOptions{Config: c, Deps: Deps{Log: zap.New(core)}, Group: "g", Topics: []string{topic}, Metrics: metrics}
			var got seen
			member := func(distinct int, offset int64) (stop func()) {
				t.Helper()
				stop = servicetest.Run(t, func(ctx context.Context) error { return run(ctx, o, got.add) })
				require.Eventually(t, func() bool {
					offsets, err := admin.FetchOffsets(t.Context(), "g")
					at, _ := offsets.Lookup(topic, 1)
					return err == nil && at.At == offset && got.distinct() == distinct
				}, patience, 5*time.Millisecond)
				return stop
			}

			put("0", "1")
			deleteBefore(1)
			member(1, 2)() // 0 was gone before there was a group
			put("2", "3", "4")
			stop := member(4, 5)
			deleteBefore(4) // all of it was read
			put("5")
			require.Eventually(t, func() bool { return got.distinct() == 5 }, patience, 5*time.Millisecond)
			stop()
			require.Empty(t, lines.All())
			put("6", "7", "8", "9")
			deleteBefore(9)
			stop = member(6, 10)
			require.Eventually(t, func() bool { return lines.Len() == 1 }, patience, 5*time.Millisecond)
			put("10")
			require.Eventually(t, func() bool { return got.distinct() == 7 }, patience, 5*time.Millisecond)
			stop()
			line := lines.All()
			require.Len(t, line, 1, "each loss is told once")
			fields := line[0].ContextMap()
			require.Equal(t, []any{topic, int32(1), int64(6), int64(8)}, []any{fields["topic"], fields["partition"], fields["from_offset"], fields["to_offset"]})
			require.Contains(t, fields["advice"], "throughline reconcile")
			require.InDelta(t, 3, testutil.ToFloat64(metrics.deleted.WithLabelValues(topic)), 0)
		})
	}
}
