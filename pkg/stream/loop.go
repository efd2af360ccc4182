package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/retry"
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
	// Enough, if it is more than 0, is how many records are a batch that waits for no
	// more, though it is not full: another fetch for it would be waited for, while that
	// for the next batch is under way when this one is written.
	Enough int
	// Grace is how long what is under way may take when the loop is to end; the goodbye
	// to the brokers has a quarter of it more. The default is 5 s.
	Grace time.Duration
	// Metrics of the loop, made once per process by NewLoopMetrics.
	Metrics *LoopMetrics
	// OnState, if set, is told nil when the loop works and an error while a batch
	// is retried, the brokers refuse its fetches, or it joins its group anew. It
	// feeds the readiness check.
	OnState func(error)
	// Advice, if set, gives what a person can do about an error of a batch ("":
	// waiting is enough); what an error itself says counts more.
	Advice func(error) string
	// Progress, if set, is told of each batch's beginning and end.
	Progress *Progress
	// Opts are added last to the client's options.
	Opts []kgo.Opt
}

// The kinds of trouble that a loop can have at the same time.
const (
	inSession = iota // the member joins its group anew
	inFetches        // the brokers answer fetches with errors
	inBatch          // a batch is tried again
	inHold           // a partition is held
	kinds
)

// loop holds the parts that the consuming loops share. One goroutine uses it, but
// for report.
type loop struct {
	LoopOptions
	lag        *lag
	reading    reading
	stopped    stopped
	told       [kinds]*retry.Told
	polled     pollState
	maxRecords int           // as the options have it
	lossAt     time.Time     // of the newest line about lost records
	skipped    []*kgo.Record // for what the newest poll could not read

	mu   sync.Mutex   // a rebalance may end a hold at any time
	errs [kinds]error // as told last
}

