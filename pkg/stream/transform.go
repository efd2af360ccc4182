package stream

import (
	"context"
	"fmt"
	"time"

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
	// Replace, if set, gives the output of batch once more, with something else in
	// the places of the records that the brokers refuse, each of them by itself.
	// refused has what they refused in a place so far, in order. An error aborts
	// the transaction; without Replace a refusal does. What the brokers refused along
	// with such a record is written behind what they took.
	Replace func(ctx context.Context, batch []*kgo.Record, refused map[int][]Refusal) ([]*kgo.Record, error)
}

// RunTransform consumes batches, hands each to transform, and produces what it
// returns (a nil is none) together with the batch's offsets in one transaction: a record's
// output is visible exactly once or not yet. A failing transform is tried again
// with backoff, outside of any transaction, so it must be free of effects.
// Topics of the output must exist. It returns nil when ctx ends, though a transaction
// under way has o.Grace more; a session that the brokers fence or that breaks is replaced
// by a new one.
func RunTransform(ctx context.Context, o TransformOptions, transform func(ctx context.Context, batch []*kgo.Record) ([]*kgo.Record, error)) error {
	if o.TransactionTimeout <= 0 {
		o.TransactionTimeout = 10 * time.Second
	}
	l := newLoop(o.LoopOptions)
	opts, err := l.clientOpts(kgo.TransactionalID(o.TransactionalID), kgo.TransactionTimeout(o.TransactionTimeout), kgo.ProducerLinger(o.TransactionTimeout))
	if err != nil {
		return err
	}
	work, stop := withGrace(ctx, l.Grace)
	defer stop()
	l.sessions(ctx, func(ctx context.Context) error {
		tx, closeTx, err := newMember(l.Grace/4, opts, kgo.NewGroupTransactSession, (*kgo.GroupTransactSession).Close)
		if err != nil {
			return err
		}
		defer closeTx()
		if err := takeOver(ctx, tx.Client(), o.TransactionTimeout); err != nil {
			return l.classify(err)
		}
		l.reading.begin(tx.Client().CommittedOffsets)
		for {
			batch, err := l.collect(ctx, tx.PollRecords, nil)
			if err != nil || len(batch) == 0 {
				return err
			}
			if err := l.transformBatch(ctx, work, tx, o, batch, transform); err != nil {
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
		return fmt.Errorf("taking the transactional id over: %w", err)
	}
	return nil
}

// transformBatch gives an error when the session must end. The transaction may outlive
// ctx until work ends.
func (l *loop) transformBatch(ctx, work context.Context, session *kgo.GroupTransactSession, o TransformOptions, batch []*kgo.Record,
	transform func(context.Context, []*kgo.Record) ([]*kgo.Record, error)) error {
	start := l.Progress.begin()
	defer l.Progress.end()
	var out []*kgo.Record
	events := withoutMarkers(batch)
	err := l.retry(ctx, "transforming a batch", func(ctx context.Context) (err error) {
		if len(events) > 0 {
			out, err = transform(ctx, events)
		}
		return err
	})
	if err != nil {
		return err // ctx has ended
	}
	tx := transaction{session: session, user: o.Config.User, timeout: o.TransactionTimeout, batch: events, replace: o.Replace}
	committed, err := tx.run(work, out)
	if err != nil {
		if len(tx.refused) > 0 { // they may have been too many for one transaction
			l.MaxRecords = max(1, len(events)/2)
		}
		return l.classify(err)
	}
	l.MaxRecords = l.maxRecords
	lost := unreadable(events)
	if !committed {
		l.reading.again()
		if len(lost) > 0 { // only another client comes to them again
			return errSkipped
		}
		return nil
	}
	l.done(batch, len(events), start)
	if len(lost) == 0 {
		return nil
	}
	// The transaction's offsets are of what the client has read. Should this commit
	// fail, the same dead letter is written again.
	if err := session.Client().CommitRecords(ctx, lost...); err != nil {
		return Classify(fmt.Errorf("committing offsets: %w", err))
	}
	return l.skip(session.Client(), lost)
}
