package stream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
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
	opts, err := l.clientOpts(kgo.TransactionalID(o.TransactionalID), kgo.TransactionTimeout(o.TransactionTimeout), kgo.ProducerLinger(o.TransactionTimeout))
	if err != nil {
		return err
	}
	l.sessions(ctx, func(ctx context.Context) error {
		tx, err := kgo.NewGroupTransactSession(opts...)
		if err != nil {
			return fmt.Errorf("making the Kafka client: %w", err)
		}
		defer tx.Close()
		if err := takeOver(ctx, tx.Client(), o.TransactionTimeout); err != nil {
			return err
		}
		for {
			batch, err := l.collect(ctx, tx.PollRecords, nil)
			if err != nil || len(batch) == 0 {
				return err
			}
			if err := l.transformBatch(ctx, tx, o.TransactionTimeout, batch, transform); err != nil {
				return err
			}
		}
	})
	return nil
}

// takeOver ends the transaction that a killed process left open under this
// transactional id. The first transaction of ours would do so too, but only
// after the group's offsets were fetched, and they wait for the open one.
func takeOver(ctx context.Context, client *kgo.Client, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, 2*timeout)
	defer cancel()
	if _, _, err := client.ProducerID(ctx); err != nil {
		return Classify(fmt.Errorf("taking the transactional id over: %w", err))
	}
	return nil
}

// transformBatch gives an error when the session must end.
func (l *loop) transformBatch(ctx context.Context, tx *kgo.GroupTransactSession, timeout time.Duration, batch []*kgo.Record,
	transform func(context.Context, []*kgo.Record) ([]*kgo.Record, error)) error {
	start := l.Progress.begin()
	defer l.Progress.end()
	var out []*kgo.Record
	err := l.retry(ctx, "transforming a batch", func(ctx context.Context) (err error) {
		out, err = transform(ctx, batch)
		return err
	})
	if err != nil {
		return err // ctx has ended
	}
	committed, err := transact(tx, timeout, out)
	if err != nil {
		return err
	}
	if committed {
		l.done(batch, start)
	}
	return nil
}

// transact produces out and commits the session's offsets, or neither. Not
// committed without an error means that partitions moved: the batch comes again.
// It does not take the caller's context: a transaction under way is ended in
// order, within its own timeout, also when the process is asked to stop.
func transact(s *kgo.GroupTransactSession, timeout time.Duration, out []*kgo.Record) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := s.Begin(); err != nil {
		return false, Classify(fmt.Errorf("beginning a transaction: %w", err))
	}
	promise := kgo.AbortingFirstErrPromise(s.Client())
	for _, r := range out {
		s.Produce(ctx, r, promise.Promise())
	}
	flushed := s.Client().Flush(ctx)
	produced := errors.Join(promise.Err(), flushed)
	committed, err := s.End(ctx, kgo.TransactionEndTry(produced == nil))
	if err := errors.Join(produced, err); err != nil {
		return false, Classify(fmt.Errorf("committing a transaction: %w", err))
	}
	return committed, nil
}
