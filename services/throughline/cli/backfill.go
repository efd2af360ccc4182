package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

type backfillCommand struct {
	Source  string   `arg:"" help:"The source: ${pagers}; with --file, any that is received here."`
	Stream  string   `name:"stream" help:"Only this stream of the source's; default: all, one after the other."`
	Since   since    `name:"since" placeholder:"WHEN" help:"Since when: 30d, 12h, 2026-01-31, or all, as far back as the vendor keeps events."`
	Until   since    `name:"until" placeholder:"WHEN" help:"Until when; default: now."`
	Types   []string `name:"types" placeholder:"TYPE,..." help:"Only these of the vendor's types: invoice.paid,charge.failed."`
	Anyway  bool     `name:"anyway" help:"Ask for --types, too, that the vendor did not have when this version was made."`
	DryRun  bool     `name:"dry-run" help:"Read and count, and neither publish nor remember anything."`
	File    string   `name:"file" short:"f" placeholder:"FILE" help:"Events from this file in place of the API: JSON Lines or CSV, plain or gzip; - is standard input."`
	SkipBad bool     `name:"skip-bad" help:"Count lines of the --file that are no JSON, and go on; without it the first ends the backfill."`
	Detach  bool     `name:"detach" help:"Let the puller do it, which has the API's key, and return at once."`
	Restart bool     `name:"restart" help:"Begin anew, where an earlier run of the same period was not finished."`
	vendorFlags
	byFlags
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*backfillCommand) Help() string {
	return "Publishes what the vendor's API has to the source's raw topic, as if webhooks had brought it: what is on the timeline already is not there twice. " +
		"The same command again goes on where one stopped or was killed. The API's key is a setting of the source, best given as a file (THROUGHLINE_STRIPE_API_KEY_FILE). " +
		"A --file holds an event, an array of them or the vendor's own list on each line, or as CSV in a column `payload`, or events as rows of the vendor's own export. " +
		"`throughline pulls` lists runs. With --detach the puller does it; `throughline pulls` shows how far it is, and `throughline pulls cancel` ends it. The exit code is 1 when a part of the period could not be brought in."
}

func (*backfillCommand) needs() need { return needsPostgres | needsKafka | needsAPI }

// Validate is kong's.
func (c *backfillCommand) Validate() error {
	if slices.Contains(c.Types, "") {
		return errors.New("--types has an empty type")
	}
	if c.Anyway && len(c.Types) == 0 {
		return errors.New("--anyway is of --types")
	}
	return errors.Join(c.checkFile(), c.check())
}

func (c *backfillCommand) checkSources(set source.Set) error {
	if c.File != "" {
		return checkSource(set, c.Source)
	}
	return checkPager(set, c.Source, c.Stream)
}

// Run is kong's.
func (c *backfillCommand) Run(ctx context.Context, s *session) error {
	switch {
	case c.File != "":
		return c.fromFile(ctx, s)
	case c.Detach:
		return c.detach(ctx, s)
	}
	if c.DryRun {
		return c.all(ctx, s, nil, nil)
	}
	return s.withPublisher(ctx, c.Source, func(publisher *pull.Publisher) error {
		return s.withDatabase(ctx, func(pool *pgxpool.Pool) error { return c.all(ctx, s, publisher, pull.NewStore(pool)) })
	})
}

// all pulls all streams; without a publisher and a store: a dry run.
func (c *backfillCommand) all(ctx context.Context, s *session, publisher *pull.Publisher, store *pull.Store) error {
	pager, streams := s.pager(c.Source, c.Stream)
	client, budget, set, err := c.client(s, pager, store)
	if err != nil {
		return err
	}
	defer client.Close()
	now := s.now()
	from, err := c.Since.time(now)
	if err != nil {
		return usage("--since: %v", err)
	}
	to, err := c.Until.past(now)
	if err != nil {
		return usage("--until: %v", err)
	}
	o := pull.Options{
		Source: pager, API: client, Store: store, Tenant: set.Tenant, Types: c.Types, Anyway: c.Anyway, From: from, To: to, Restart: c.Restart, By: c.author(),
		Budget: budget, Log: s.plainLog(),
	}
	if publisher != nil {
		o.Publish = publisher.Publish
	}
	return eachStream(ctx, streams, func(stream source.Stream) error {
		o := o
		o.Stream = stream.Name
		return c.pull(ctx, s, o, stream, len(streams) > 1)
	})
}

