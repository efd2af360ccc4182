// Package retry is the only endless retry of Throughline: jittered exponential
// backoff, one log line when trouble begins and one when it is over, and a health
// state after each try.
//
// Forever is for work that ends (write this batch), Sessions for work that goes
// on until it breaks (listen on this connection).
package retry

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Policy says how long to pause between tries. A pause grows by half each time
// and is jittered by up to half of itself in both directions.
type Policy struct {
	First time.Duration // after the first failure; 0: 100 ms
	Most  time.Duration // before jitter; 0: 10 s
}

const (
	defaultFirst = 100 * time.Millisecond
	defaultMost  = 10 * time.Second
)

// Forever calls work until it gives nil, and then gives nil itself. Every error
// is retried, Permanent ones too: what must not be tried again is handled inside
// work. When ctx ends it gives an error that wraps ctx's cause; a failure of the
// try that ctx interrupted is told to nobody. doing names the work in the log, as
// a gerund: "writing a batch". t may be nil.
func Forever(ctx context.Context, p Policy, doing string, t *Told, work func(context.Context) error) error {
	return Sessions(ctx, p, doing, t, func(ctx context.Context, _ func()) error { return work(ctx) })
}

// Sessions is Forever for work that goes on until it breaks: work calls up, as
// often as it likes, to say that its session works. That ends the trouble, and
// the next pause is the first one again.
func Sessions(ctx context.Context, p Policy, doing string, t *Told, work func(ctx context.Context, up func()) error) error {
	pauses := p.BackOff()
	up := func() {
		pauses.Reset()
		t.Succeeded(doing)
	}
	var last error
	for ctx.Err() == nil {
		err := work(ctx, up)
		if err != nil && ctx.Err() != nil {
			break
		}
		if err == nil {
			if ctx.Err() == nil { // the end of work that was asked to end proves nothing
				t.Succeeded(doing)
			}
			return nil
		}
		last = err
		pause := pauses.NextBackOff()
		t.Failed(doing, err, pause)
		wait(ctx, pause)
	}
	err := fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	if last != nil {
		err = fmt.Errorf("%w (the last try: %w)", err, last)
	}
	return err
}

// BackOff gives the pauses of this policy, one after the other, for work that is
// no loop of its own.
func (p Policy) BackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = p.First, p.Most
	if b.InitialInterval <= 0 {
		b.InitialInterval = defaultFirst
	}
	if b.MaxInterval <= 0 {
		b.MaxInterval = max(defaultMost, b.InitialInterval)
	}
	b.Reset()
	return b
}

func wait(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
