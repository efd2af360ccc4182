// Package puller is the puller service: events from the vendors' APIs that no webhook brings.
//
// Each stream whose vendor never pushes it is polled: asked for what is new since the poll before, less how late the API
// may be, and published to the source's raw topic. Every night each stream of each source is compared with what is here
// (pull.Reconcile), what is missing is published, and every ten minutes it is looked for what a comparison still misses.
// What people ask for (pull.Request) is brought in, for each source one request after the other.
// A source takes part when its API's key is set.
//
// Any number of replicas may run: each piece of work has a lease in Postgres, so one of them does it, and another has it
// within a minute of that one's end. The checkpoint's fence keeps two from both believing that it is theirs.
package puller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/egress"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stage"
)

const (
	// by is who started the runs of this service, in `throughline pulls`.
	by = "puller"
	// lookEvery is how often it is looked for what a comparison misses, and whether one is due.
	lookEvery = 10 * time.Minute
	// failedWait is how long a comparison that failed is let be.
	failedWait = time.Hour
	// pollPatience bounds how long one poll stands still before it ends as failed, and shows.
	pollPatience = 10 * time.Minute
)

// Options are what the service is told.
type Options struct {
	Tuning Tuning // zero: the defaults
	// Setting gives what is set for a source: key, address, tenant.
	Setting func(source string) settings.SourceSetting
}

// Puller is the service.
type Puller struct {
	deps    stage.Deps
	tuning  Tuning
	store   *pull.Store
	metrics *metrics
	vendors []*vendor
}

// vendor is one source that takes part.
type vendor struct {
	pager     source.Pager
	tenant    string
	client    *egress.Client
	budget    *pull.Budget
	publisher *pull.Publisher
}

// New makes the service. It calls nobody. An error is what a person must fix.
func New(d stage.Deps, o Options) (*Puller, error) {
	if o.Tuning == (Tuning{}) {
		settings.Defaults(&o.Tuning)
	}
	p := &Puller{deps: d, tuning: o.Tuning, store: pull.NewStore(d.Pool), metrics: newMetrics(d.Runtime.Registry)}
	for _, src := range d.Sources.Sources() {
		pager, ok := src.(source.Pager)
		set := o.Setting(src.Name())
		if !ok || set.APIKey == "" {
			continue
		}
		budget := pull.NewBudget(p.store, pager, set.Tenant, 0)
		budget.Left = func(n int64) { p.metrics.left.WithLabelValues(pager.Name()).Set(float64(n)) }
		client, err := egress.New(egress.Options{
			API: pager.API(), Key: set.APIKey, Address: set.APIURL, AddressSetting: settings.SourceVariable(src.Name(), "API_URL"),
			AllowPrivate: o.Tuning.AllowPrivate, Turns: budget,
		})
		if err != nil {
			p.close()
			return nil, fmt.Errorf("%s: %w", settings.SourceVariable(src.Name(), "API_URL"), err)
		}
		publisher, err := pull.NewPublisher(d.Kafka, src.Name(), d.Runtime.Log)
		if err != nil {
			client.Close()
			p.close()
			return nil, err
		}
		p.vendors = append(p.vendors, &vendor{pager, set.Tenant, client, budget, publisher})
	}
	return p, nil
}

func (p *Puller) close() {
	for _, v := range p.vendors {
		v.client.Close()
		_ = v.publisher.Close() // nothing is under way
	}
}

// Components gives the service's parts, downstream first.
func (p *Puller) Components() []service.Component {
	return []service.Component{
		{Name: "puller-connections", Stop: func(context.Context) error { p.close(); return nil }},
		{Name: "puller", Run: p.run},
	}
}

// run does each piece of work beside the others until ctx ends.
func (p *Puller) run(ctx context.Context) error {
	if len(p.vendors) == 0 {
		p.deps.Runtime.Log.Warn("no source has the key of its API (THROUGHLINE_<SOURCE>_API_KEY): nothing is asked for")
	}
	var working sync.WaitGroup
	defer working.Wait()
	for _, v := range p.vendors {
		working.Go(func() {
			p.hold(ctx, pull.RequestLease(v.pager.Name(), v.tenant), "looking for requests", p.told(v, source.Stream{}), func(ctx context.Context) error { return p.requests(ctx, v) })
		})
		for _, s := range v.pager.Streams() {
			if s.Poll {
				working.Go(func() { p.alone(ctx, v, s, "poll", p.poll) })
			}
			if p.tuning.ReconcileAt != never {
				working.Go(func() { p.alone(ctx, v, s, "reconcile", p.reconcile) })
			}
		}
	}
	<-ctx.Done()
	return nil
}

// alone does work while no other replica does, again and again.
func (p *Puller) alone(ctx context.Context, v *vendor, s source.Stream, what string, work func(context.Context, *vendor, source.Stream) error) {
	name := fmt.Sprintf("%s %s %s", what, v.pager.Name(), s.Name)
	if v.tenant != "" {
		name += " " + v.tenant
	}
	told := &retry.Told{Log: p.deps.Runtime.Log.With(zap.String("source", v.pager.Name()), zap.String("stream", s.Name))}
	p.hold(ctx, name, what, told, func(ctx context.Context) error { return work(ctx, v, s) })
}

