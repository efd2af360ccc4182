package accounts

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/retry"
)

const (
	// lookEvery is how soon a decision made by another process (the command line) is noticed.
	lookEvery = time.Second
	// dropEvery is how often old changes are removed.
	dropEvery = time.Minute
)

// Worker is what a long-running process does for the ledger: it carries out moves that nobody is at (a command line
// that was interrupted leaves some), and publishes account_changes. The quarantine service runs one; several side by
// side are harmless.
type Worker struct {
	Mover  *Mover
	Outbox *Outbox
	// Moving and Publishing hear how it goes. nil: nobody does.
	Moving, Publishing *retry.Told
}

// Run works until ctx ends, and then gives nil. A move's batch that is under way is given up; nothing is lost by it.
func (w *Worker) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return every(ctx, lookEvery, "moving events between accounts", w.Moving, func(ctx context.Context) error { return w.Mover.Run(ctx, nil) })
	})
	group.Go(func() error {
		return every(ctx, lookEvery, "publishing changes of accounts", w.Publishing, func(ctx context.Context) error {
			_, err := w.Outbox.Publish(ctx)
			return err
		})
	})
	group.Go(func() error {
		return every(ctx, dropEvery, "removing old changes of accounts", w.Publishing, func(ctx context.Context) error {
			_, err := w.Outbox.Drop(ctx)
			return err
		})
	})
	return group.Wait()
}

// every does work, again after each period, until ctx ends.
func every(ctx context.Context, period time.Duration, doing string, t *retry.Told, work func(context.Context) error) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		if err := retry.Forever(ctx, retry.Policy{}, doing, t, work); err != nil {
			return nil // ctx has ended: Forever tries everything else again
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
