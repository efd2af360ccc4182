package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// state keeps what a loop's OnState was told.
type state struct {
	mu   sync.Mutex
	errs []error
}

func (s *state) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

// newest gives the newest state; without any, a loop is thought to work.
func (s *state) newest() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errs) == 0 {
		return nil
	}
	return s.errs[len(s.errs)-1]
}

// ever reports whether an error like target was told.
func (s *state) ever(target error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, err := range s.errs {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func TestPublishEach(t *testing.T) {
	t.Parallel()
	t.Run("one that is refused holds up no other", func(t *testing.T) {
		t.Parallel()
		_, client, _ := ready(t)
		outcomes := NewPublisher(client).PublishEach(t.Context(), []*kgo.Record{
			{Topic: RawTopic("stripe"), Value: []byte("a")},
			{Topic: RawTopic("stripe"), Value: make([]byte, 5<<20)},
			{Topic: RawTopic("stripe"), Value: []byte("c")},
		})
		require.Len(t, outcomes, 3)
		require.NoError(t, outcomes[0])
		require.NoError(t, outcomes[2])
		require.True(t, fault.IsPermanent(outcomes[1]))
		require.Equal(t, fault.Oversized, fault.ReasonOf(outcomes[1]))
		require.Empty(t, NewPublisher(client).PublishEach(t.Context(), nil))
	})
	t.Run("what is not acknowledged in time is transient", func(t *testing.T) {
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
		outcomes := NewPublisher(client).PublishEach(ctx, []*kgo.Record{{Topic: RawTopic("stripe"), Value: []byte("x")}})
		require.ErrorIs(t, outcomes[0], context.DeadlineExceeded)
		require.False(t, fault.IsPermanent(outcomes[0]))
	})
}

// An acknowledgement means that all in-sync replicas have the record, and a
// retry does not write it twice.
func TestClientsProduceWithAllAcksAndIdempotence(t *testing.T) {
	t.Parallel()
	_, client, cluster := ready(t)
	var acks atomic.Int32
	var producerID atomic.Int64
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		produce := req.(*kmsg.ProduceRequest)
		acks.Store(int32(produce.Acks))
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(produce.Topics[0].Partitions[0].Records); err == nil {
			producerID.Store(batch.ProducerID + 1)
		}
		return nil, nil, false
	})
	require.NoError(t, NewPublisher(client).Publish(t.Context(), &kgo.Record{Topic: RawTopic("stripe"), Value: []byte("x")}))
	require.EqualValues(t, -1, acks.Load(), "acks=all")
	require.Positive(t, producerID.Load(), "an idempotent producer has an id")
}

func TestClassify(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err       error
		permanent bool
		reason    fault.Reason
		advice    string
	}{
		"too large":           {kerr.MessageTooLarge, true, fault.Oversized, ""},
		"a batch too large":   {kerr.RecordListTooLarge, true, fault.Oversized, ""},
		"a bad setting":       {kerr.InvalidConfig, true, fault.Unsupported, ""},
		"no leader":           {kerr.LeaderNotAvailable, false, fault.Unavailable, ""},
		"no broker":           {errors.New("connection refused"), false, fault.Unavailable, ""},
		"no right to a topic": {kerr.TopicAuthorizationFailed, false, fault.Unavailable, "grant"},
		"a shared instance":   {&kgo.ErrGroupSession{Err: kerr.FencedInstanceID}, false, fault.Unavailable, "THROUGHLINE_KAFKA_INSTANCE_ID"},
		"a deleted topic":     {kerr.UnknownTopicID, false, fault.Unavailable, "topics apply"},
		"a wrong password":    {kerr.SaslAuthenticationFailed, false, fault.Unavailable, "THROUGHLINE_KAFKA_PASSWORD"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Classify(fmt.Errorf("asking: %w", tt.err))
			require.Equal(t, tt.permanent, fault.IsPermanent(err))
			require.Equal(t, tt.reason, fault.ReasonOf(err))
			require.Contains(t, fault.Advice(err), tt.advice)
			require.Equal(t, tt.advice == "", fault.Advice(err) == "")
		})
	}
	require.NoError(t, Classify(nil))
}

