package quarantine

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/stream"
)

const (
	// lookEvery is how soon a release made by another process (the command line) is noticed.
	lookEvery = 500 * time.Millisecond
	// publishTimeout bounds the wait for a page's acknowledgements (quarantine.Store.Publish).
	publishTimeout = 10 * time.Second
)

// drainOutbox publishes what is released.
func (q *Quarantine) drainOutbox(ctx context.Context) error {
	told := q.deps.Told("quarantine-publishing")
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if err := retry.Forever(ctx, retry.Policy{}, "publishing released records", told, q.publishAll); err != nil {
			return nil // ctx has ended
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-q.released:
		}
	}
}

// publishAll publishes page after page until the outbox is empty. A record that fails is passed over, so that it
// holds up no other, and makes the error with which the outbox is tried again; a page of which nothing could be
// published ends it at once, because then it is the brokers.
func (q *Quarantine) publishAll(ctx context.Context) error {
	var first error
	for after := int64(0); ctx.Err() == nil; {
		// A stop lets the page under way finish.
		page, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout+q.deps.Grace())
		result, err := q.store.Publish(page, after, func(ctx context.Context, replays []quarantine.Replay) []error {
			return publish(ctx, q.raw, replays)
		})
		cancel()
		if err != nil {
			return err
		}
		q.metrics.publishedPage(result)
		if result.Refused > 0 {
			q.deps.Runtime.Log.Warn("the brokers refuse released records for good; they are open again", zap.Int("records", result.Refused))
		}
		if first == nil {
			first = result.Err
		}
		if result.Last == 0 || result.Failed > 0 && len(result.Published) == 0 {
			break
		}
		after = result.Last
	}
	return first
}

// publish writes a page and gives each record's outcome.
func publish(ctx context.Context, raw *stream.Publisher, page []quarantine.Replay) []error {
	records := make([]*kgo.Record, len(page))
	for i := range page {
		records[i] = replayRecord(&page[i])
	}
	return raw.PublishEach(ctx, records)
}
