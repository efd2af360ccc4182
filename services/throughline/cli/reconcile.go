package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/source"
)

type reconcileCommand struct {
	Source    string        `arg:"" help:"The source: ${pagers}."`
	Stream    string        `name:"stream" help:"Only this stream of the source's; default: all, one after the other."`
	Days      int           `name:"days" default:"7" placeholder:"N" help:"The last N days (${default})."`
	NoHeal    bool          `name:"no-heal" help:"Compare and report, and publish nothing."`
	Wait      time.Duration `name:"wait" default:"1m" help:"How long to look for what was published before it is told as missing still (${default})."`
	Retention time.Duration `name:"timeline-retention" env:"THROUGHLINE_TIMELINE_RETENTION" default:"0" help:"How long account_events keeps events, where you delete older ones; 0: for ever. Nothing older is looked for, or brought back."`
	vendorFlags
	byFlags
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*reconcileCommand) Help() string {
	return "Asks the vendor's API for its events, looks for each on the timeline and in quarantine by its identity, publishes to the source's raw topic what is in neither, " +
		"and looks again. The report is kept: `throughline gaps` shows the newest. The last two minutes are left out, whose events may be on their way. " +
		"The puller does the same every night. The exit code is 1 when events are missing still."
}

func (*reconcileCommand) needs() need { return needsPostgres | needsKafka | needsAPI }

// Validate is kong's.
func (c *reconcileCommand) Validate() error {
	if c.Days < 1 || c.Days > 36500 {
		return fmt.Errorf("--days is %d: it should be 1 or more", c.Days)
	}
	if c.Wait < 0 {
		return fmt.Errorf("--wait is %s: it should be above 0", c.Wait)
	}
	if err := pull.CheckRetention(c.Retention); err != nil {
		return err
	}
	return c.check()
}

func (c *reconcileCommand) checkSources(set source.Set) error {
	return checkPager(set, c.Source, c.Stream)
}

// Run is kong's.
func (c *reconcileCommand) Run(ctx context.Context, s *session) error {
	if c.NoHeal {
		return s.withDatabase(ctx, func(pool *pgxpool.Pool) error { return c.all(ctx, s, nil, pull.NewStore(pool)) })
	}
	return s.withPublisher(ctx, c.Source, func(publisher *pull.Publisher) error {
		return s.withDatabase(ctx, func(pool *pgxpool.Pool) error { return c.all(ctx, s, publisher, pull.NewStore(pool)) })
	})
}

func (c *reconcileCommand) all(ctx context.Context, s *session, publisher *pull.Publisher, store *pull.Store) error {
	pager, streams := s.pager(c.Source, c.Stream)
	client, budget, set, err := c.client(s, pager, store)
	if err != nil {
		return err
	}
	defer client.Close()
	o := pull.ReconcileOptions{
		Source: pager, API: client, Store: store, Tenant: set.Tenant, From: s.now().Add(-time.Duration(c.Days) * day), By: c.author(), Wait: max(c.Wait, 1),
		Retention: c.Retention, Budget: budget, Log: s.plainLog(),
	}
	if publisher != nil {
		o.Publish = publisher.Publish
	}
	var reports []api.Reconciled
	err = eachStream(ctx, streams, func(stream source.Stream) error {
		o := o
		o.Stream = stream.Name
		report, err := c.compare(ctx, s, o)
		if report.ID != 0 {
			reports = append(reports, api.NewReconciled(report))
		}
		return err
	})
	if shown := list(s, c.JSON, reports, reconciledColumns()); shown != nil {
		return errors.Join(shown, err)
	}
	if err != nil {
		return err
	}
	var still int64
	for _, r := range reports {
		still += r.StillMissing
	}
	switch {
	case still == 0:
		return nil
	case c.NoHeal:
		return fmt.Errorf("%s missing: the same command without --no-heal publishes them", plural(still, "event"))
	default:
		return fmt.Errorf("%s missing still: `throughline gaps --source %s` says later whether they have come", plural(still, "event"), c.Source)
	}
}

// compare is for one stream, and shows how far it is.
func (c *reconcileCommand) compare(ctx context.Context, s *session, o pull.ReconcileOptions) (pull.ReconcileReport, error) {
	bar := s.newProgress(fmt.Sprintf("comparing %s (%s)", o.Source.Profile().Title, o.Stream), 0)
	bar.notes = true
	defer bar.end()
	began := s.now()
	o.Progress = func(r pull.ReconcileReport) {
		bar.of(int64(r.To.Sub(r.From) / time.Second))
		bar.at(int64(r.Through.Sub(r.From)/time.Second), fmt.Sprintf("%s, %s, %d missing, %.0f events/s", plural(r.Pages, "page"), plural(r.Said, "event"), r.Missing,
			float64(r.Said)/max(0.001, s.now().Sub(began).Seconds())))
	}
	o.Budget.Waits = bar.waits
	report, err := pull.Reconcile(ctx, o)
	return report, keyAdvised(err, c.Source)
}
