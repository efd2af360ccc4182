package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = servicetest.Patience

func ready(t *testing.T, opts ...kfake.Opt) (Config, *kgo.Client, *kfake.Cluster) {
	t.Helper()
	cluster := streamtest.Fake(t, opts...)
	c := Config{Brokers: cluster.ListenAddrs()}
	client, err := NewClient(c, Deps{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	_, err = ApplyTopics(t.Context(), client, Names{}, []string{"stripe"}, TopicOptions{Partitions: 3, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	return c, client, cluster
}

func publish(t *testing.T, client *kgo.Client, from, to int) {
	t.Helper()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{Topic: RawTopic("stripe"), Key: fmt.Append(nil, i%7), Value: fmt.Append(nil, i)})
	}
	require.NoError(t, NewPublisher(client).Publish(t.Context(), records...))
}

// seen counts values under a lock.
type seen struct {
	mu     sync.Mutex
	counts map[string]int
}

func (s *seen) add(recs []*kgo.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	for _, r := range recs {
		s.counts[string(r.Value)]++
	}
}

func (s *seen) distinct() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.counts)
}

func TestApplyTopics(t *testing.T) {
	t.Parallel()
	_, client, _ := ready(t)
	options := TopicOptions{Partitions: 3, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: 2 * time.Hour}
	changes, err := ApplyTopics(t.Context(), client, Names{}, []string{"stripe", "looker"}, options)
	require.NoError(t, err)
	require.Equal(t, []TopicChange{
		{Topic: "raw.stripe", Change: "unchanged"}, {Topic: "raw.looker", Change: "created"}, {Topic: AccountEvents, Change: "configured"},
		{Topic: DeadLetters, Change: "configured"}, {Topic: AccountChanges, Change: "configured"},
	}, changes)
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(t.Context(), "raw.looker")
	require.NoError(t, err)
	values := map[string]string{}
	for _, c := range configs[0].Configs {
		values[c.Key] = c.MaybeValue()
	}
	require.Equal(t, "LogAppendTime", values["message.timestamp.type"])
	require.Equal(t, "8454144", values["max.message.bytes"])
}

func TestPublish(t *testing.T) {
	t.Parallel()
	t.Run("too large is permanent", func(t *testing.T) {
		t.Parallel()
		_, client, _ := ready(t)
		err := NewPublisher(client).Publish(t.Context(), &kgo.Record{Topic: RawTopic("stripe"), Value: make([]byte, 5<<20)})
		require.True(t, fault.IsPermanent(err), err)
		require.Equal(t, fault.Oversized, fault.ReasonOf(err))
	})
	t.Run("a context that ends is transient and does not wait", func(t *testing.T) {
		t.Parallel()
		_, client, cluster := ready(t)
		release := make(chan struct{})
		defer close(release)
		cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			cluster.SleepControl(func() { <-release })
			return nil, nil, false
		})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := NewPublisher(client).Publish(ctx, &kgo.Record{Topic: RawTopic("stripe"), Value: []byte("x")})
		require.Error(t, err)
		require.False(t, fault.IsPermanent(err))
	})
}

