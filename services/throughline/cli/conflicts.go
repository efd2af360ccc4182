package cli

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/quarantine"
)

type eventsCommand struct {
	Conflicts conflictsCommand `cmd:"" help:"List the events that contradict what the timeline has under their identity, the last seen first."`
}

type conflictsCommand struct {
	Source string `name:"source" help:"Only of this source."`
	Since  since  `name:"since" placeholder:"WHEN" help:"Only last seen since: 90d, 12h, 2026-01-31, or all."`
	Status string `name:"status" default:"open" enum:"open,replaying,resolved,discarded,all" help:"Only in this status: ${enum}."`
	Limit  int    `name:"limit" default:"100" placeholder:"N" help:"At most so many (${default})."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*conflictsCommand) Help() string {
	return "The timeline keeps the event that came first; what came later with the same identity and other content is in quarantine. `throughline quarantine show ID` prints the later one, and `throughline quarantine discard ID` closes it."
}

func (*conflictsCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *conflictsCommand) Validate() error { return checkLimit(c.Limit) }

// Run is kong's.
func (c *conflictsCommand) Run(ctx context.Context, s *session) error {
	from, err := c.Since.time(s.now())
	if err != nil {
		return usage("--since: %v", err)
	}
	filter := quarantine.Filter{Source: c.Source, Since: from, Limit: c.Limit}
	if c.Status != "all" {
		filter.Status = quarantine.Status(c.Status)
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		conflicts, err := quarantine.NewStore(pool).Conflicts(ctx, filter)
		if err != nil {
			return err
		}
		if len(conflicts) == 0 {
			if err := s.knownNames(c.Source, ""); err != nil {
				return err
			}
		}
		s.hintList(len(conflicts), c.Limit, "conflict", "")
		return list(s, c.JSON, api.NewConflicts(conflicts), []column[api.Conflict]{
			{title: "id", text: func(r api.Conflict) string { return fmt.Sprint(r.ID) }},
			{title: "last_seen", text: func(r api.Conflict) string { return stamp(r.LastSeen) }, leave: 2},
			{title: "source", text: func(r api.Conflict) string { return r.Source }},
			{title: "source_event_id", text: func(r api.Conflict) string { return r.SourceEventID }},
			{title: "event_type", text: func(r api.Conflict) string { return r.EventType }, leave: 1},
			{title: "stored_at", text: func(r api.Conflict) string { return stamp(r.Stored.IngestedAt) }, leave: 3},
			{title: "error", text: func(r api.Conflict) string { return r.Error }, wide: true},
		})
	})
}
