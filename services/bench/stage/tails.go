package stage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// tailsOfOne is how many live tails one actor has here: below what the console gives him.
const tailsOfOne = 5

// runTails has Connections live tails of the console at Address open for Duration, while Rate rows a second are stored.
// Sent counts what was told to all of them, Lost what they were told that they were too slow for.
func runTails(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	pool, err := postgres.Open(ctx, postgres.Config{URL: settings.URL(job.Postgres), MaxConns: 4}, "bench-tails")
	if err != nil {
		return r, err
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(ctx, job.Duration)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var told, skipped, open atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	var token string
	for n := range job.Connections {
		if n%tailsOfOne == 0 {
			if token, err = newToken(ctx, pool, fmt.Sprintf("tails %d", n)); err != nil {
				return r, err
			}
		}
		own := token
		group.Go(func() error { return follow(ctx, client, job.Address, own, &open, &told, &skipped) })
	}
	group.Go(func() error {
		const step = 100 * time.Millisecond
		tick := time.NewTicker(step)
		defer tick.Stop()
		for from := int64(0); ; {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			if open.Load() < int64(job.Connections) {
				continue
			}
			n := int64(job.Rate) * int64(step) / int64(time.Second)
			_, err := pool.Exec(ctx, `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
				SELECT (SELECT id FROM accounts ORDER BY id LIMIT 1), 'invoice.paid', 'stripe', 'evt_tail_' || n, jsonb_build_object('id', n, 'subject', 'Invoice ' || n || ' paid'), now(), now()
				FROM generate_series($1::bigint, $1 + $2 - 1) AS n`, from, n)
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("storing events: %w", err)
			}
			from += n
			r.Requests += int(n)
		}
	})
	err = group.Wait()
	r.Sent, r.Lost = int(told.Load()), int(skipped.Load())
	if err == nil && r.Sent == 0 {
		err = errors.New("no live tail was told an event")
	}
	return r, err
}

// follow reads a live tail until ctx ends.
func follow(ctx context.Context, client *http.Client, address, token string, open, told, skipped *atomic.Int64) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/v1/live", nil)
	if err != nil {
		return err
	}
	q.Header.Set("Authorization", "Bearer "+token)
	a, err := client.Do(q)
	if err != nil {
		return fmt.Errorf("opening a live tail: %w", err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("a live tail answered %d", a.StatusCode)
	}
	open.Add(1)
	for lines := bufio.NewScanner(a.Body); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "event: event":
			told.Add(1)
		case strings.HasPrefix(line, `data: {"skipped":`):
			var n int64
			if _, err := fmt.Sscanf(line, `data: {"skipped":%d`, &n); err == nil {
				skipped.Add(n)
			}
		}
	}
	if ctx.Err() == nil {
		return errors.New("a live tail ended")
	}
	return nil
}
