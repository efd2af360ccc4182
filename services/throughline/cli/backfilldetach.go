package cli

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// detach asks the puller.
func (c *backfillCommand) detach(ctx context.Context, s *session) error {
	pager, _ := s.pager(c.Source, c.Stream)
	since, err := c.Since.time(s.now())
	if err != nil {
		return usage("--since: %v", err)
	}
	until, err := c.Until.past(s.now())
	if err != nil {
		return usage("--until: %v", err)
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		r, err := pull.NewStore(pool).Ask(ctx, pull.Ask{Source: pager, Stream: c.Stream, Types: c.Types, Anyway: c.Anyway, Since: since, Until: until, DryRun: c.DryRun, By: c.actor().Who,
			KeySetting: settings.SourceVariable(c.Source, "API_KEY")})
		if err != nil {
			return askAnyway(err)
		}
		if err := access.NewStore(pool).Record(ctx, c.actor(), "startPull", c.Source, access.Done, "", c.DryRun); err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(s, api.NewPullRequest(r))
		}
		s.line("the puller is asked, as request %d: `throughline pulls` shows how far it is, `throughline pulls cancel %[1]d` ends it", r.ID)
		return nil
	})
}

type pullsCancelCommand struct {
	ID int64 `arg:"" help:"The request's number, as --detach and \"throughline pulls\" show it."`
	byFlags
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*pullsCancelCommand) Help() string {
	return "The puller stops within seconds. What it brought in stays, and a new backfill of the same period goes on from there. A backfill that a command line runs is stopped there, with Ctrl-C."
}

func (*pullsCancelCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *pullsCancelCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		r, err := pull.NewStore(pool).Cancel(ctx, c.ID, c.actor().Who)
		if err != nil {
			return err
		}
		if err := access.NewStore(pool).Record(ctx, c.actor(), "cancelPull", fmt.Sprint(c.ID), access.Done, "", false); err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(s, api.NewPullRequest(r))
		}
		s.line("request %d is cancelled; %s had been brought in", r.ID, plural(r.Events, "event"))
		return nil
	})
}

// openRequests says what the puller was asked for and has not done.
func openRequests(ctx context.Context, s *session, store *pull.Store, source string) error {
	open, err := store.Requests(ctx, pull.RequestFilter{Source: source, Open: true, Limit: 100})
	for _, r := range open {
		doing := "waits for the puller"
		if r.State == pull.Claimed {
			doing = fmt.Sprintf("has brought in %s on %s", plural(r.Events, "event"), plural(r.Pages, "page"))
		}
		s.line("request %d of %s for %s from %s to %s %s; `throughline pulls cancel %[1]d` ends it", r.ID, r.AskedBy, r.Source, stamp(r.Since), stamp(r.Until), doing)
	}
	return err
}
