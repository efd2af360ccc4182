package measure

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/bench/stage"
)

// Pressure is what a stop of a part did.
type Pressure struct {
	What    string  `json:"what"`
	Began   float64 `json:"began"`   // seconds since the load began
	Over    float64 `json:"over"`    // when it was back
	Drained float64 `json:"drained"` // when no more was behind than a second's load; 0: never
	Backlog int     `json:"backlog"` // events that were acknowledged and not visible, when it was back
	Rate    float64 `json:"rate"`    // events that became visible a second, until it was drained
	Waiting int     `json:"waiting"` // deliveries that were refused and would come again, at most
	// Memory of each service, at most: before it, while it lasted, and after it.
	Memory map[string][3]int64 `json:"memory_bytes"`
	Spool  int64               `json:"spool_bytes"` // the largest, on disk
	Bound  int64               `json:"spool_bound_bytes"`
}

// pressureConnections are more than the receiver lets be in flight, as vendors' are in an outage.
const pressureConnections = 1200

// backpressure stops the sink, then Kafka, while the load goes on.
func (b *bench) backpressure() []step {
	c := b.command
	pressed := time.Duration(c.PressureMinutes * float64(time.Minute))
	calm := max(5*time.Second, min(30*time.Second, pressed/4))
	var steps []step
	for _, part := range []struct {
		what       string
		stop, back func(ctx context.Context, f *fleet) error
		taken      bool // every delivery must be
	}{
		{
			"the sink is stopped", func(_ context.Context, f *fleet) error { return f.member(stage.Sink).stop() },
			func(ctx context.Context, f *fleet) error { return f.start(ctx, f.member(stage.Sink)) }, true,
		},
		{
			"Kafka is killed", func(context.Context, *fleet) error { b.ground.cluster.Kill(0); return nil },
			func(ctx context.Context, _ *fleet) error { return b.ground.cluster.Restart(ctx, 0) }, false,
		},
	} {
		what := fmt.Sprintf("%s for %v, at %d events/s", part.what, pressed, c.Rate)
		steps = append(steps, step{"backpressure: " + what, (3*pressed + 2*calm).Seconds() + 60, func(ctx context.Context) error {
			return b.through(ctx, what, 0, int64(c.SpoolBytes), stage.Job{
				Duration: calm + pressed + max(calm, pressed/4), Rate: c.Rate, Connections: pressureConnections, Every: max(time.Second, calm/3), Ordered: true,
			}, func(ctx context.Context, f *fleet, run *LoadRun) error {
				p := &Pressure{What: part.what, Bound: int64(c.SpoolBytes)}
				run.Pressure = p
				began := time.Now()
				if err := sleep(ctx, calm); err != nil {
					return err
				}
				p.Began = time.Since(began).Seconds()
				b.tell("%s", part.what)
				if err := part.stop(ctx, f); err != nil {
					return err
				}
				if err := sleep(ctx, pressed); err != nil {
					return err
				}
				if err := part.back(ctx, f); err != nil {
					return err
				}
				p.Over = time.Since(began).Seconds()
				b.tell("it is back")
				return nil
			})
		}}, step{"backpressure: looking at it", 1, func(context.Context) error {
			run := b.report.Loads[len(b.report.Loads)-1]
			run.pressed(c.Rate, part.taken)
			return nil
		}})
	}
	return steps
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// memoryMost is what a service may have of its own at most: its default limit, which is Go's, and a tenth.
const memoryMost = 256 << 20 * 11 / 10

// pressed sums up what the stop did, and says what must not be.
func (r *LoadRun) pressed(rate int, taken bool) {
	p := r.Pressure
	var back stage.MixedSample
	for _, s := range r.Mixed.Samples {
		p.Waiting = max(p.Waiting, s.Waiting)
		behind := s.Acknowledged - s.Visible - s.Quarantine
		if s.Seconds < p.Over {
			continue
		}
		if back.Seconds == 0 {
			back, p.Backlog = s, behind
		}
		// The spools and the vendors that come again are part of what is behind.
		if p.Drained == 0 && behind <= rate && s.Waiting == 0 {
			p.Drained = s.Seconds
			if s.Seconds > back.Seconds {
				p.Rate = float64(s.Visible-back.Visible) / (s.Seconds - back.Seconds)
			}
		}
	}
	if p.Drained == 0 {
		p.Drained = r.Mixed.Seconds
		p.Rate = float64(r.Mixed.Verdict.OnTimelines-back.Visible) / max(1, p.Drained-back.Seconds)
	}
	p.Memory = map[string][3]int64{}
	for _, m := range r.Moments {
		part := 0
		if m.Seconds >= p.Began {
			part = 1
		}
		if m.Seconds >= p.Over {
			part = 2
		}
		p.Spool = max(p.Spool, m.Spool)
		for name, bytes := range m.Memory {
			of := p.Memory[name]
			of[part] = max(of[part], bytes)
			p.Memory[name] = of
		}
	}
	for _, s := range r.Services {
		if s.Own > memoryMost {
			r.wrong("the %s had %d MB of its own", s.Name, s.Own>>20)
		}
	}
	if p.Spool > p.Bound {
		r.wrong("a spool took %d bytes, of %d", p.Spool, p.Bound)
	}
	for _, src := range catalog.Set().Sources() {
		never := src.Profile().NeverRetries
		for status, n := range r.Mixed.Answers[src.Name()] {
			switch {
			case strings.HasPrefix(status, "2"):
			case taken:
				r.wrong("%s was answered %s %d times", src.Name(), status, n)
			case never && p.Spool < p.Bound*9/10: // a full spool refuses, as it should
				r.wrong("%s never comes again, and was answered %s %d times", src.Name(), status, n)
			case !never && status != "503" && status != "429":
				r.wrong("%s was answered %s %d times, and may not come again", src.Name(), status, n)
			}
		}
	}
}
