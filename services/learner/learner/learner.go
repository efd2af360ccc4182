// Package learner is the learner service: pkg/learn with its configuration, metrics and
// connections. It needs Postgres and, for each source that has an API key, the vendor;
// it needs no Kafka.
//
// Any number of replicas may run.
package learner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/egress"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
)

// Config is what an operator sets. Make it with NewConfig.
type Config struct {
	settings.Common `embed:""`
	Postgres        postgres.Config `embed:""`
	Resolve         resolve.Config  `embed:""`
	Tuning          Tuning          `embed:""`
	Vendors         kong.Plugins    `embed:""`

	sources *settings.SourceSettings
}

// Tuning is what may be left as it is.
type Tuning struct {
	Batch        int           `name:"batch-references" env:"THROUGHLINE_LEARNER_BATCH_REFERENCES" default:"2000" help:"Most references that are worked on at once (${default})."`
	Every        time.Duration `name:"every" env:"THROUGHLINE_LEARNER_EVERY" default:"2s" help:"How often it looks for work (${default})."`
	BlockedIDs   []string      `name:"blocked-ids" env:"THROUGHLINE_BLOCKED_IDS" placeholder:"ID,..." help:"Ids that are nobody's, such as a tester's, beside the built-in ones (null, undefined, test, …): cus_test, or the whole reference stripe:customer:cus_test. No link is learned of them."`
	AllowPrivate bool          `name:"egress-allow-private" env:"THROUGHLINE_EGRESS_ALLOW_PRIVATE" help:"Call a vendor's API also where its name leads to a private address or this machine, and by http: a gateway, or a fake."`
}

// Validate reports every problem.
func (t Tuning) Validate() error {
	const mostBatch = 5000
	var problems []error
	if t.Batch < 1 || t.Batch > mostBatch {
		problems = append(problems, fmt.Errorf("--batch-references is %d: it should be 1 to %d", t.Batch, mostBatch))
	}
	if t.Every < 100*time.Millisecond {
		problems = append(problems, fmt.Errorf("--every is %v: it should be 100ms or more", t.Every))
	}
	return errors.Join(problems...)
}

// Learners gives the names of the sources whose vendors can be asked.
func Learners(set source.Set) (names []string) {
	for _, src := range set.Sources() {
		if _, ok := src.(source.Learner); ok {
			names = append(names, src.Name())
		}
	}
	return names
}

// NewConfig makes a configuration for these arguments and environment, which may name
// sources.
func NewConfig(args []string, lookup func(string) (string, bool)) *Config {
	s := catalog.NewSettings(args, lookup, settings.TenantsOnly(), settings.WithAPIs(Learners(catalog.Set())...))
	return &Config{Vendors: s.Plugins(), sources: s}
}

// SourceSet gives the sources, after Parse.
func (c *Config) SourceSet() (source.Set, error) { return catalog.FromSettings(c.sources) }

// Run is the whole service (service.Main).
func (c *Config) Run(ctx context.Context, rt *service.Runtime) error {
	set, err := c.SourceSet()
	if err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, c.Postgres, "throughline-"+rt.Name)
	if err != nil {
		return fault.Advise(err, postgres.Advice(err))
	}
	defer pool.Close()
	d := stage.Deps{Pool: pool, Sources: set, Runtime: rt}
	l, err := New(d, Options{Resolve: c.Resolve, Tuning: c.Tuning, Settings: c.sources.Get})
	if err != nil {
		return err
	}
	return d.Group(l).Run(ctx)
}

// Options are what the service is told.
type Options struct {
	Resolve resolve.Config
	Tuning  Tuning // zero: the defaults
	// Settings gives a source's tenant, key and address: a source without a key is not asked.
	Settings func(name string) settings.SourceSetting
}

// Learner is the service.
type Learner struct {
	deps    stage.Deps
	learner *learn.Learner
	clients []*egress.Client
	metrics *metrics
}

// New makes the service. An error is what a person must fix.
func New(d stage.Deps, o Options) (*Learner, error) {
	if o.Tuning.Batch == 0 {
		settings.Defaults(&o.Tuning)
	}
	resolver, err := resolve.New(d.Pool, o.Resolve)
	if err != nil {
		return nil, err
	}
	l := &Learner{deps: d, metrics: newMetrics(d.Runtime.Registry)}
	var apis []learn.API
	for _, src := range d.Sources.Sources() {
		asked, ok := src.(source.Learner)
		if !ok || o.Settings == nil {
			continue
		}
		set := o.Settings(src.Name())
		if set.APIKey == "" {
			continue
		}
		client, err := egress.New(egress.Options{
			API: asked.API(), Key: set.APIKey, Address: set.APIURL, AddressSetting: settings.SourceVariable(src.Name(), "API_URL"), AllowPrivate: o.Tuning.AllowPrivate,
			Turns: pull.NewBudget(pull.NewStore(d.Pool), asked, set.Tenant, 0),
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", settings.SourceVariable(src.Name(), "API_URL"), err)
		}
		l.clients = append(l.clients, client)
		apis = append(apis, learn.API{Learner: asked, Doer: client, Tenant: set.Tenant})
	}
	l.learner = learn.New(learn.Options{
		Pool: d.Pool, Sources: d.Sources, Resolver: resolver, APIs: apis, Blocked: learn.NewBlocked(o.Tuning.BlockedIDs),
		Batch: o.Tuning.Batch, Every: o.Tuning.Every, Told: l.told, Observe: l.metrics.observe, Log: d.Runtime.Log,
	})
	return l, nil
}

// told: a vendor that is away is in the log, in the metrics and in `throughline
// learning`, and is no reason to call the process not ready.
func (l *Learner) told(name string) *retry.Told {
	if slices.Contains(l.deps.Sources.Names(), strings.TrimPrefix(name, "learner-")) {
		return &retry.Told{Log: l.deps.Runtime.Log}
	}
	return l.deps.Told(name)
}

// run works until ctx ends.
func (l *Learner) run(ctx context.Context) error {
	if len(l.clients) == 0 {
		l.deps.Runtime.Log.Info("no source has the key of its API (THROUGHLINE_<SOURCE>_API_KEY): whose objects are is learned from the timeline alone")
	}
	return l.learner.Run(ctx)
}

// Components gives the service's parts.
func (l *Learner) Components() []service.Component {
	return []service.Component{
		{Name: "learner", Run: l.run, Stop: func(context.Context) error {
			for _, c := range l.clients {
				c.Close()
			}
			return nil
		}},
		{Name: "learner-gauge", Run: func(ctx context.Context) error {
			return l.metrics.gauge(ctx, l.deps.Pool, l.deps.Told("learner-counting"))
		}},
	}
}
