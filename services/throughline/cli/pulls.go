package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/history"
	"github.com/throughline-dev/throughline/pkg/source"
)

type pullsCommand struct {
	List   pullsListCommand   `cmd:"" default:"withargs" help:"List runs, the newest first, and the sources that nobody asks for a while."`
	Cancel pullsCancelCommand `cmd:"" help:"End a backfill that the puller was asked for."`
	Resume pullsResumeCommand `cmd:"" help:"Ask a source's API again before the pause has ended that it asked for."`
}

type pullsListCommand struct {
	Source     string `name:"source" help:"Only of this source."`
	Unfinished bool   `name:"unfinished" help:"Only those whose period is not in as a whole."`
	Limit      int    `name:"limit" default:"100" placeholder:"N" help:"At most so many (${default})."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*pullsListCommand) Help() string {
	return "A line is one run; `request` is the number of the backfill that the puller was asked for, as `--detach` prints it and `throughline pulls cancel` takes it. Runs of one checkpoint have worked on the same period, one after the other; all before `through` " +
		"is in the raw topic; a file has no period. A process that was killed leaves its run as running until another goes on with it, or its request is cancelled. " +
		"Below stand sources whose API has asked not to be asked for a while: all that would ask it waits until then; and backfills that the puller was asked for and has not done."
}

func (*pullsListCommand) needs() need { return needsPostgres | needsSources }

// Validate is kong's.
func (c *pullsListCommand) Validate() error { return checkLimit(c.Limit) }

func (c *pullsListCommand) checkSources(set source.Set) error { return checkSource(set, c.Source) }

// Run is kong's.
func (c *pullsListCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		store := pull.NewStore(pool)
		pulls, err := store.List(ctx, pull.Filter{Source: c.Source, Unfinished: c.Unfinished, Limit: c.Limit})
		if err != nil {
			return err
		}
		paused, err := store.Pauses(ctx, c.Source)
		if err != nil {
			return err
		}
		views := make([]api.Pull, len(pulls))
		for i, p := range pulls {
			views[i] = api.NewPull(p, paused)
		}
		s.hintList(len(views), c.Limit, "pull", "")
		number := func(n func(api.Pull) int64) func(api.Pull) string {
			return func(p api.Pull) string { return fmt.Sprint(n(p)) }
		}
		period := func(at func(api.Pull) time.Time) func(api.Pull) string {
			return func(p api.Pull) string {
				if strings.HasPrefix(p.Stream, history.StreamPrefix) {
					return "file"
				}
				return stamp(at(p))
			}
		}
		err = list(s, c.JSON, views, []column[api.Pull]{
			{title: "request", text: func(p api.Pull) string {
				if p.Request == 0 {
					return ""
				}
				return fmt.Sprint(p.Request)
			}},
			{title: "run", text: number(func(p api.Pull) int64 { return p.ID }), leave: 10},
			{title: "checkpoint", text: number(func(p api.Pull) int64 { return p.Checkpoint }), leave: 4},
			{title: "source", text: func(p api.Pull) string { return p.Source }},
			{title: "stream", text: func(p api.Pull) string { return streamName(p.Stream) }, leave: 9},
			{title: "mode", text: func(p api.Pull) string { return p.Mode }, leave: 3},
			{title: "status", text: func(p api.Pull) string { return p.Status }},
			{title: "from", text: period(func(p api.Pull) time.Time { return p.From }), leave: 8},
			{title: "through", text: period(func(p api.Pull) time.Time { return p.Through })},
			{title: "to", text: period(func(p api.Pull) time.Time { return p.To })},
			{title: "types", text: func(p api.Pull) string { return strings.Join(p.Types, ",") }, leave: 2, wide: true},
			{title: "pages", text: number(func(p api.Pull) int64 { return p.Pages }), leave: 5},
			{title: "events", text: number(func(p api.Pull) int64 { return p.Events })},
			{title: "events/s", text: func(p api.Pull) string { return fmt.Sprintf("%.0f", p.Rate) }, leave: 6},
			{title: "updated_at", text: func(p api.Pull) string { return stamp(p.UpdatedAt) }, leave: 7},
			{title: "by", text: func(p api.Pull) string { return p.StartedBy }, leave: 1},
			{title: "error", text: func(p api.Pull) string { return p.Error }, wide: true},
		})
		if err != nil || c.JSON {
			return err
		}
		for _, p := range paused {
			s.line("%s waits until %s (%s): %s; `throughline pulls resume %[1]s` lifts it", p.Source, stamp(p.Until), leftOf(p.Until.Sub(s.now())), p.Why)
		}
		return openRequests(ctx, s, store, c.Source)
	})
}

// streamName is a stream's; a file's is no more than that, because its digest tells
// nobody anything.
func streamName(stream string) string {
	if strings.HasPrefix(stream, history.StreamPrefix) {
		return strings.TrimSuffix(history.StreamPrefix, ":")
	}
	return stream
}

func leftOf(d time.Duration) string { return "in " + max(d, 0).Round(time.Second).String() }

type pullsResumeCommand struct {
	Source string `arg:"" help:"The source: ${pagers}."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*pullsResumeCommand) Help() string {
	return "A vendor whose API answers 429 or 503 with Retry-After, or whose headers say that no requests are left, is not asked before then, an hour at most: by no replica, backfill " +
		"or comparison. This lifts that, for when it is known to be over: who waits asks again within seconds. Where it is not over, the vendor will ask for a pause again."
}

func (*pullsResumeCommand) needs() need { return needsPostgres | needsSources }

func (c *pullsResumeCommand) checkSources(set source.Set) error {
	return checkPager(set, c.Source, "")
}

// Run is kong's.
func (c *pullsResumeCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		lifted, err := pull.NewStore(pool).Resume(ctx, c.Source)
		if err != nil {
			return err
		}
		if c.JSON {
			views := make([]api.Paused, len(lifted))
			for i, p := range lifted {
				views[i] = api.NewPaused(p)
			}
			return writeJSON(s, views...)
		}
		if len(lifted) == 0 {
			s.say("%s does not wait", c.Source)
		}
		for _, p := range lifted {
			s.line("%s is asked again; it was to wait until %s: %s", p.Source, stamp(p.Until), p.Why)
		}
		return nil
	})
}
