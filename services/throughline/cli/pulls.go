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
	Source     string `name:"source" help:"Only of this source."`
	Unfinished bool   `name:"unfinished" help:"Only those whose period is not in as a whole."`
	Limit      int    `name:"limit" default:"100" placeholder:"N" help:"At most so many (${default})."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*pullsCommand) Help() string {
	return "A line is one run, the newest first. Runs of one checkpoint have worked on the same period, one after the other; all before `through` " +
		"is in the raw topic; a file has no period. A process that was killed leaves its run as running until another goes on with it."
}

func (*pullsCommand) needs() need { return needsPostgres | needsSources }

// Validate is kong's.
func (c *pullsCommand) Validate() error { return checkLimit(c.Limit) }

func (c *pullsCommand) checkSources(set source.Set) error { return checkSource(set, c.Source) }

// Run is kong's.
func (c *pullsCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		pulls, err := pull.NewStore(pool).List(ctx, pull.Filter{Source: c.Source, Unfinished: c.Unfinished, Limit: c.Limit})
		if err != nil {
			return err
		}
		views := make([]api.Pull, len(pulls))
		for i, p := range pulls {
			views[i] = api.NewPull(p)
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
		return list(s, c.JSON, views, []column[api.Pull]{
			{title: "id", text: number(func(p api.Pull) int64 { return p.ID })},
			{title: "checkpoint", text: number(func(p api.Pull) int64 { return p.Checkpoint }), leave: 4},
			{title: "source", text: func(p api.Pull) string { return p.Source }},
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
	})
}
