package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/history"
)

// checkFile holds the flags of a backfill from a file, and of one from an API, apart.
func (c *backfillCommand) checkFile() error {
	switch {
	case c.File == "" && c.Since == "":
		return errors.New("missing flags: --since=WHEN, or --file=FILE")
	case c.File == "" && c.SkipBad:
		return errors.New("--skip-bad is of --file")
	case c.Detach && (c.File != "" || c.Restart || c.Rate != 0):
		return errors.New("--detach asks the puller: leave --file, --restart and --rate out")
	case c.File != "" && (c.Since != "" || c.Until != "" || len(c.Types) > 0 || c.Rate != 0):
		return errors.New("--file brings all of a file: leave --since, --until, --types and --rate out")
	}
	return nil
}

// fromFile brings in a file.
func (c *backfillCommand) fromFile(ctx context.Context, s *session) (err error) {
	src, _ := s.root.Sources.set.Find(c.Source) // checkSources has seen it
	file, err := history.Open(src, c.File, history.Options{SkipBad: c.SkipBad, CountTypes: c.DryRun, Stdin: s.In})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	o := pull.Options{
		Source: file, From: history.From, To: history.To, MostPages: history.MostPages, Tenant: s.root.Sources.settings.Get(c.Source).Tenant,
		Restart: c.Restart, By: c.author(), Doing: "reading " + c.File, Log: s.plainLog(),
	}
	if c.DryRun {
		return c.pullFile(ctx, s, file, o)
	}
	return s.withPublisher(ctx, c.Source, func(publisher *pull.Publisher) error {
		o.Publish = publisher.Publish
		if !file.Resumes() {
			s.say("%s can be read once: where this stops, begin with it anew", c.File)
			return c.pullFile(ctx, s, file, o)
		}
		return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
			o.Store = pull.NewStore(pool)
			return c.pullFile(ctx, s, file, o)
		})
	})
}

func (c *backfillCommand) pullFile(ctx context.Context, s *session, file *history.File, o pull.Options) error {
	bar := s.newProgress("reading "+c.File, file.Size())
	bar.notes = true
	defer bar.end()
	o.Progress = func(p pull.Progress) {
		bar.at(file.Read(), fmt.Sprintf("%s, %.0f events/s", plural(p.Events, "event"), p.Rate()))
	}
	report, err := pull.Run(ctx, o)
	bar.end()
	return c.showFile(s, file, report, err)
}

// showFile says what became of a file.
func (c *backfillCommand) showFile(s *session, file *history.File, report pull.Report, err error) error {
	if report.Resumed {
		s.say("went on with the file where it stopped (checkpoint %d)", report.Checkpoint)
	}
	if n := file.Skipped(); n > 0 {
		s.say("%s skipped, which were no events", plural(n, "line"))
	}
	c.sayUnread(s, report)
	if err != nil {
		if report.Events > 0 && !c.DryRun {
			s.say("what lies before it is published: %s", plural(report.Events, "event"))
		}
		return err
	}
	view := api.NewBackfilledFile(c.Source, c.File, c.DryRun, file.Skipped(), file.Types(), report)
	if c.JSON {
		return writeJSON(s, view)
	}
	if report.Events > 0 && !report.Oldest.IsZero() {
		_, err = fmt.Fprintf(s.Out, "%s from %s to %s %s (%.0f events/s)\n", plural(report.Events, "event"), stamp(report.Oldest), stamp(report.Newest), c.became(s), report.Rate())
	} else {
		_, err = fmt.Fprintf(s.Out, "%s %s\n", plural(report.Events, "event"), c.became(s))
	}
	if err != nil || len(view.Types) == 0 {
		return err
	}
	return list(s, false, slices.Sorted(maps.Keys(view.Types)), []column[string]{
		{title: "event_type", text: func(t string) string { return t }},
		{title: "events", text: func(t string) string { return fmt.Sprint(view.Types[t]) }},
	})
}
