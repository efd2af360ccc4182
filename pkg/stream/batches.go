package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// RunBatches consumes as a member of a consumer group and hands batches to
// write, in order within a partition. Offsets are committed only after write
// returned nil; a failing write is tried again with backoff for as long as it
// takes, so write must be idempotent and must itself dead-letter what can never
// succeed. It returns nil when ctx ends, after the batch under way is written
// or given up, and an error only if the client cannot be made.
//
// write gets a context that outlives ctx by grace, so that a stop lets a batch
// finish.
func RunBatches(ctx context.Context, o LoopOptions, grace time.Duration, write func(ctx context.Context, batch []*kgo.Record) error) error {
	l := newLoop(o)
	opts := append(l.consumerOpts(),
		// A partition must not move while its batch is being written: the new
		// owner would write the same rows again, for nothing.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { l.forget(lost) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { l.forget(lost) }),
	)
	client, err := NewClient(o.Config, o.Deps, append(opts, o.Opts...)...)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()

	// A poll that gives nothing but errors still holds rebalances back. The
	// group may have to be joined anew before there is anything to poll, so
	// going on to the next poll without this would wait for ever.
	poll := func(ctx context.Context, most int) kgo.Fetches {
		fetches := client.PollRecords(ctx, most)
		if fetches.NumRecords() == 0 {
			client.AllowRebalance()
		}
		return fetches
	}
	work, stop := withGrace(ctx, grace)
	defer stop()
	for {
		batch, err := l.collect(ctx, poll)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			return nil
		}
		start := time.Now()
		err = l.retry(work, "writing a batch", func() error {
			err := write(work, batch)
			if err != nil {
				// While we wait to try again others may take over. What we
				// write after that is a duplicate and changes nothing.
				client.AllowRebalance()
			}
			return err
		})
		if err != nil {
			return nil // stopped: the batch is not committed and comes again
		}
		if err := client.CommitRecords(work, batch...); err != nil {
			// Not a loss: at worst the batch comes again and is a no-op.
			l.Deps.Log.Warn("committing offsets", zap.Error(err))
		}
		l.done(batch, start)
		client.AllowRebalance()
	}
}

// withGrace gives a context that ends grace after parent does.
func withGrace(parent context.Context, grace time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		timer := time.AfterFunc(grace, func() { cancel(fmt.Errorf("stopping: no more than %s is left for the work under way", grace)) })
		context.AfterFunc(ctx, func() { timer.Stop() })
	})
	return ctx, func() { stop(); cancel(context.Canceled) }
}
