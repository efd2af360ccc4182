package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/retry"
)

// RunBatches consumes as a member of a consumer group and hands batches to
// write, in order within a partition. Offsets are committed only after write
// returned nil; a failing write is tried again with backoff for as long as it
// takes, so write must be idempotent and must itself dead-letter what can never
// succeed. An error that is a *HeldError concerns some partitions only. It returns
// nil when ctx ends, after the batch under way is written or given up, and an
// error only if the client cannot be made. A client that the brokers fence, or
// whose fetches they refuse, is replaced by a new one.
//
// write gets a context that outlives ctx by o.Grace, so that a stop lets a batch
// finish.
func RunBatches(ctx context.Context, o LoopOptions, write func(ctx context.Context, batch []*kgo.Record) error) error {
	l := newLoop(o)
	h := &holds{loop: l, held: map[topicPartition]*hold{}}
	forget := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { l.forget(lost); h.forget(lost) }
	opts, err := l.clientOpts(
		// A partition must not move while its batch is being written: the new
		// owner would write the same rows again, for nothing.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(forget),
		kgo.OnPartitionsLost(forget))
	if err != nil {
		return err
	}
	work, stop := withGrace(ctx, l.Grace)
	defer stop()
	commits := &retry.Told{Log: l.Deps.Log} // no state: at worst batches come again
	l.sessions(ctx, func(ctx context.Context) error {
		client, closeClient, err := newMember(l.Grace/4, opts, kgo.NewClient, (*kgo.Client).CloseAllowingRebalance)
		if err != nil {
			return err
		}
		defer closeClient()
		h.client = client
		l.reading.begin(client.CommittedOffsets)
		defer h.forgetAll()
		for {
			batch, err := l.collect(ctx, client.PollRecords, client.AllowRebalance)
			if err != nil || len(batch) == 0 {
				return err
			}
			if err := l.writeBatch(work, h, batch, commits, write); errors.Is(err, errSkipped) {
				return err
			} else if err != nil {
				return nil // stopped: the batch is not committed and comes again
			}
		}
	})
	return nil
}

// writeBatch gives an error only when work has ended, or errSkipped when the
// session must.
func (l *loop) writeBatch(work context.Context, h *holds, batch []*kgo.Record, commits *retry.Told, write func(context.Context, []*kgo.Record) error) error {
	start := l.Progress.begin()
	defer l.Progress.end()
	var held *HeldError
	events := withoutMarkers(batch)
	err := l.retry(work, "writing a batch", func(ctx context.Context) error {
		if len(events) == 0 {
			return nil
		}
		err := write(ctx, events)
		if errors.As(err, &held) {
			return nil
		}
		if err != nil {
			// While we wait to try again others may take over. What we
			// write after that is a duplicate and changes nothing.
			h.client.AllowRebalance()
		}
		return err
	})
	if err != nil {
		return err
	}
	defer h.client.AllowRebalance()
	batch = h.take(batch, held)
	if len(batch) == 0 {
		return nil
	}
	if err := h.client.CommitRecords(work, newest(batch)...); err != nil {
		// Not a loss: at worst the batch comes again and is a no-op.
		commits.Failed("committing offsets", Classify(err), 0)
	} else {
		commits.Succeeded("committing offsets")
	}
	l.done(batch, len(withoutMarkers(batch)), start)
	return l.skip(h.client, batch)
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

// newest gives the newest record of each run of records that follow each other and are of one partition. A
// partition's newest is among them; thousands of others, each of which the client would look up, are not.
func newest(batch []*kgo.Record) (newest []*kgo.Record) {
	for _, r := range batch {
		if last := len(newest) - 1; last < 0 || newest[last].Partition != r.Partition || newest[last].Topic != r.Topic {
			newest = append(newest, r)
		} else if at := newest[last]; r.LeaderEpoch > at.LeaderEpoch || r.LeaderEpoch == at.LeaderEpoch && r.Offset >= at.Offset {
			newest[last] = r
		}
	}
	return newest
}
