package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/history"
	"github.com/throughline-dev/throughline/pkg/source"
)

type gapsCommand struct {
	Source string `name:"source" help:"Only of this source."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*gapsCommand) Help() string {
	return "A line is the newest comparison of one stream with the vendor's API, by the puller or by `throughline reconcile`: how many events the vendor said it has, how many of " +
		"them were on the timeline or in quarantine, how many were missing, how many of these have come since, and why others have not. " +
		"Below stand pulls that have not come to the end of their period, and what the vendor no longer promises to have. The puller looks again for what is missing every ten minutes."
}

func (*gapsCommand) needs() need { return needsPostgres | needsSources }

func (c *gapsCommand) checkSources(set source.Set) error { return checkSource(set, c.Source) }

// Run is kong's.
func (c *gapsCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		store := pull.NewStore(pool)
		reports, err := store.Reports(ctx, c.Source)
		if err != nil {
			return err
		}
		var unfinished []pull.Pull
		if unfinished, err = store.Unfinished(ctx, c.Source); err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(s, gapsOf(reports, unfinished)...)
		}
		views := make([]api.Reconciled, len(reports))
		for i, r := range reports {
			views[i] = api.NewReconciled(r)
		}
		if len(reports) == 0 {
			s.say("no comparison yet: `throughline reconcile SOURCE` makes one, and the puller does every night")
		}
		if err := list(s, false, views, reconciledColumns()); err != nil {
			return err
		}
		for _, r := range reports {
			if r.Error != "" {
				s.line("%s %s: the comparison stopped at %s: %s", r.Source, r.Stream, stamp(r.Through), r.Error)
			}
			if !r.RetainedSince.IsZero() {
				s.line("%s %s: what happened between %s and %s is beyond retention: the timeline does not keep it, and it was not asked for", r.Source, r.Stream, stamp(r.From), stamp(r.RetainedSince))
			}
			if !r.KeptSince.IsZero() {
				s.line("%s %s: the vendor promises events since %s only: what happened between %s and then cannot be compared", r.Source, r.Stream, stamp(r.KeptSince), stamp(r.From))
			}
		}
		for _, p := range unfinished {
			if strings.HasPrefix(p.Stream, history.StreamPrefix) {
				s.line("%s: a file is not brought in to its end (checkpoint %d, %s)%s: `throughline backfill %[1]s --file FILE` with the same file goes on", p.Source, p.Checkpoint, p.Status, becauseOf(p.Error))
				continue
			}
			s.line("%s %s: not brought in from %s to %s (%s, checkpoint %d, %s)%s", p.Source, p.Stream, stamp(p.Through), stamp(p.To), p.Mode, p.Checkpoint, p.Status, orError(p))
		}
		return nil
	})
}

// line writes a line of the result.
func (s *session) line(format string, args ...any) {
	fmt.Fprintln(s.Out, clean(fmt.Sprintf(format, args...)))
}

func becauseOf(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// orError gives why a pull stopped, or how to go on.
func orError(p pull.Pull) string {
	again := ""
	if p.Mode == source.ModeBackfill {
		again = fmt.Sprintf(": `throughline backfill %s --stream %s --since %s --until %s` goes on", p.Source, p.Stream, stamp(p.From), stamp(p.To))
		if len(p.Types) > 0 {
			again = strings.Replace(again, "` goes on", " --types "+strings.Join(p.Types, ",")+"` goes on", 1)
		}
	}
	if p.Error != "" {
		return ": " + p.Error + again
	}
	return again
}

// gapsOf gives one object for each stream.
func gapsOf(reports []pull.ReconcileReport, unfinished []pull.Pull) []api.Gap {
	var gaps []api.Gap
	of := func(source, tenant, stream string) *api.Gap {
		for i := range gaps {
			if gaps[i].Source == source && gaps[i].Tenant == tenant && gaps[i].Stream == stream {
				return &gaps[i]
			}
		}
		gaps = append(gaps, api.Gap{Source: source, Tenant: tenant, Stream: stream})
		return &gaps[len(gaps)-1]
	}
	for _, r := range reports {
		view := api.NewReconciled(r)
		of(r.Source, r.Tenant, r.Stream).Report = &view
	}
	for _, p := range unfinished {
		gap := of(p.Source, p.Tenant, p.Stream)
		gap.Unfinished = append(gap.Unfinished, api.Unfinished{
			Checkpoint: p.Checkpoint, Mode: string(p.Mode), Through: p.Through, To: p.To, Status: p.Status, Error: p.Error,
		})
	}
	return gaps
}

func reconciledColumns() []column[api.Reconciled] {
	number := func(n func(api.Reconciled) int64) func(api.Reconciled) string {
		return func(r api.Reconciled) string { return fmt.Sprint(n(r)) }
	}
	return []column[api.Reconciled]{
		{title: "source", text: func(r api.Reconciled) string { return r.Source }},
		{title: "stream", text: func(r api.Reconciled) string { return r.Stream }, leave: 5},
		{title: "from", text: func(r api.Reconciled) string { return stamp(r.From) }, leave: 3},
		{title: "through", text: func(r api.Reconciled) string { return stamp(r.Through) }, leave: 4},
		{title: "status", text: func(r api.Reconciled) string { return r.Status }, leave: 6},
		{title: "said", text: number(func(r api.Reconciled) int64 { return r.Said })},
		{title: "timeline", text: number(func(r api.Reconciled) int64 { return r.OnTimeline })},
		{title: "quarantine", text: number(func(r api.Reconciled) int64 { return r.InQuarantine })},
		{title: "unread", text: number(func(r api.Reconciled) int64 { return r.Unread }), leave: 2},
		{title: "missing", text: number(func(r api.Reconciled) int64 { return r.Missing })},
		{title: "healed", text: number(func(r api.Reconciled) int64 { return r.Healed })},
		{title: "beyond retention", text: number(func(r api.Reconciled) int64 { return r.Beyond }), leave: 1},
		{title: "still missing", text: func(r api.Reconciled) string { return stillMissing(r) }},
	}
}

// stillMissing gives "3", or "3 (2 not_arrived, 1 oversized)".
func stillMissing(r api.Reconciled) string {
	var why []string
	for _, reason := range slices.Sorted(maps.Keys(r.Reasons)) {
		why = append(why, fmt.Sprintf("%d %s", r.Reasons[reason], reason))
	}
	if r.StillMissing == 0 || len(why) == 0 {
		return fmt.Sprint(r.StillMissing)
	}
	return fmt.Sprintf("%d (%s)", r.StillMissing, strings.Join(why, ", "))
}
