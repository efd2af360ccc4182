package stream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Publisher writes records and answers when the brokers have them.
type Publisher struct {
	client  *kgo.Client
	waiters sync.Pool // of *waiter
}

// NewPublisher publishes through cl, which must produce with acks=all (NewClient).
func NewPublisher(cl *kgo.Client) *Publisher {
	p := &Publisher{client: cl}
	p.waiters.New = func() any { return newWaiter() }
	return p
}

// Publish returns nil after every record is acknowledged by all in-sync
// replicas. On an error (Permanent(Oversized), else Transient) some of them may
// be written, now or later: try again, the timeline knows duplicates. After an
// error the records' bytes must not be reused, the client may still hold them;
// the slice may be in any case. It returns at latest when ctx ends. A full
// buffer is an error at once, so that a receiver can push back.
func (p *Publisher) Publish(ctx context.Context, records ...*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	w := p.waiters.Get().(*waiter)
	w.left.Store(int64(len(records)))
	for _, r := range records {
		p.client.TryProduce(ctx, r, w.promise)
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		// The waiter is not used again: promises are still to come.
		return unacknowledged(ctx)
	}
	first := w.first.Swap(nil)
	p.waiters.Put(w)
	if first != nil {
		p.forget(*first, records)
		return publishing(*first)
	}
	return nil
}

// forget lets the client ask for topics anew that it finds no longer: it keeps to
// the topic that it knew, also when another one has its name by now.
func (p *Publisher) forget(err error, records []*kgo.Record) {
	if !unknownTopic(err) {
		return
	}
	topics := map[string]bool{}
	for _, r := range records {
		topics[r.Topic] = true
	}
	p.client.PurgeTopicsFromProducing(slices.Collect(maps.Keys(topics))...)
}

// PublishEach is Publish with one answer a record, in their order, so that one
// which the brokers refuse holds up no other.
func (p *Publisher) PublishEach(ctx context.Context, records []*kgo.Record) []error {
	if len(records) == 0 {
		return nil
	}
	type answer struct {
		came bool
		err  error
	}
	var mu sync.Mutex // an answer may come after the wait was given up
	answers := make([]answer, len(records))
	left, done := len(records), make(chan struct{})
	for i, r := range records {
		p.client.TryProduce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				err = toTopic(err, "", r.Topic)
			}
			mu.Lock()
			defer mu.Unlock()
			answers[i] = answer{true, publishing(err)}
			if left--; left == 0 {
				close(done)
			}
		})
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	outcomes := make([]error, len(records))
	for i, a := range answers {
		outcomes[i] = a.err
		p.forget(a.err, records[i:i+1])
		if !a.came {
			outcomes[i] = unacknowledged(ctx)
		}
	}
	return outcomes
}

func publishing(err error) error {
	if err == nil {
		return nil
	}
	return Classify(fmt.Errorf("publishing: %w", err))
}

func unacknowledged(ctx context.Context) error {
	return Classify(fmt.Errorf("waiting for the brokers' acknowledgement: %w", context.Cause(ctx)))
}

// waiter waits for the promises of one Publish after the other.
type waiter struct {
	left    atomic.Int64
	first   atomic.Pointer[error]
	done    chan struct{} // holds one, so that the last promise never waits
	promise func(*kgo.Record, error)
}

func newWaiter() *waiter {
	w := &waiter{done: make(chan struct{}, 1)}
	w.promise = w.keep
	return w
}

// keep is called once for each record, and touches w last when it sends.
func (w *waiter) keep(r *kgo.Record, err error) {
	if err != nil {
		w.fail(toTopic(err, "", r.Topic))
	}
	if w.left.Add(-1) == 0 {
		w.done <- struct{}{}
	}
}

// fail is apart from keep so that only a failure moves its error to the heap.
func (w *waiter) fail(err error) { w.first.CompareAndSwap(nil, &err) }
