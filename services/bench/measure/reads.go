package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/services/bench/stage"
)

const (
	// readers is how many questions of a kind are asked at a time.
	readers = 4
	// tails and tailRate are what a live tail is measured with.
	tails    = 50
	tailRate = 2000
)

// reads asks the console about a large timeline, and has live tails open.
func (b *bench) reads() []step {
	c := b.command
	questions := []string{stage.AskTimeline, stage.AskAgain, stage.AskContains, stage.AskWords, stage.AskHome, stage.AskHomeFresh, stage.AskAccounts, stage.AskGroups}
	lines := map[string]*Line{}
	for _, q := range questions {
		lines[q] = b.report.line("api: "+q, "req/s", 0)
	}
	memory := b.report.line("api: console", "", 0).Ours
	tail := b.report.line(fmt.Sprintf("live: %d tails, %d events/s in", tails, tailRate), "told/s", 0).Ours
	live := step{"live: tails of a small timeline", 15 + c.Duration.Seconds(), func(ctx context.Context) error {
		return b.ground.database(ctx, func(url string) error {
			if _, err := b.run(ctx, "live-grow", stage.Job{Role: stage.Grow, Postgres: url, Records: 10_000}); err != nil {
				return err
			}
			return b.tails(ctx, url, tail)
		})
	}}
	return []step{live, {fmt.Sprintf("api: a timeline of %d rows, and questions about it", c.Rows), float64(c.Rows)/8000 + 11*c.Duration.Seconds() + 20, func(ctx context.Context) error {
		return b.ground.database(ctx, func(url string) error {
			if _, err := b.run(ctx, "api-grow", stage.Job{Role: stage.Grow, Postgres: url, Records: c.Rows}); err != nil {
				return err
			}
			var asked stage.Result
			r, err := b.serve(ctx, "api-console", stage.Job{Role: stage.Console, Postgres: url}, func(address string) (err error) {
				asked, err = b.run(ctx, "api-reads", stage.Job{Role: stage.Reads, Postgres: url, Address: address, Connections: readers, Duration: c.Duration, Records: c.Rows})
				return err
			})
			if err != nil {
				return err
			}
			memory.used(r, asked.Requests)
			for _, q := range questions {
				l := asked.Asked[q]
				lines[q].Ours.add(1000/max(l.P50, 0.001), l, stage.Result{}, 0)
			}
			for q, limit := range map[string]string{stage.AskTimeline: stage.AskTimelineSQL, stage.AskAgain: stage.AskAgainSQL} {
				l := asked.Asked[limit]
				lines[q].Limit.add(1000/max(l.P50, 0.001), l, stage.Result{}, 0)
			}
			return nil
		})
	}}}
}

// tails has live tails open while events are stored, in a console of their own.
func (b *bench) tails(ctx context.Context, url string, side *Side) error {
	var told stage.Result
	duration := max(b.command.Duration, 2*time.Second)
	r, err := b.serve(ctx, "live-console", stage.Job{Role: stage.Console, Postgres: url}, func(address string) (err error) {
		told, err = b.run(ctx, "live-tails", stage.Job{Role: stage.Tails, Postgres: url, Address: address, Connections: tails, Rate: tailRate, Duration: duration})
		return err
	})
	side.add(float64(told.Sent)/duration.Seconds(), stage.Latency{}, r, told.Sent)
	side.Skipped = told.Lost
	return err
}
