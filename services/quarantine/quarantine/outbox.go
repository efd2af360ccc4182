package quarantine

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
	"github.com/throughline-dev/throughline/pkg/quarantine"
)

const (
	// lookEvery is how soon a release made by another process (the command line) is noticed.
	lookEvery = 500 * time.Millisecond
	// publishTimeout bounds the wait for a page's acknowledgements, during which its rows are locked.
	publishTimeout = 10 * time.Second
)

// drainOutbox publishes what is released.
func (k *Keeper) drainOutbox(ctx context.Context, client *kgo.Client) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if !k.retry(ctx, "publishing released records", func() error { return k.publishAll(ctx, client) }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-k.released:
		}
	}
}

// publishAll publishes page after page until the outbox is empty. A record that fails is passed over, so that it
// holds up no other, and makes the error with which the outbox is tried again; a page of which nothing could be
// published ends it at once, because then it is the brokers.
func (k *Keeper) publishAll(ctx context.Context, client *kgo.Client) error {
	var first error
	for after := int64(0); ctx.Err() == nil; {
		// A stop lets the page under way finish.
		page, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout+stopGrace)
		result, err := k.store.Publish(page, after, func(ctx context.Context, replays []quarantine.Replay) []error {
			return publish(ctx, client, replays)
		})
		cancel()
		if err != nil {
			return err
		}
		k.metrics.publishedPage(result)
		if result.Refused > 0 {
			k.log.Warn("the brokers refuse released records for good; they are open again", zap.Int("records", result.Refused))
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
func publish(ctx context.Context, client *kgo.Client, page []quarantine.Replay) []error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	outcomes := make([]error, len(page))
	var mu sync.Mutex // an answer may come after the wait was given up
	for i := range outcomes {
		outcomes[i] = fault.Transient(fault.Unavailable, errors.New("the brokers did not acknowledge in time"))
	}
	left, done := len(page), make(chan struct{})
	for i := range page {
		client.TryProduce(ctx, replayRecord(&page[i]), func(rec *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			outcomes[i] = outcome(rec.Topic, err)
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
	return slices.Clone(outcomes)
}

// outcome: what is too large for the topic always will be; all else may pass.
func outcome(topic string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fault.Permanent(fault.Oversized, fmt.Errorf("publishing to %s: %w", topic, err))
	default:
		return fault.Transient(fault.Unavailable, fmt.Errorf("publishing to %s: %w", topic, err))
	}
}