// hold does work while this process has the lease, again and again.
func (p *Puller) hold(ctx context.Context, lease, what string, told *retry.Told, work func(context.Context) error) {
	_ = retry.Forever(ctx, retry.Policy{First: time.Second, Most: time.Minute}, what, told, func(ctx context.Context) error {
		return p.store.Hold(ctx, lease, work)
	})
}

// poll asks for what is new until ctx ends.
func (p *Puller) poll(ctx context.Context, v *vendor, s source.Stream) error {
	told := p.told(v, s)
	doing := "polling " + v.pager.Name() + " " + s.Name
	for {
		pause, rest := p.tuning.PollEvery, wait
		counted := p.metrics.counter(v.pager.Name(), s.Name, source.ModePoll)
		report, err := pull.Run(ctx, pull.Options{
			Source: v.pager, API: v.client, Publish: v.publisher.Publish, Store: p.store, Stream: s.Name, Mode: source.ModePoll, Tenant: v.tenant,
			From: time.Now().Add(-p.tuning.PollSince), By: by, Patience: pollPatience, Budget: v.budget, Log: p.deps.Runtime.Log, Progress: func(r pull.Progress) { counted(r.Pages, r.Events) },
		})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			p.metrics.failed(v.pager.Name(), s.Name, source.ModePoll, err)
			if after := source.After(err); after > pause {
				pause = after
				rest = func(ctx context.Context, long time.Duration) error { return v.budget.Rest(ctx, long, err) }
			}
			told.Failed(doing, err, pause)
		default:
			told.Succeeded(doing)
		}
		if !report.Through.IsZero() {
			p.metrics.lag.WithLabelValues(v.pager.Name(), s.Name).Set(time.Since(report.Through).Seconds())
		}
		if err := rest(ctx, pause); err != nil {
			return err
		}
	}
}

// reconcile compares every night, and looks again for what is missing meanwhile.
func (p *Puller) reconcile(ctx context.Context, v *vendor, s source.Stream) error {
	told := p.told(v, s)
	doing := "comparing " + v.pager.Name() + " " + s.Name
	var failed time.Time
	for {
		last, err := p.store.LastReconciled(ctx, v.pager.Name(), v.tenant, s.Name)
		if err != nil {
			return err
		}
		if due := p.tuning.due(time.Now()); last.Before(due) && time.Since(failed) > failedWait {
			err := p.compare(ctx, v, s)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				failed = time.Now()
				p.metrics.failed(v.pager.Name(), s.Name, modeReconcile, err)
				told.Failed(doing, err, failedWait)
			default:
				failed = time.Time{}
				told.Succeeded(doing)
			}
		}
		if _, err := p.store.LookAgain(ctx, v.pager.Name()); err != nil {
			return err
		}
		if err := p.measureGaps(ctx, v.pager.Name()); err != nil {
			return err
		}
		if err := wait(ctx, lookEvery); err != nil {
			return err
		}
	}
}

func (p *Puller) compare(ctx context.Context, v *vendor, s source.Stream) error {
	counted := p.metrics.counter(v.pager.Name(), s.Name, modeReconcile)
	o := pull.ReconcileOptions{
		Source: v.pager, API: v.client, Store: p.store, Stream: s.Name, Tenant: v.tenant, From: time.Now().AddDate(0, 0, -p.tuning.ReconcileDays), By: by,
		Retention: p.tuning.Retention, Budget: v.budget, Log: p.deps.Runtime.Log, Progress: func(r pull.ReconcileReport) { counted(r.Pages, r.Said) },
	}
	if p.tuning.ReconcileHeal {
		o.Publish = v.publisher.Publish
	}
	report, err := pull.Reconcile(ctx, o)
	if err == nil && report.Missing > 0 {
		p.deps.Runtime.Log.Warn("events were missing", zap.String("source", v.pager.Name()), zap.String("stream", s.Name), zap.Int64("said", report.Said),
			zap.Int64("missing", report.Missing), zap.Int64("healed", report.Healed))
	}
	return err
}

func (p *Puller) measureGaps(ctx context.Context, name string) error {
	reports, err := p.store.Reports(ctx, name)
	for _, r := range reports {
		p.metrics.missing.WithLabelValues(r.Source, r.Stream).Set(float64(r.StillMissing()))
	}
	return err
}

// told is not told to /readyz: a vendor that is away makes no replica unready.
func (p *Puller) told(v *vendor, s source.Stream) *retry.Told {
	return &retry.Told{Log: p.deps.Runtime.Log.With(zap.String("source", v.pager.Name()), zap.String("stream", s.Name)), Advice: func(err error) string {
		if fault.ReasonOf(err) == fault.Unauthenticated {
			return "check " + settings.SourceVariable(v.pager.Name(), "API_KEY")
		}
		return ""
	}}
}

func wait(ctx context.Context, long time.Duration) error {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