// pull runs for one stream of the source, of several or the only one, and shows how
// far it is and what it has done.
func (c *backfillCommand) pull(ctx context.Context, s *session, o pull.Options, of source.Stream, several bool) error {
	title := o.Source.Profile().Title
	what := "pulling from " + title
	if several {
		what += " (" + of.Name + ")"
	}
	bar := s.newProgress(what, 0)
	bar.notes = true
	defer bar.end()
	o.Progress = func(p pull.Progress) {
		bar.of(int64(p.To.Sub(p.From) / time.Second))
		bar.at(int64(p.Through.Sub(p.From)/time.Second), fmt.Sprintf("%s, %s, %.0f events/s", plural(p.Pages, "page"), plural(p.Events, "event"), p.Rate()))
	}
	if o.Budget != nil {
		o.Budget.Waits = bar.waits
	}
	report, err := pull.Run(ctx, o)
	bar.end()
	if report.To.IsZero() { // it has not begun
		return askAnyway(err)
	}
	if report.Resumed {
		s.say("went on with a pull that was not finished (checkpoint %d)", report.Checkpoint)
	}
	if !report.KeptSince.IsZero() {
		s.say("%s promises events since %s only: earlier ones may be missing", title, stamp(report.KeptSince))
	}
	for _, gap := range report.Gaps {
		s.say("at least %s of %s missing: %s", plural(int64(gap.Missing), "event"), gap.Object.Key(), gap.Why)
	}
	if more := report.GapCount - len(report.Gaps); more > 0 {
		s.say("and so of %s more", plural(int64(more), "object"))
	}
	c.sayUnread(s, report)
	if err != nil {
		if report.Run != 0 && fault.ReasonOf(err) != fault.Conflict {
			s.say("%s brought in before that are kept; the same command goes on from there", plural(report.Events, "event"))
		}
		return keyAdvised(err, c.Source)
	}
	if !c.DryRun && c.Until == "" {
		if err := c.sayLiveEdge(ctx, s, o, of, report); err != nil {
			return err
		}
	}
	if c.JSON {
		return writeJSON(s, api.NewBackfilled(c.Source, of.Name, c.DryRun, report))
	}
	kind := ""
	if several {
		kind = of.Name + ": "
	}
	_, err = fmt.Fprintf(s.Out, "%s%s on %s from %s to %s %s (%.0f events/s)\n", kind, plural(report.Events, "event"), plural(report.Pages, "page"),
		stamp(report.From), stamp(report.To), c.became(s), report.Rate())
	return err
}

// askAnyway says how to insist on a type that is newer than this version.
func askAnyway(err error) error {
	var unknown *source.UnknownTypeError
	if errors.As(err, &unknown) {
		return usage("--%v (--anyway asks for a newer one)", unknown)
	}
	return err
}

// became says what happened to the events.
func (c *backfillCommand) became(s *session) string {
	verb := "published to "
	if c.DryRun {
		verb = "would be published to "
	}
	return verb + stream.Config(s.root.Kafka).Names().Raw(c.Source)
}

func (c *backfillCommand) sayUnread(s *session, report pull.Report) {
	if report.Unread == 0 {
		return
	}
	verb := "will"
	if c.DryRun {
		verb = "would"
	}
	s.say("%s could not be read and %s be dead letters: `throughline quarantine list --source %s`", plural(report.Unread, "event"), verb, c.Source)
}

// sayLiveEdge says whether what came by itself joins what was brought in, and how to
// go on if not.
func (c *backfillCommand) sayLiveEdge(ctx context.Context, s *session, o pull.Options, of source.Stream, r pull.Report) error {
	met, err := o.Store.MeetsLive(ctx, r, c.Source, o.Tenant, of)
	if err != nil {
		return err
	}
	title, what, set := o.Source.Profile().Title, "webhooks of "+o.Source.Profile().Title, "connect its webhooks"
	if of.Poll {
		what, set = "polls of "+title+" "+of.Name, "run the puller, which polls it"
	}
	if met {
		s.say("met the live edge: %s had begun before %s, where this period ends", what, stamp(r.To))
		return nil
	}
	again := []string{"throughline backfill", c.Source, "--since", stamp(r.To.Add(-pull.Late(of)))}
	if c.Stream != "" {
		again = append(again, "--stream", c.Stream)
	}
	if len(c.Types) > 0 {
		again = append(again, "--types", strings.Join(c.Types, ","))
	}
	if c.Anyway {
		again = append(again, "--anyway")
	}
	s.say("not at the live edge yet: no event from before %s has come by %s. Events since then are not brought in: %s, and when the first has come run `%s`",
		stamp(r.To), what, set, strings.Join(again, " "))
	return nil
}
