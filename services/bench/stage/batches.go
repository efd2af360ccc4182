package stage

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/vendors"
)

// runBatched posts Records different events of one source, Batch in each delivery, as fast as they are answered, over
// Connections connections. Requests are made ready before.
func runBatched(ctx context.Context, job Job, _ func(string)) (Result, error) {
	events, err := job.Accounts.Traffic()
	if err != nil {
		return Result{}, err
	}
	sender := vendors.Sender{Sources: catalog.Set(), URL: "http://" + job.Address, PublicURL: publicURL, Secrets: map[string]string{job.Source: secret}}
	var ready [][]byte
	for from := 0; from < job.Records; from += job.Batch {
		d, err := events.Batch(job.Source, from, min(job.Batch, job.Records-from))
		if err != nil {
			return Result{}, err
		}
		request, err := wire(&sender, d, job.Address)
		if err != nil {
			return Result{}, err
		}
		ready = append(ready, request)
	}
	connections := min(job.Connections, len(ready))
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for n := range connections {
		group.Go(func() error {
			c, err := dial(ctx, job.Address)
			if err != nil {
				return err
			}
			defer c.Close() //nolint:errcheck // nothing is left to do about it
			for i := n; i < len(ready) && ctx.Err() == nil; i += connections {
				if err := c.post(ready[i]); err != nil {
					return fmt.Errorf("a delivery of %s with %d events: %w", job.Source, job.Batch, err)
				}
			}
			return context.Cause(ctx)
		})
	}
	err = group.Wait()
	return Result{Sent: job.Records, Seconds: time.Since(began).Seconds()}, err
}
