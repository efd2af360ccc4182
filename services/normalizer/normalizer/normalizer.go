// Package normalizer is the normalizer: raw topics in, account-events and dead
// letters out, exactly once.
//
// For each batch it describes every record by its source, resolves all of them
// in one query, encodes, and leaves producing and committing to
// stream.RunTransform. It calls no vendor, and keeps nothing but a cache of where
// references lead, which holds for as long as no link and no account changes.
package normalizer

import (
	"context"
	"fmt"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Config is what an operator sets. Make it with NewConfig.
type Config struct {
	stage.Config `embed:""`
	Resolve      resolve.Config `embed:""`
	Tuning       Tuning         `embed:""`
	Sources      stage.Sources  `embed:""`
}

// NewConfig makes a configuration for these arguments and environment, which may
// name sources.
func NewConfig(args []string, lookup func(string) (string, bool)) *Config {
	return &Config{Sources: stage.NewSources(args, lookup)}
}

// SourceSet gives the sources, after Parse (stage.Main).
func (c *Config) SourceSet() (source.Set, error) { return c.Sources.SourceSet() }

// Tuning is what may be left as it is.
type Tuning struct {
	Batch   stage.Batch `embed:"" envprefix:"THROUGHLINE_NORMALIZER_" set:"batch_wait=20ms"`
	Workers int         `name:"workers" env:"THROUGHLINE_NORMALIZER_WORKERS" default:"2" help:"Members of the consumer group in this process (${default}); more than there are partitions stay idle."`
}

// Validate reports every problem.
func (t Tuning) Validate() error {
	if t.Workers < 1 || t.Workers > stage.MaxMembers {
		return fmt.Errorf("--workers is %d: it should be 1 to %d", t.Workers, stage.MaxMembers)
	}
	return nil
}

// Build makes the service from its configuration (stage.Main).
func (c *Config) Build(ctx context.Context, d stage.Deps) (stage.Service, error) {
	return New(ctx, d, Options{Resolve: c.Resolve, Tenants: c.Sources.Tenants(), TestData: c.Sources.TestData(), Tuning: c.Tuning})
}

// Options are what a normalizer is told.
type Options struct {
	Resolve resolve.Config
	// Tenants are the vendors' accounts of events that do not say theirs, by
	// source. They are a part of such events' identity.
	Tenants map[string]string
	// TestData are the sources whose test data joins the timeline. That of others is
	// dead-lettered as fault.TestData.
	TestData map[string]bool
	Tuning   Tuning // zero: the defaults
}

// Normalizer is the service.
type Normalizer struct {
	deps     stage.Deps
	options  Options
	resolver *resolve.Resolver
	encoder  *event.Encoder
	metrics  *metrics
}

// New makes a normalizer. It waits for the registry to have the schemas
// (stage.Deps.NewEncoder). An error is what a person must fix.
func New(ctx context.Context, d stage.Deps, o Options) (*Normalizer, error) {
	if o.Tuning == (Tuning{}) {
		settings.Defaults(&o.Tuning)
	}
	resolver, err := resolve.New(d.Pool, o.Resolve)
	if err != nil {
		return nil, err
	}
	encoder, err := d.NewEncoder(ctx)
	if err != nil {
		return nil, err
	}
	return &Normalizer{
		deps: d, options: o, resolver: resolver.WithCache(), encoder: encoder, metrics: newMetrics(d.Runtime.Registry, d.Sources.Sources()),
	}, nil
}

// Components gives the normalizer's parts.
func (n *Normalizer) Components() []service.Component {
	names := n.deps.Kafka.Names()
	loop := stage.Loop{
		Name: "normalizer", Group: names.Group(stream.Normalizer), Topics: n.deps.RawTopics(), Outputs: []string{names.AccountEvents(), names.DeadLetters()},
		Batch: n.options.Tuning.Batch, Members: n.options.Tuning.Workers,
	}
	return []service.Component{n.deps.KeepSchemas("normalizer", n.encoder.Refresh), n.deps.Consume(loop, func(ctx context.Context, member int, o stream.LoopOptions) error {
		return stream.RunTransform(ctx, stream.TransformOptions{
			LoopOptions: o, TransactionalID: stream.TransactionalID(o.Config, stream.Normalizer, member), Replace: n.transform,
		}, n.Transform)
	})}
}
