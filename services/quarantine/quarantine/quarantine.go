// Package quarantine is the quarantine service: dead letters in, released records out.
//
// Its parts share one store. The feed moves dead letters into Postgres and, once they are committed, resolves them
// again, because their link may have come while they were on their way. The links loop hears of new links and
// accounts and releases what they resolve; now and then it looks at everything that waits, in case a message was
// missed. The outbox publishes what is released, by a link or by a person, to the raw topics. The ledger carries
// events after decisions about links and tells account-changes. The gauge counts.
//
// Any number of replicas may run: the feed shares the partitions, and all else is guarded by the rows' status.
package quarantine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/retry"
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
	Batch      stage.Batch   `embed:"" envprefix:"THROUGHLINE_QUARANTINE_" set:"batch_records=500"`
	SweepEvery time.Duration `name:"sweep-every" env:"THROUGHLINE_QUARANTINE_SWEEP_EVERY" default:"30s" help:"How often all that waits for an account is resolved again, in case a notification of a new link was missed (${default})."`
	StuckAfter time.Duration `name:"stuck-after" env:"THROUGHLINE_QUARANTINE_STUCK_AFTER" default:"10m" help:"How long a published release may take to the timeline before it is looked for (${default}); it is published again only when it was lost."`
}

// Validate reports every problem.
func (t Tuning) Validate() error {
	var problems []error
	if t.SweepEvery < time.Second {
		problems = append(problems, fmt.Errorf("--sweep-every is %s: it should be 1s or more", t.SweepEvery))
	}
	if t.StuckAfter < time.Minute {
		problems = append(problems, fmt.Errorf("--stuck-after is %s: it should be 1m or more", t.StuckAfter))
	}
	return errors.Join(problems...)
}

// Build makes the service from its configuration (stage.Main).
func (c *Config) Build(ctx context.Context, d stage.Deps) (stage.Service, error) {
	return New(ctx, d, Options{Resolve: c.Resolve, Tuning: c.Tuning})
}

// Options are what the service is told.
type Options struct {
	Resolve resolve.Config
	Tuning  Tuning             // zero: the defaults
	HoldOff quarantine.HoldOff // zero: quarantine.DefaultHoldOff
}

// Quarantine is the service.
type Quarantine struct {
	deps     stage.Deps
	tuning   Tuning
	store    *quarantine.Store
	resolver *resolve.Resolver
	decoder  *event.Decoder
	changes  *event.ChangeEncoder
	schemas  service.Component
	metrics  *metrics

	held     *retry.Told       // of records that come back
	raw      *stream.Publisher // set when its component starts
	changed  *changes          // what was heard of links
	released chan struct{}     // something is in the outbox
	lost     lost              // what is looked for
	unread   map[string]int64  // where the next sweep goes on to read what could not be read, by topic
}

// New makes the service. It registers the schemas, so that a registry which has lost them does not turn letters into
// garbage. It waits for the registry (stage.Deps.NewEncoder). An error is what a person must fix.
func New(ctx context.Context, d stage.Deps, o Options) (*Quarantine, error) {
	if o.Tuning == (Tuning{}) {
		settings.Defaults(&o.Tuning)
	}
	if o.HoldOff == (quarantine.HoldOff{}) {
		o.HoldOff = quarantine.DefaultHoldOff()
	}
	resolver, err := resolve.New(d.Pool, o.Resolve)
	if err != nil {
		return nil, err
	}
	letters, err := d.NewEncoder(ctx)
	if err != nil {
		return nil, err
	}
	changes, err := d.NewChangeEncoder(ctx)
	if err != nil {
		return nil, err
	}
	decoder, err := event.NewDecoder(d.Registry)
	if err != nil {
		return nil, err
	}
	return &Quarantine{
		deps: d, tuning: o.Tuning, store: quarantine.NewStore(d.Pool).WithSources(d.Sources).WithHoldOff(o.HoldOff), resolver: resolver, decoder: decoder, changes: changes, schemas: d.KeepSchemas("quarantine", letters.Refresh, changes.Refresh),
		metrics: newMetrics(d.Runtime.Registry), held: &retry.Told{Log: d.Runtime.Log}, changed: newChanges(), unread: map[string]int64{}, released: make(chan struct{}, 1),
	}, nil
}

// Components gives the service's parts, downstream first: what is released leaves through the client, by the outbox;
// links and the feed release.
func (q *Quarantine) Components() []service.Component {
	names := q.deps.Kafka.Names()
	var client *kgo.Client
	return []service.Component{
		{
			Name: "quarantine-client",
			Start: func(context.Context) (err error) {
				client, err = stream.NewClient(q.deps.Kafka, stream.Deps{Name: "quarantine-outbox", Log: q.deps.Runtime.Log, Registry: q.deps.Runtime.Registry},
					// A record that the outbox gave up on comes again with a later page, and twice is harmless.
					kgo.AllowIdempotentProduceCancellation(), kgo.RecordDeliveryTimeout(publishTimeout))
				if err == nil {
					q.raw = stream.NewPublisher(client)
				}
				return err
			},
			Stop: func(context.Context) error { client.Close(); return nil },
		},
		q.schemas,
		{Name: "quarantine-gauge", Run: q.gauge},
		{Name: "quarantine-ledger", Run: q.followLedger},
		{Name: "quarantine-outbox", Run: q.drainOutbox},
		{Name: "quarantine-links", Run: q.releaseLinked},
		{Name: "quarantine-lost", Run: func(ctx context.Context) error { return q.watchLost(ctx, client) }},
		{Name: "quarantine-listener", Run: func(ctx context.Context) error {
			return resolve.Watch(ctx, q.deps.Sessions(), q.deps.Told("quarantine-listening"), q.changed.add)
		}},
		q.deps.Consume(stage.Loop{Name: "quarantine", Group: names.Group(stream.Quarantine), Topics: []string{names.DeadLetters()}, Outputs: append(q.deps.RawTopics(), names.AccountChanges()), Batch: q.tuning.Batch},
			func(ctx context.Context, _ int, o stream.LoopOptions) error {
				return stream.RunBatches(ctx, o, q.Feed)
			}),
	}
}

// followLedger carries events after decisions about links, and tells account-changes.
func (q *Quarantine) followLedger(ctx context.Context) error {
	worker := accounts.Worker{
		Mover:  accounts.NewMover(q.deps.Pool, q.resolver, quarantine.Returning(q.deps.Sources)),
		Outbox: accounts.NewOutbox(q.deps.Pool, q.changes, q.raw),
		Moving: q.deps.Told("quarantine-moving"), Publishing: q.deps.Told("quarantine-changes"),
	}
	return worker.Run(ctx)
}