func TestRunBatches(t *testing.T) {
	t.Parallel()
	t.Run("retries a failing batch and commits after it", func(t *testing.T) {
		t.Parallel()
		c, client, _ := ready(t)
		publish(t, client, 0, 100)
		reg := prometheus.NewRegistry()
		var got seen
		failures := 2
		o := LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}, MaxRecords: 30, Metrics: NewLoopMetrics(reg, "test")}
		write := func(_ context.Context, batch []*kgo.Record) error {
			if failures > 0 {
				failures--
				return errors.New("the database is away")
			}
			require.LessOrEqual(t, len(batch), 30)
			got.add(batch)
			return nil
		}
		stop := servicetest.Run(t, func(ctx context.Context) error { return RunBatches(ctx, o, write) })
		require.Eventually(t, func() bool { return got.distinct() == 100 }, patience, 5*time.Millisecond)
		stop()
		require.Equal(t, 2.0, testutil.ToFloat64(o.Metrics.retries))
		require.Equal(t, 100.0, testutil.ToFloat64(o.Metrics.records))

		// The next member of the group sees only what is new.
		publish(t, client, 100, 110)
		var later seen
		stop = servicetest.Run(t, func(ctx context.Context) error {
			return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { later.add(batch); return nil })
		})
		require.Eventually(t, func() bool { return later.distinct() == 10 }, patience, 5*time.Millisecond)
		stop()
	})
	t.Run("what was not written comes again", func(t *testing.T) {
		t.Parallel()
		c, client, _ := ready(t)
		publish(t, client, 0, 20)
		o := LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}, Grace: time.Millisecond}
		tried := make(chan struct{}, 1000)
		stop := servicetest.Run(t, func(ctx context.Context) error {
			return RunBatches(ctx, o, func(context.Context, []*kgo.Record) error { tried <- struct{}{}; return errors.New("no") })
		})
		<-tried
		stop()
		var got seen
		stop = servicetest.Run(t, func(ctx context.Context) error {
			return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { got.add(batch); return nil })
		})
		require.Eventually(t, func() bool { return got.distinct() == 20 }, patience, 5*time.Millisecond)
		stop()
	})
	t.Run("a batch waits for more, but not longer than said", func(t *testing.T) {
		t.Parallel()
		c, client, _ := ready(t)
		o := LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}, MaxWait: 100 * time.Millisecond}
		sizes := make(chan int, 100)
		servicetest.Run(t, func(ctx context.Context) error {
			return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { sizes <- len(batch); return nil })
		})
		publish(t, client, 0, 1)
		require.Positive(t, <-sizes)
	})
}

func TestRunTransform(t *testing.T) {
	t.Parallel()
	c, client, cluster := ready(t)
	const n = 300
	publish(t, client, 0, n)
	// One commit in three is refused: the transaction must come again, once.
	commits := 0
	cluster.ControlKey(int16(kmsg.TxnOffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if commits++; commits%3 != 1 {
			return nil, nil, false
		}
		request := req.(*kmsg.TxnOffsetCommitRequest)
		resp := request.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		for _, topic := range request.Topics {
			out := kmsg.TxnOffsetCommitResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				out.Partitions = append(out.Partitions, kmsg.TxnOffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: kerr.RebalanceInProgress.Code})
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil, true
	})
	failures := 1
	transform := func(_ context.Context, batch []*kgo.Record) ([]*kgo.Record, error) {
		if failures > 0 {
			failures--
			return nil, fault.Transient(fault.Unavailable, errors.New("no database"))
		}
		out := make([]*kgo.Record, len(batch))
		for i, r := range batch {
			out[i] = &kgo.Record{Topic: AccountEvents, Value: append([]byte("out "), r.Value...)}
		}
		return out, nil
	}
	o := TransformOptions{
		LoopOptions:     LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe"), RawTopic("absent")}, MaxRecords: 40},
		TransactionalID: TransactionalID(c, "test", 0),
	}
	stop := servicetest.Run(t, func(ctx context.Context) error { return RunTransform(ctx, o, transform) })

	var got seen
	stopReading := servicetest.Run(t, func(ctx context.Context) error {
		o := LoopOptions{Config: c, Group: "reader", Topics: []string{AccountEvents}}
		return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { got.add(batch); return nil })
	})
	require.Eventually(t, func() bool { return got.distinct() == n }, patience, 5*time.Millisecond)
	stop()
	stopReading()
	for value, times := range got.counts {
		require.Equal(t, 1, times, value)
	}
	require.Greater(t, commits, 3)
}

func TestTransactionalID(t *testing.T) {
	t.Parallel()
	require.NotEqual(t, TransactionalID(Config{}, "normalizer", 0), TransactionalID(Config{}, "normalizer", 0))
	require.Equal(t, "throughline-normalizer-pod-1-0", TransactionalID(Config{InstanceID: "pod-1"}, "normalizer", 0))
}

