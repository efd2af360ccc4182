package stream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// TransformOptions are LoopOptions and what transactions need.
type TransformOptions struct {
	LoopOptions
	// TransactionalID names the transactions of this loop. It must be unique
	// among running loops and, to abort at once what a killed process left
	// open, the same after a restart: TransactionalID(config, …) makes one.
	TransactionalID string
	// TransactionTimeout is after how long the brokers abort what a killed
	// process left open when nobody takes its id over; readers of the output
	// wait that long. The default is 10 s.
	TransactionTimeout time.Duration
}

// TransactionalID gives the id for the n-th loop of a stage in this process:
// stable when the operator named the instance, else fresh per start, which the
// embedded broker requires (docs/adr/0004).
func TransactionalID(c Config, stage string, n int) string {
	if c.InstanceID != "" {
		return fmt.Sprintf("throughline-%s-%s-%d", stage, c.InstanceID, n)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	return fmt.Sprintf("throughline-%s-%s-%s-%d", stage, host, uuid.NewString()[:8], n)
}

// RunTransform consumes batches, hands each to transform, and produces what it
// returns together with the batch's offsets in one transaction: a record's
// output is visible exactly once or not yet. A failing transform is tried again
// with backoff, outside of any transaction, so it must be free of effects.
// Topics of the output must exist. It returns nil when ctx ends; a session that
// the brokers fence or that breaks is replaced by a new one.
func RunTransform(ctx context.Context, o TransformOptions, transform func(ctx context.Context, batch []*kgo.Record) ([]*kgo.Record, error)) error {
	if o.TransactionTimeout <= 0 {
		o.TransactionTimeout = 10 * time.Second
	}
	l := newLoop(o.LoopOptions)
	policy := backoff.NewExponentialBackOff()
	policy.InitialInterval, policy.MaxInterval = 200*time.Millisecond, 10*time.Second
	for ctx.Err() == nil {
		started := time.Now()
		err := l.session(ctx, o, transform)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if fault.IsPermanent(err) {
			return err
		}
		if time.Since(started) > time.Minute {
			policy.Reset()
		}
		wait := policy.NextBackOff()
		l.OnState(err)
		l.Deps.Log.Error("transforming: the session broke and starts anew", zap.Error(err), zap.Duration("retry_in", wait))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// session runs transactions until ctx ends (nil) or one breaks.
func (l *loop) session(ctx context.Context, o TransformOptions, transform func(context.Context, []*kgo.Record) ([]*kgo.Record, error)) error {
	opts := append(l.consumerOpts(),
		kgo.TransactionalID(o.TransactionalID),
		kgo.TransactionTimeout(o.TransactionTimeout),
	)
	base, err := clientOpts(o.Config, o.Deps)
	if err != nil {
		return fault.Permanent(fault.Unsupported, err)
	}
	tx, err := kgo.NewGroupTransactSession(append(append(base, opts...), o.Opts...)...)
	if err != nil {
		return fault.Permanent(fault.Unsupported, fmt.Errorf("making the Kafka client: %w", err))
	}
	defer tx.Close()
	for {
		batch, err := l.collect(ctx, tx.PollRecords)
		if err != nil || len(batch) == 0 {
			return err
		}
		start := time.Now()
		var out []*kgo.Record
		if err := l.retry(ctx, "transforming a batch", func() (err error) {
			out, err = transform(ctx, batch)
			return err
		}); err != nil {
			return nil // retry gives up only when ctx ends: a stop, no failure
		}
		committed, err := transact(tx, o.TransactionTimeout, out)
		if err != nil {
			return err
		}
		if committed {
			l.done(batch, start)
		}
	}
}

// transact produces out and commits the session's offsets, or neither. Not
// committed without an error means that partitions moved: the batch comes again.
// It does not take the caller's context: a transaction under way is ended in
// order, within its own timeout, also when the process is asked to stop.
func transact(s *kgo.GroupTransactSession, timeout time.Duration, out []*kgo.Record) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := s.Begin(); err != nil {
		return false, fault.Transient(fault.Unavailable, fmt.Errorf("beginning a transaction: %w", err))
	}
	promise := kgo.AbortingFirstErrPromise(s.Client())
	for _, r := range out {
		s.Produce(ctx, r, promise.Promise())
	}
	produced := promise.Err()
	committed, err := s.End(ctx, kgo.TransactionEndTry(produced == nil))
	if err := errors.Join(produced, err); err != nil {
		return false, fault.Transient(fault.Unavailable, fmt.Errorf("committing a transaction: %w", err))
	}
	return committed, nil
}
