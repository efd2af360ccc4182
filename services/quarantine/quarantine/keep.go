// Package quarantine is the quarantine service: dead letters in, released records out.
//
// Four loops share one Keeper. The feed moves dead letters into Postgres and, once they are committed, resolves
// them again, because their link may have come while they were on their way. The watcher hears of new links and
// accounts and releases what they resolve; now and then it looks at everything that waits, in case a message was
// missed. The outbox publishes what is released, by a link or by a person, to the raw topics. The gauge counts.
//
// Any number of replicas may run: the feed shares the partitions, and all else is guarded by the rows' status.
package quarantine

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Group is the feed's consumer group.
const Group = "throughline-quarantine"

// Config is what an operator sets.
type Config struct {
	settings.Common `embed:""`
	Kafka           stream.Config        `embed:""`
	Postgres        postgres.Config      `embed:""`
	Registry        event.RegistryConfig `embed:""`
	Resolve         resolve.Config       `embed:""`
	Tuning          Tuning               `embed:""`
}

// Tuning is what may be left as it is.
type Tuning struct {
	Records    int           `name:"batch-records" env:"THROUGHLINE_QUARANTINE_BATCH_RECORDS" default:"500" help:"Most dead letters in one database transaction (${default})."`
	SweepEvery time.Duration `name:"sweep-every" env:"THROUGHLINE_QUARANTINE_SWEEP_EVERY" default:"30s" help:"How often all that waits for an account is resolved again, in case a message of a new link was missed (${default})."`
	StuckAfter time.Duration `name:"stuck-after" env:"THROUGHLINE_QUARANTINE_STUCK_AFTER" default:"10m" help:"How long a published release may take to the timeline before it is published again (${default})."`
}

// DefaultTuning is what the flags default to.
func DefaultTuning() Tuning {
	return Tuning{Records: 500, SweepEvery: 30 * time.Second, StuckAfter: 10 * time.Minute}
}

// Validate reports every problem.
func (t Tuning) Validate() error {
	switch {
	case t.Records < 1 || t.Records > 10_000:
		return fmt.Errorf("THROUGHLINE_QUARANTINE_BATCH_RECORDS (--batch-records) is %d, it must be 1 to 10000", t.Records)
	case t.SweepEvery < time.Second:
		return fmt.Errorf("THROUGHLINE_QUARANTINE_SWEEP_EVERY (--sweep-every) is %s, it must be 1s or more", t.SweepEvery)
	case t.StuckAfter < time.Minute:
		return fmt.Errorf("THROUGHLINE_QUARANTINE_STUCK_AFTER (--stuck-after) is %s, it must be 1m or more", t.StuckAfter)
	}
	return nil
}

// Run is the whole service: it connects, and works until ctx ends.
func (c *Config) Run(ctx context.Context, rt *service.Runtime) error {
	pool, err := postgres.Open(ctx, c.Postgres, "throughline-quarantine")
	if err != nil {
		return err
	}
	defer pool.Close()
	registry, err := event.NewRegistry(c.Registry)
	if err != nil {
		return err
	}
	k, err := New(ctx, Options{Kafka: c.Kafka, Pool: pool, Registry: registry, Resolve: c.Resolve, Tuning: c.Tuning, Runtime: rt})
	if err != nil {
		return err
	}
	return k.Run(ctx)
}

// Options are what New needs. The caller keeps what it passes and closes it.
type Options struct {
	Kafka    stream.Config
	Pool     *pgxpool.Pool
	Registry *event.Registry
	Resolve  resolve.Config
	Tuning   Tuning // zero: DefaultTuning
	Runtime  *service.Runtime
	// Sources default to the catalog's.
	Sources []source.Source
}

// Keeper is the running service.
type Keeper struct {
	options  Options
	sources  map[string]source.Source
	store    *quarantine.Store
	resolver *resolve.Resolver
	decoder  *event.Decoder
	metrics  *metrics
	loop     *stream.LoopMetrics
	log      *zap.Logger

	changed  *changes      // what the watcher heard of
	released chan struct{} // something is in the outbox
}

// New makes a Keeper. It registers the schemas, so that a registry which has lost them does not turn letters into
// garbage. An error is what a person must mend, or Transient when the registry does not answer.
func New(ctx context.Context, o Options) (*Keeper, error) {
	if o.Tuning == (Tuning{}) {
		o.Tuning = DefaultTuning()
	}
	if o.Sources == nil {
		o.Sources = catalog.Sources()
	}
	resolver, err := resolve.New(o.Pool, o.Resolve)
	if err != nil {
		return nil, err
	}
	if _, err := event.NewEncoder(ctx, o.Registry, stream.AccountEvents, stream.DeadLetters); err != nil {
		return nil, err
	}
	decoder, err := event.NewDecoder(o.Registry)
	if err != nil {
		return nil, err
	}
	k := &Keeper{
		options: o, sources: map[string]source.Source{}, store: quarantine.NewStore(o.Pool), resolver: resolver, decoder: decoder,
		metrics: newMetrics(o.Runtime.Registry), loop: stream.NewLoopMetrics(o.Runtime.Registry, "quarantine"), log: o.Runtime.Log,
		changed: newChanges(), released: make(chan struct{}, 1),
	}
	for _, s := range o.Sources {
		k.sources[s.Name()] = s
	}
	return k, nil
}

// stopGrace is how long the work under way may still take when the service stops.
const stopGrace = 10 * time.Second

// Run works until ctx ends. It may be called once.
func (k *Keeper) Run(ctx context.Context) error {
	o := k.options
	deps := stream.Deps{Name: "quarantine", Log: k.log, Registry: o.Runtime.Registry}
	client, err := stream.NewClient(o.Kafka, stream.Deps{Name: "quarantine-outbox", Log: deps.Log, Registry: deps.Registry},
		// A record that the outbox gave up on comes again with a later page, and twice is harmless.
		kgo.AllowIdempotentProduceCancellation(), kgo.RecordDeliveryTimeout(publishTimeout))
	if err != nil {
		return err
	}
	defer client.Close()

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return resolve.Watch(ctx, o.Pool, k.log, k.changed.add) })
	group.Go(func() error { return k.watchLinks(ctx) })
	group.Go(func() error { return k.drainOutbox(ctx, client) })
	group.Go(func() error { return k.gauge(ctx) })
	group.Go(func() error {
		return stream.RunBatches(ctx, stream.LoopOptions{
			Config: o.Kafka, Deps: deps, Group: Group, Topics: []string{stream.DeadLetters},
			MaxRecords: o.Tuning.Records, Metrics: k.loop,
			OnState: func(err error) { o.Runtime.Health.Set("quarantine", err) },
		}, stopGrace, k.Feed)
	})
	return group.Wait()
}
