package stage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/services/bench/traffic"
)

const (
	// lookEvery is the pause between two looks at the table: a row's age may be
	// measured that much, and the look itself, too old, never too young.
	lookEvery = 5 * time.Millisecond
	// visiblePatience is how long the last rows may take before they count as lost.
	visiblePatience = 30 * time.Second
)

// steady is one run at a fixed rate. Event i is due at start + i/rate, and its
// latencies count from there, sent or not: a sender that falls behind because
// answers are slow does not hide it.
type steady struct {
	job      Job
	events   *traffic.Traffic
	warm     int // events that are sent first and not counted
	requests [][]byte
	start    time.Time
	answered []time.Duration // by event, once its sender is done with it
	visible  []time.Duration // by event; 0: not seen
	seen     int
}

// runSteady posts Rate events a second and watches the table over a connection
// of its own.
func runSteady(ctx context.Context, job Job, _ func(string)) (Result, error) {
	total := int((job.Warm + job.Duration).Seconds() * float64(job.Rate))
	events, err := job.Accounts.Traffic()
	if err != nil {
		return Result{}, err
	}
	ready, err := requests(job, events, total)
	if err != nil {
		return Result{}, err
	}
	s := &steady{
		job: job, events: events, warm: int(job.Warm.Seconds() * float64(job.Rate)), requests: ready,
		answered: make([]time.Duration, total), visible: make([]time.Duration, total),
	}
	conn, err := pgx.Connect(ctx, job.Postgres)
	if err != nil {
		return Result{}, fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	s.start = time.Now()
	bounded, cancel := context.WithTimeout(ctx, job.Warm+job.Duration+visiblePatience)
	defer cancel()
	group, running := errgroup.WithContext(bounded)
	group.Go(func() error { return s.send(running) })
	group.Go(func() error { return s.watch(running, conn) })
	if err := group.Wait(); err != nil && (ctx.Err() != nil || bounded.Err() == nil) {
		return Result{}, err
	}
	r := Result{Requests: total - s.warm, Sent: total, Answered: latencyOf(s.answered[s.warm:])}
	var visible []time.Duration
	for _, took := range s.visible[s.warm:] {
		if took == 0 {
			r.Lost++
			continue
		}
		visible = append(visible, took)
	}
	r.Visible = latencyOf(visible)
	return r, nil
}

func (s *steady) due(i int) time.Time {
	return s.start.Add(time.Duration(i) * time.Second / time.Duration(s.job.Rate))
}

// send hands each event to a connection when it is due.
func (s *steady) send(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	next := make(chan int, len(s.requests)) // all fit: a slow answer never delays what is due
	for range s.job.Connections {
		group.Go(func() error {
			c, err := dial(ctx, s.job.Address)
			if err != nil {
				return err
			}
			defer c.Close() //nolint:errcheck // nothing is left to do about it
			for i := range next {
				if err := c.post(s.requests[i]); err != nil {
					return err
				}
				s.answered[i] = time.Since(s.due(i))
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(next)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; i < len(s.requests); {
			for now := time.Now(); i < len(s.requests) && !s.due(i).After(now); i++ {
				next <- i
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-tick.C:
			}
		}
		return nil
	})
	return group.Wait()
}

// watch notes when each event's row is there for others. One sink writes, one
// transaction after the other, so ids become visible in their order and looking
// above the highest misses none.
func (s *steady) watch(ctx context.Context, conn *pgx.Conn) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var highest int64
	for s.seen < len(s.requests) {
		rows, err := conn.Query(ctx, "SELECT id, source_event_id FROM account_events WHERE id > $1 ORDER BY id", highest)
		if err != nil {
			return fmt.Errorf("looking at the table: %w", err)
		}
		var fresh []int
		var id string
		_, err = pgx.ForEachRow(rows, []any{&highest, &id}, func() error {
			if i, ok := s.events.StripeNumber(id); ok && i < len(s.visible) {
				fresh = append(fresh, i)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("looking at the table: %w", err)
		}
		now := time.Now()
		for _, i := range fresh {
			s.visible[i] = now.Sub(s.due(i))
		}
		s.seen += len(fresh)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}