// A fenced member stayed in its loop for ever, with readiness at 200.
func TestAFencedMemberJoinsAnew(t *testing.T) {
	t.Parallel()
	c, client, cluster := ready(t)
	c.InstanceID = "pod-1"
	publish(t, client, 0, 10)
	var got seen
	var s state
	core, lines := observer.New(zapcore.InfoLevel)
	o := LoopOptions{Config: c, Deps: Deps{Log: zap.New(core)}, Group: "g", Topics: []string{RawTopic("stripe")}, OnState: s.set}
	stop := servicetest.Run(t, func(ctx context.Context) error {
		return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { got.add(batch); return nil })
	})
	require.Eventually(t, func() bool { return got.distinct() == 10 }, patience, 5*time.Millisecond)

	// Another process took the instance's id: all that the old member asks is refused.
	fenced := map[string]bool{}
	var fences atomic.Int32
	cluster.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		beat := req.(*kmsg.HeartbeatRequest)
		if fences.Load() > 0 && !fenced[beat.MemberID] {
			return nil, nil, false
		}
		fenced[beat.MemberID] = true
		fences.Add(1)
		answer := beat.ResponseKind().(*kmsg.HeartbeatResponse)
		answer.ErrorCode = kerr.FencedInstanceID.Code
		return answer, nil, true
	})
	require.Eventually(t, func() bool { return s.ever(kerr.FencedInstanceID) }, patience, 5*time.Millisecond)
	publish(t, client, 10, 20)
	require.Eventually(t, func() bool { return got.distinct() == 20 }, patience, 5*time.Millisecond)
	require.Eventually(t, func() bool { return s.newest() == nil }, patience, 5*time.Millisecond)
	stop()
	began := lines.FilterMessage("consuming g fails and is tried again until it succeeds").All()
	require.Len(t, began, 1)
	require.Contains(t, began[0].ContextMap()["advice"], "THROUGHLINE_KAFKA_INSTANCE_ID")
	require.Equal(t, 1, lines.FilterMessage("consuming g works again").Len())
}

// A topic that was deleted gave 2.3 million lines a minute; one that was made
// anew was never read again.
func TestATopicIsDeletedAndMadeAnew(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t, kfake.SleepOutOfOrder())
	publish(t, client, 0, 10)
	core, lines := observer.New(zapcore.InfoLevel)
	var got seen
	var s state
	o := LoopOptions{Config: c, Deps: Deps{Log: zap.New(core)}, Group: "g", Topics: []string{RawTopic("stripe")}, OnState: s.set}
	stop := servicetest.Run(t, func(ctx context.Context) error {
		return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { got.add(batch); return nil })
	})
	require.Eventually(t, func() bool { return got.distinct() == 10 }, patience, 5*time.Millisecond)
	admin := kadm.NewClient(client)
	_, err := admin.DeleteTopic(t.Context(), RawTopic("stripe"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.newest() != nil }, patience, 5*time.Millisecond)

	_, err = admin.CreateTopic(t.Context(), 3, 1, nil, RawTopic("stripe"))
	require.NoError(t, err)
	fresh, err := NewClient(c, Deps{Name: "test"}) // a producer keeps to the topic that it knows, too
	require.NoError(t, err)
	defer fresh.Close()
	publish(t, fresh, 10, 20)
	require.Eventually(t, func() bool { return got.distinct() == 20 }, 2*patience, 5*time.Millisecond)
	require.Eventually(t, func() bool { return s.newest() == nil }, patience, 5*time.Millisecond)
	stop()
	ours := lines.Filter(func(e observer.LoggedEntry) bool { return !strings.Contains(e.LoggerName, "kafka") })
	require.LessOrEqual(t, ours.Len(), 6)
}

// While a write fails and is tried again, others may take the partitions over.
func TestRebalancesDoNotWaitForABatchThatFails(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t)
	o := LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}}
	tried := make(chan struct{})
	var once sync.Once
	servicetest.Run(t, func(ctx context.Context) error {
		return RunBatches(ctx, o, func(context.Context, []*kgo.Record) error {
			once.Do(func() { close(tried) })
			return fault.Transient(fault.Unavailable, errors.New("the database is away from here"))
		})
	})
	publish(t, client, 0, 50)
	<-tried
	var second seen
	servicetest.Run(t, func(ctx context.Context) error {
		return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { second.add(batch); return nil })
	})
	next := 50
	require.Eventually(t, func() bool {
		next += 10
		publish(t, client, next-10, next)
		return second.distinct() > 0
	}, patience, 20*time.Millisecond, "the second member gets no partition")
}

