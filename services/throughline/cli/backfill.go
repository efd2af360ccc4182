package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/egress"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

type backfillCommand struct {
	Source       string   `arg:"" help:"The source: stripe."`
	Since        since    `name:"since" required:"" placeholder:"WHEN" help:"Since when: 30d, 12h, 2026-01-31, or all, as far back as the vendor keeps events."`
	Until        since    `name:"until" placeholder:"WHEN" help:"Until when; default: now."`
	Types        []string `name:"types" placeholder:"TYPE,..." help:"Only these of the vendor's types: invoice.paid,charge.failed."`
	DryRun       bool     `name:"dry-run" help:"Read and count, and neither publish nor remember anything."`
	Restart      bool     `name:"restart" help:"Begin anew, where an earlier run of the same period was not finished."`
	Rate         float64  `name:"rate" placeholder:"REQUESTS" help:"Most requests a second; default: what the vendor allows, with room to spare."`
	AllowPrivate bool     `name:"egress-allow-private" env:"THROUGHLINE_EGRESS_ALLOW_PRIVATE" help:"Call the API also where its name leads to a private address or this machine, and by http: a gateway, or a fake."`
	byFlags
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*backfillCommand) Help() string {
	return "Publishes what the vendor's API has to the source's raw topic, as if webhooks had brought it: what is on the timeline already is not there twice. " +
		"The same command again goes on where one stopped or was killed. The API's key is a setting of the source, best given as a file (THROUGHLINE_STRIPE_API_KEY_FILE). " +
		"`throughline pulls` lists runs. The exit code is 1 when a part of the period could not be brought in."
}

func (*backfillCommand) needs() need { return needsPostgres | needsKafka | needsAPI }

// Validate is kong's.
func (c *backfillCommand) Validate() error {
	if !(c.Rate >= 0) || math.IsInf(c.Rate, 0) {
		return fmt.Errorf("--rate is %v: it should be above 0", c.Rate)
	}
	if slices.Contains(c.Types, "") {
		return errors.New("--types has an empty type")
	}
	return nil
}

func (c *backfillCommand) checkSources(set source.Set) error {
	var can []string
	for _, src := range set.Sources() {
		if _, ok := src.(source.Pager); ok {
			can = append(can, src.Name())
		}
	}
	if !slices.Contains(can, c.Source) {
		return fmt.Errorf("%q is no source with an API that can be asked for past events: those are %s", c.Source, strings.Join(can, ", "))
	}
	return nil
}

// Run is kong's.
func (c *backfillCommand) Run(ctx context.Context, s *session) error {
	found, _ := s.root.Sources.set.Find(c.Source) // checkSources has seen it
	pager := found.(source.Pager)
	o, done, err := c.options(s, pager)
	if err != nil {
		return err
	}
	defer done()
	if c.DryRun {
		return c.pull(ctx, s, o)
	}
	cl, err := s.kafka(ctx) // whether the brokers answer is better known before than after the first page
	if err != nil {
		return err
	}
	cl.Close()
	publisher, err := pull.NewPublisher(stream.Config(s.root.Kafka), c.Source, s.plainLog())
	if err != nil {
		return err
	}
	o.Publish = publisher.Publish
	err = s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		o.Store = pull.NewStore(pool)
		return c.pull(ctx, s, o)
	})
	return errors.Join(err, publisher.Close())
}

// options gives what is the same with and without --dry-run. The caller calls done.
func (c *backfillCommand) options(s *session, pager source.Pager) (o pull.Options, done func(), err error) {
	set := s.root.Sources.settings.Get(c.Source)
	if set.APIKey == "" {
		variable := settings.SourceVariable(c.Source, "API_KEY")
		return o, nil, usage("no key for the API: set %s, or %s_FILE to a file that holds it", variable, variable)
	}
	now := s.now()
	from, err := c.Since.time(now)
	if err != nil {
		return o, nil, usage("--since: %v", err)
	}
	to, err := c.Until.time(now)
	if err != nil {
		return o, nil, usage("--until: %v", err)
	}
	client, err := egress.New(egress.Options{API: pager.API(), Key: set.APIKey, Address: set.APIURL, AllowPrivate: c.AllowPrivate, Rate: c.Rate})
	if err != nil {
		return o, nil, usage("%s: %v", settings.SourceVariable(c.Source, "API_URL"), err)
	}
	return pull.Options{
		Source: pager, API: client, Tenant: set.Tenant, Types: c.Types, From: from, To: to, Restart: c.Restart, By: c.author(), Log: s.plainLog(),
	}, client.Close, nil
}

// pull runs, and shows how far it is and what it has done.
func (c *backfillCommand) pull(ctx context.Context, s *session, o pull.Options) error {
	title := o.Source.Profile().Title
	bar := s.newProgress("pulling from "+title, 0)
	bar.notes = true
	defer bar.end()
	o.Progress = func(p pull.Progress) {
		bar.total = int64(p.To.Sub(p.From) / time.Second)
		bar.at(int64(p.Through.Sub(p.From)/time.Second), fmt.Sprintf("%s, %s, %.0f events/s", plural(p.Pages, "page"), plural(p.Events, "event"), p.Rate()))
	}
	report, err := pull.Run(ctx, o)
	bar.end()
	if report.To.IsZero() { // it has not begun
		return err
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
	if report.Unread > 0 {
		s.say("%s could not be read and will be dead letters: `throughline quarantine list --source %s`", plural(report.Unread, "event"), c.Source)
	}
	if err != nil {
		if report.Run != 0 && fault.ReasonOf(err) != fault.Conflict {
			s.say("%s brought in before that are kept; the same command goes on from there", plural(report.Events, "event"))
		}
		return c.advised(err)
	}
	if c.JSON {
		return writeJSON(s, api.NewBackfilled(c.Source, c.DryRun, report))
	}
	verb := "published to"
	if c.DryRun {
		verb = "would be published to"
	}
	_, err = fmt.Fprintf(s.Out, "%s on %s from %s to %s %s %s (%.0f events/s)\n", plural(report.Events, "event"), plural(report.Pages, "page"),
		stamp(report.From), stamp(report.To), verb, stream.Config(s.root.Kafka).Names().Raw(c.Source), report.Rate())
	return err
}

// advised adds what to do about a key.
func (c *backfillCommand) advised(err error) error {
	if fault.ReasonOf(err) == fault.Unauthenticated {
		return fault.Advise(err, "check "+settings.SourceVariable(c.Source, "API_KEY"))
	}
	return err
}