func TestReadRaw(t *testing.T) {
	t.Parallel()
	stored := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	received := stored.Add(-time.Second)
	record := func(headers ...string) *kgo.Record {
		r := &kgo.Record{Topic: "raw.stripe", Value: []byte("v"), Key: []byte("k"), Timestamp: stored}
		for i := 0; i < len(headers); i += 2 {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
		}
		return r
	}
	read := func(r *kgo.Record) Raw {
		raw := ReadRaw(r)
		mode, tenant := ReadOrigin(r)
		require.Equal(t, raw.Mode, mode)
		require.Equal(t, raw.Tenant, tenant)
		return raw
	}
	bare := read(record())
	require.Equal(t, Raw{Source: "stripe", Record: source.Record{Value: []byte("v"), Key: []byte("k"), Mode: source.ModeBackfill, ReceivedAt: stored}}, bare)
	odd := read(record(HeaderSource, "hubspot", HeaderReceivedAt, "yesterday", HeaderDelivery, "pigeon", HeaderTenant, strings.Repeat("x", 1000),
		HeaderQuarantineID, "-1", HeaderAttempts, "x", HeaderFirstSeen, "", "unknown", "\x00"))
	require.Equal(t, bare, odd, "odd headers are as good as none")
	future := read(record(HeaderReceivedAt, "2036-01-01T00:00:00Z"))
	require.Equal(t, stored, future.ReceivedAt)
	old := "2020-01-01T00:00:00Z"
	require.Equal(t, stored, read(record(HeaderReceivedAt, old)).ReceivedAt)
	require.Equal(t, stored, read(record(HeaderReceivedAt, old, HeaderDelivery, "webhook")).ReceivedAt)
	require.Equal(t, 2020, read(record(HeaderReceivedAt, old, HeaderDelivery, "replay")).ReceivedAt.Year(), "it waited in quarantine")
	spooled := stored.Add(-7 * 24 * time.Hour)
	require.Equal(t, spooled, read(record(HeaderReceivedAt, spooled.Format(time.RFC3339))).ReceivedAt)

	made := RawRecord("stripe", source.Record{Value: []byte("v"), Key: []byte("k"), Tenant: "acct_1", Mode: source.ModeWebhook, ReceivedAt: received}, "00-trace")
	made.Timestamp = stored
	got := read(made)
	require.Equal(t, Raw{Source: "stripe", Traceparent: "00-trace", Record: source.Record{
		Value: []byte("v"), Key: []byte("k"), Tenant: "acct_1", Mode: source.ModeWebhook, ReceivedAt: received,
	}}, got)
	require.Equal(t, "acct_1", string(Header(made, HeaderTenant)))
	require.Nil(t, Header(made, "absent"))

	replay := read(record(HeaderDelivery, "replay", HeaderQuarantineID, "42", HeaderAttempts, "3", HeaderFirstSeen, "2025-01-01T00:00:00Z"))
	require.Equal(t, int64(42), replay.QuarantineID)
	require.Equal(t, int32(3), replay.Attempts)
	require.Equal(t, 2025, replay.FirstSeen.Year())
}

// A batch that is enough waits for no more.
func TestEnough(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t)
	require.NoError(t, NewPublisher(client).Publish(t.Context(), &kgo.Record{Topic: RawTopic("stripe"), Value: []byte("a")}, &kgo.Record{Topic: RawTopic("stripe"), Value: []byte("b")}))
	var got seen
	stop := servicetest.Run(t, func(ctx context.Context) error {
		o := LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}, MaxWait: time.Hour, Enough: 2}
		return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { got.add(batch); return nil })
	})
	require.Eventually(t, func() bool { return got.distinct() == 2 }, patience, 5*time.Millisecond)
	stop()
}

// Of many records few are committed, and it is none but the newest of each partition that count.
func TestNewest(t *testing.T) {
	t.Parallel()
	at := func(topic string, partition, epoch int32, offset int64) *kgo.Record {
		return &kgo.Record{Topic: topic, Partition: partition, LeaderEpoch: epoch, Offset: offset}
	}
	require.Empty(t, newest(nil))
	batch := []*kgo.Record{
		at("a", 0, 1, 5), at("a", 0, 1, 6), at("b", 0, 1, 1), at("b", 1, 1, 7), at("b", 1, 2, 3), at("b", 1, 1, 9), at("a", 0, 1, 7), at("a", 0, 1, 8),
	}
	require.Equal(t, []*kgo.Record{batch[1], batch[2], batch[4], batch[7]}, newest(batch))
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, Config{Brokers: []string{"localhost:9092"}}.Validate())
	err := Config{Brokers: []string{"kafka"}, SASLMechanism: "plain", Password: "hunter2", CAFile: "/does/not/exist"}.Validate()
	for _, want := range []string{"KAFKA_BROKERS", "KAFKA_USER", "KAFKA_TLS", "KAFKA_CA_FILE"} {
		require.ErrorContains(t, err, "THROUGHLINE_"+want)
	}
	require.NotContains(t, err.Error(), "hunter2")
	require.ErrorContains(t, Config{}.Validate(), "THROUGHLINE_KAFKA_BROKERS")
}
