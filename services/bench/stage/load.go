package stage

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// differentRequests is how many a sender takes in turn; for less than a second fewer will do.
func differentRequests(job Job) int {
	return min(4096, job.Connections+int(4096*(job.Warm+job.Duration).Seconds()))
}

// runLoad posts as fast as it is answered, over Connections connections, each
// with one request at a time.
func runLoad(ctx context.Context, job Job, _ func(string)) (Result, error) {
	events, err := job.Accounts.Traffic()
	if err != nil {
		return Result{}, err
	}
	ready, err := requests(job, events, differentRequests(job))
	if err != nil {
		return Result{}, err
	}
	return load(ctx, job, ready, false)
}

// load posts the requests that are ready, in turn; once: each one time at most.
func load(ctx context.Context, job Job, ready [][]byte, once bool) (Result, error) {
	start := time.Now().Add(job.Warm)
	end := start.Add(job.Duration)
	var sent atomic.Int64
	took := make([][]time.Duration, job.Connections)
	group, ctx := errgroup.WithContext(ctx)
	for n := range job.Connections {
		group.Go(func() error {
			c, err := dial(ctx, job.Address)
			if err != nil {
				return err
			}
			defer c.Close() //nolint:errcheck // nothing is left to do about it
			for i := n; ctx.Err() == nil; i += job.Connections {
				began := time.Now()
				if !began.Before(end) || once && i >= len(ready) {
					return nil
				}
				if err := c.post(ready[i%len(ready)]); err != nil {
					return err
				}
				sent.Add(1)
				if now := time.Now(); !began.Before(start) && now.Before(end) {
					took[n] = append(took[n], now.Sub(began))
				}
			}
			return context.Cause(ctx)
		})
	}
	if err := group.Wait(); err != nil {
		return Result{}, err
	}
	var all []time.Duration
	for _, t := range took {
		all = append(all, t...)
	}
	return Result{Requests: len(all), Sent: int(sent.Load()), Answered: latencyOf(all)}, nil
}
