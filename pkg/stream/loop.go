package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// LoopOptions is what both consuming loops need.
type LoopOptions struct {
	Config Config
	Deps   Deps
	Group  string   // consumer group
	Topics []string // a topic that does not exist yet is waited for
	// MaxRecords bounds a batch; the default is 2,000.
	MaxRecords int
	// MaxWait is how long a batch that is not full waits for more records
	// after its first; 0 takes what is there.
	MaxWait time.Duration
	// Metrics of the loop, made once per process by NewLoopMetrics.
	Metrics *LoopMetrics
	// OnState, if set, is told nil when a batch went through and an error while
	// one is being retried: it feeds the readiness check.
	OnState func(error)
	// Opts are added last to the client's options.
	Opts []kgo.Opt
}

// LoopMetrics are the metrics that every consuming stage has.
type LoopMetrics struct {
	records prometheus.Counter
	batch   prometheus.Histogram
	seconds prometheus.Histogram
	retries prometheus.Counter
	lag     *prometheus.GaugeVec
}

// NewLoopMetrics makes and registers the metrics throughline_<stage>_….
func NewLoopMetrics(reg prometheus.Registerer, stage string) *LoopMetrics {
	name := func(s string) string { return "throughline_" + stage + "_" + s }
	m := &LoopMetrics{
		records: prometheus.NewCounter(prometheus.CounterOpts{Name: name("records_total"), Help: "Records that went through, replays of a batch not counted."}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Name: name("batch_records"), Help: "Records in a batch.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8)}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: name("batch_seconds"), Help: "Time from a batch's last record polled to its offsets committed.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 11)}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{Name: name("batch_retries_total"), Help: "Times that a batch was tried again after a transient failure."}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name("consumer_lag_records"),
			Help: "Offsets between the newest batch and the end of its partition; a transaction's marker counts as one."}, []string{"topic", "partition"}),
	}
	if reg != nil {
		reg.MustRegister(m.records, m.batch, m.seconds, m.retries, m.lag)
	}
	return m
}

// loop holds the parts that the consuming loops share.
type loop struct {
	LoopOptions
	ends map[topicPartition]int64 // high watermarks as of the newest fetch
}

type topicPartition struct {
	topic     string
	partition int32
}

func newLoop(o LoopOptions) *loop {
	if o.MaxRecords <= 0 {
		o.MaxRecords = 2000
	}
	if o.Deps.Log == nil {
		o.Deps.Log = zap.NewNop()
	}
	if o.Metrics == nil {
		o.Metrics = NewLoopMetrics(nil, "loop")
	}
	if o.OnState == nil {
		o.OnState = func(error) {}
	}
	return &loop{LoopOptions: o, ends: map[topicPartition]int64{}}
}

// consumerOpts are the options of every consumer of ours. Each states what
// would go wrong without it.
func (l *loop) consumerOpts() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(l.Group),
		kgo.ConsumeTopics(l.Topics...),
		// A group that starts late must not skip what is already there.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// account-events and its dead letters are written in transactions.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Offsets follow the work; a timer would commit ahead of it.
		kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		// A killed instance's partitions wait this long for a new owner.
		kgo.SessionTimeout(10 * time.Second),
		kgo.HeartbeatInterval(time.Second),
		// Memory: what is fetched ahead is bounded per client. These are bytes
		// as they travel, compressed: the normalizer, with two clients, peaked
		// at 370 MB with 8 MB here, at 220 MB with 2 and at 186 MB with 1, for
		// the same CPU a record. A batch that is larger comes all the same, alone.
		kgo.FetchMaxBytes(1 << 20),
		kgo.FetchMaxPartitionBytes(512 << 10),
		kgo.MaxConcurrentFetches(2),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.MetadataMaxAge(30 * time.Second),
	}
	if l.Config.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(l.Config.InstanceID))
	}
	return opts
}

// maxBatchBytes ends a batch early: 5,000 records of a megabyte would not fit
// into a stage's memory. One fetch may go beyond it.
const maxBatchBytes = 8 << 20

// collect gathers a batch: at least one record, at most MaxRecords or about
// maxBatchBytes, waiting MaxWait after the first. It gives an empty batch only
// when ctx has ended.
func (l *loop) collect(ctx context.Context, poll func(context.Context, int) kgo.Fetches) ([]*kgo.Record, error) {
	var batch []*kgo.Record
	wait := ctx
	for bytes := 0; len(batch) < l.MaxRecords && bytes < maxBatchBytes; {
		fetches := poll(wait, l.MaxRecords-len(batch))
		if fetches.IsClientClosed() {
			return nil, errors.New("the Kafka client is closed")
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		for _, e := range fetches.Errors() {
			if errors.Is(e.Err, context.DeadlineExceeded) && wait.Err() != nil {
				continue
			}
			// The client goes on by itself; a person should know.
			l.Deps.Log.Warn("fetching", zap.String("topic", e.Topic), zap.Int32("partition", e.Partition), zap.Error(e.Err))
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) > 0 {
				l.ends[topicPartition{p.Topic, p.Partition}] = p.HighWatermark
			}
		})
		got := fetches.Records()
		batch = append(batch, got...)
		for _, r := range got {
			bytes += len(r.Value)
		}
		if len(batch) > 0 && (l.MaxWait <= 0 || wait.Err() != nil) {
			break
		}
		if len(got) > 0 && wait == ctx {
			var cancel context.CancelFunc
			wait, cancel = context.WithTimeout(ctx, l.MaxWait) //nolint:fatcontext // once: wait is ctx no longer
			defer cancel()
		}
	}
	return batch, nil
}

// retry calls work until it succeeds or ctx ends, with jittered backoff. The
// loops have no other way past a failure: what is Permanent for one record is
// dead-lettered inside work, so an error here concerns the whole batch.
func (l *loop) retry(ctx context.Context, doing string, work func() error) error {
	policy := backoff.NewExponentialBackOff()
	policy.InitialInterval, policy.MaxInterval = 100*time.Millisecond, 10*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := work()
		l.OnState(err)
		return struct{}{}, err
	}, backoff.WithBackOff(policy), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		l.Metrics.retries.Inc()
		l.Deps.Log.Error(doing, zap.Error(err), zap.String("reason", string(fault.ReasonOf(err))), zap.Duration("retry_in", wait))
	}))
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// done records that a batch went through.
func (l *loop) done(batch []*kgo.Record, since time.Time) {
	l.Metrics.records.Add(float64(len(batch)))
	l.Metrics.batch.Observe(float64(len(batch)))
	l.Metrics.seconds.Observe(time.Since(since).Seconds())
	last := map[topicPartition]int64{}
	for _, r := range batch {
		last[topicPartition{r.Topic, r.Partition}] = r.Offset
	}
	for tp, offset := range last {
		l.Metrics.lag.WithLabelValues(tp.topic, fmt.Sprint(tp.partition)).Set(float64(max(0, l.ends[tp]-offset-1)))
	}
}

// forget drops the lag of partitions that this instance no longer has.
func (l *loop) forget(lost map[string][]int32) {
	for topic, partitions := range lost {
		for _, p := range partitions {
			l.Metrics.lag.DeleteLabelValues(topic, fmt.Sprint(p))
		}
	}
}