func newLoop(o LoopOptions) *loop {
	if o.MaxRecords <= 0 {
		o.MaxRecords = 2000
	}
	if o.Grace <= 0 {
		o.Grace = 5 * time.Second
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
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	l := &loop{LoopOptions: o, maxRecords: o.MaxRecords, lag: newLag(o.Metrics.lag)}
	for kind := range l.told {
		l.told[kind] = &retry.Told{Log: o.Deps.Log, State: func(err error) { l.report(kind, err) }, Advice: o.Advice}
	}
	return l
}

// report keeps the states of all kinds apart, so that one that is over does not
// hide another.
func (l *loop) report(kind int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if (kind == inBatch || kind == inHold) && err != nil {
		l.Metrics.retries.Inc()
	}
	l.errs[kind] = err
	var worst error
	for _, err := range l.errs {
		if worst == nil || fault.Advice(worst) == "" && fault.Advice(err) != "" {
			worst = err
		}
	}
	l.OnState(worst)
}

// consumerOpts are the options of every consumer of ours. Each states what
// would go wrong without it.
func (l *loop) consumerOpts() []kgo.Opt {
	forget := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { l.forget(lost) }
	opts := []kgo.Opt{
		kgo.ConsumerGroup(l.Group),
		kgo.ConsumeTopics(l.Topics...),
		// A group that starts late must not skip what is already there.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// The markers of their transactions take offsets too. A group that does not
		// commit those never reaches the end of a topic, and whoever looks at its lag
		// sees one record a partition that never goes away.
		kgo.KeepControlRecords(),
		// Offsets follow the work; a timer would commit ahead of it.
		kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		// A partition's lag would stay on the gauge of whoever had it first.
		kgo.OnPartitionsRevoked(forget),
		kgo.OnPartitionsLost(forget),
		// A killed instance's partitions wait this long for a new owner.
		kgo.SessionTimeout(10 * time.Second),
		kgo.HeartbeatInterval(time.Second),
		// Memory: what is fetched ahead is bounded per client. These are bytes
		// as they travel, compressed. The normalizer, with two clients, did 46,000
		// records/s with a quarter of this and 214 MB, 51,000 with this and 246 MB,
		// on two cores. A batch that is larger comes all the same, alone.
		kgo.FetchMaxBytes(2 << 20),
		kgo.FetchMaxPartitionBytes(1 << 20),
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

// forget forgets what is known of partitions that others have now.
func (l *loop) forget(lost map[string][]int32) {
	l.lag.forget(lost)
	l.reading.forget(lost)
	for topic, partitions := range lost {
		for _, p := range partitions {
			l.stopped.forget(topic, p)
		}
	}
}

// clientOpts gives all options of the loop's client, extra ones between the
// consumer's and the caller's. An error is Permanent: no session could begin.
func (l *loop) clientOpts(extra ...kgo.Opt) ([]kgo.Opt, error) {
	opts, err := clientOpts(l.Config, l.Deps, &l.stopped)
	if err != nil {
		return nil, fault.Permanent(fault.Unsupported, err)
	}
	opts = append(append(append(opts, l.consumerOpts()...), extra...), l.Opts...)
	if err := kgo.ValidateOpts(opts...); err != nil {
		return nil, fault.Permanent(fault.Unsupported, fmt.Errorf("making the Kafka client: %w", err))
	}
	return opts, nil
}

// classify is Classify, with the rights that the loop needs beside those to topics.
func (l *loop) classify(err error) error {
	err = denied(Classify(err), kerr.GroupAuthorizationFailed, l.Config.User, "READ", "group", l.Group)
	return denied(err, kerr.TransactionalIDAuthorizationFailed, l.Config.User, "WRITE", "resource-pattern-type prefixed --transactional-id", l.Config.Names().ours())
}

// sessions runs session, which is one client's life, until ctx ends. A client
// that breaks is closed and another one joins the group in its place, which is
// the only cure for a fenced member and for a topic that was made anew.
func (l *loop) sessions(ctx context.Context, session func(ctx context.Context) error) {
	// The error is ctx's end: a stop, no failure.
	_ = retry.Sessions(ctx, retry.Policy{First: 200 * time.Millisecond, Most: 20 * time.Second}, "consuming "+l.Group, l.told[inSession],
		func(ctx context.Context, up func()) error {
			defer l.lag.forgetAll()
			l.polled, l.skipped = newPollState(up), nil
			l.stopped.forgetAll()
			return session(ctx)
		})
}

// newMember makes a client of a group and gives what closes it: in order, but in no more
// than within, where the client by itself would wait for as long as any request may take.
// Brokers that do not answer wait for the session timeout then, as they do for a member
// that was killed.
func newMember[C any](within time.Duration, opts []kgo.Opt, newClient func(...kgo.Opt) (C, error), closeClient func(C)) (C, func(), error) {
	life, end := context.WithCancel(context.Background())
	client, err := newClient(append(slices.Clip(opts), kgo.WithContext(life))...)
	if err != nil {
		end()
		return client, nil, fmt.Errorf("making the Kafka client: %w", err)
	}
	return client, func() {
		defer end()
		defer time.AfterFunc(within, end).Stop()
		closeClient(client)
	}, nil
}

// retry calls work until it succeeds or ctx ends, with jittered backoff. The
// loops have no other way past a failure: what is Permanent for one record is
// dead-lettered inside work, so an error here concerns the whole batch.
func (l *loop) retry(ctx context.Context, doing string, work func(context.Context) error) error {
	return retry.Forever(ctx, retry.Policy{}, doing, l.told[inBatch], work)
}

// done records that a batch of so many events went through.
func (l *loop) done(batch []*kgo.Record, events int, since time.Time) {
	if events > 0 {
		l.Metrics.records.Add(float64(events))
		l.Metrics.batch.Observe(float64(events))
		l.Metrics.seconds.Observe(time.Since(since).Seconds())
	}
	l.lag.done(newest(batch))
}

// isMarker says whether a record is the marker of a transaction's end: the brokers'
// own, of which only the offset counts.
func isMarker(r *kgo.Record) bool { return r.Attrs.IsControl() }

// withoutMarkers gives the events of a batch.
func withoutMarkers(batch []*kgo.Record) []*kgo.Record {
	if !slices.ContainsFunc(batch, isMarker) {
		return batch
	}
	return slices.DeleteFunc(slices.Clone(batch), isMarker)
}

// errClosed ends a loop whose client somebody closed.
var errClosed = errors.New("the Kafka client is closed")
