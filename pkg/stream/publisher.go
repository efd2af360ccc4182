package stream

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Publisher writes records and answers when the brokers have them.
type Publisher struct{ client *kgo.Client }

// NewPublisher publishes through cl, which must produce with acks=all (NewClient).
func NewPublisher(cl *kgo.Client) *Publisher { return &Publisher{client: cl} }

// Publish returns nil after every record is acknowledged by all in-sync
// replicas. On an error (Permanent(Oversized), else Transient) some of them may
// be written, now or later: try again, the timeline knows duplicates. After an
// error the records' bytes must not be reused, the client may still hold them.
// It returns at latest when ctx ends. A full buffer is an error at once, so
// that a receiver can push back.
func (p *Publisher) Publish(ctx context.Context, records ...*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	var first atomic.Pointer[error]
	var left atomic.Int64
	left.Store(int64(len(records)))
	done := make(chan struct{})
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			first.CompareAndSwap(nil, &err)
		}
		if left.Add(-1) == 0 {
			close(done)
		}
	}
	for _, r := range records {
		p.client.TryProduce(ctx, r, promise)
	}
	select {
	case <-done:
	case <-ctx.Done():
		return classify(fmt.Errorf("waiting for the brokers' acknowledgement: %w", context.Cause(ctx)))
	}
	if err := first.Load(); err != nil {
		return classify(fmt.Errorf("publishing: %w", *err))
	}
	return nil
}