// A batch must not be written by two members at once: while one is under way,
// partitions stay, also when the poll that waited for more brought nothing.
func TestRebalancesWaitForTheBatch(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t)
	o := LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}, MaxWait: 10 * time.Millisecond}
	writing, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var written atomic.Bool
	servicetest.Run(t, func(ctx context.Context) error {
		return RunBatches(ctx, o, func(context.Context, []*kgo.Record) error {
			once.Do(func() { close(writing); <-release; written.Store(true) })
			return nil
		})
	})
	publish(t, client, 0, 1)
	<-writing
	var early atomic.Bool
	second := make(chan struct{}, 100)
	servicetest.Run(t, func(ctx context.Context) error {
		return RunBatches(ctx, o, func(context.Context, []*kgo.Record) error {
			early.CompareAndSwap(false, !written.Load())
			second <- struct{}{}
			return nil
		})
	})
	admin := kadm.NewClient(client)
	require.Eventually(t, func() bool {
		groups, err := admin.DescribeGroups(t.Context(), "g")
		return err == nil && groups["g"].State != "Stable"
	}, patience, 5*time.Millisecond, "the second member asks for a rebalance")
	publish(t, client, 1, 50)
	require.Never(t, func() bool { return len(second) > 0 }, 3*time.Second, 20*time.Millisecond, "members notice a rebalance with their next heartbeat, within a second")
	close(release)
	next := 50
	require.Eventually(t, func() bool {
		next += 10
		publish(t, client, next, next+10)
		return len(second) > 0
	}, patience, 20*time.Millisecond, "it gets its share after that")
	require.False(t, early.Load())
}

func TestProgressTellsOfABatchThatTakesLong(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t)
	var p Progress
	require.Zero(t, p.Busy())
	o := LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}, Progress: &p}
	release := make(chan struct{})
	stop := servicetest.Run(t, func(ctx context.Context) error {
		return RunBatches(ctx, o, func(context.Context, []*kgo.Record) error { <-release; return nil })
	})
	publish(t, client, 0, 1)
	require.Eventually(t, func() bool { return p.Busy() > 50*time.Millisecond }, patience, 5*time.Millisecond)
	close(release)
	require.Eventually(t, func() bool { return p.Busy() == 0 }, patience, 5*time.Millisecond)
	stop()
}

// The lag of a partition is told by the member that has it, and by no other.
func TestTheLagOfLostPartitionsIsForgotten(t *testing.T) {
	t.Parallel()
	pass := func(_ context.Context, batch []*kgo.Record) ([]*kgo.Record, error) { return nil, nil }
	loops := map[string]func(ctx context.Context, o LoopOptions) error{
		"batches": func(ctx context.Context, o LoopOptions) error {
			return RunBatches(ctx, o, func(context.Context, []*kgo.Record) error { return nil })
		},
		"transform": func(ctx context.Context, o LoopOptions) error {
			return RunTransform(ctx, TransformOptions{LoopOptions: o, TransactionalID: TransactionalID(o.Config, "test", 0)}, pass)
		},
	}
	for name, loop := range loops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, client, _ := ready(t)
			publish(t, client, 0, 100)
			member := func() (*LoopMetrics, func()) {
				m := NewLoopMetrics(prometheus.NewRegistry(), "test")
				o := LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}, Metrics: m}
				return m, servicetest.Run(t, func(ctx context.Context) error { return loop(ctx, o) })
			}
			first, stopFirst := member()
			require.Eventually(t, func() bool { return testutil.CollectAndCount(first.lag) == 3 }, patience, 5*time.Millisecond)
			_, stopSecond := member()
			require.Eventually(t, func() bool { return testutil.CollectAndCount(first.lag) < 3 }, patience, 5*time.Millisecond)
			stopSecond()
			stopFirst()
			require.Zero(t, testutil.CollectAndCount(first.lag), "nothing is left of a loop that has ended")
		})
	}
}

// What was not produced must not be committed.
func TestATransactionWhoseOutputFailsIsNotCommitted(t *testing.T) {
	t.Parallel()
	c, client, cluster := ready(t)
	publish(t, client, 0, 10)
	var refusals atomic.Int32
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		produce := req.(*kmsg.ProduceRequest)
		if produce.TransactionID == nil {
			cluster.KeepControl()
			return nil, nil, false
		}
		refusals.Add(1)
		return streamtest.RefuseProduce(produce, kerr.TopicAuthorizationFailed), nil, true // once
	})
	var s state
	o := TransformOptions{
		LoopOptions:     LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}, OnState: s.set},
		TransactionalID: TransactionalID(c, "test", 0),
	}
	servicetest.Run(t, func(ctx context.Context) error {
		return RunTransform(ctx, o, func(_ context.Context, batch []*kgo.Record) (out []*kgo.Record, err error) {
			for _, r := range batch {
				out = append(out, &kgo.Record{Topic: AccountEvents, Value: r.Value})
			}
			return out, nil
		})
	})
	var got seen
	servicetest.Run(t, func(ctx context.Context) error {
		o := LoopOptions{Config: c, Group: "reader", Topics: []string{AccountEvents}}
		return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { got.add(batch); return nil })
	})
	require.Eventually(t, func() bool { return got.distinct() == 10 }, patience, 5*time.Millisecond, "all come after all")
	require.EqualValues(t, 1, refusals.Load())
	require.True(t, s.ever(kerr.TopicAuthorizationFailed))
	got.mu.Lock()
	defer got.mu.Unlock()
	for value, times := range got.counts {
		require.Equal(t, 1, times, value)
	}
}
