// Package normalizer is the normalizer: raw topics in, account-events and dead
// letters out, exactly once.
//
// For each batch it describes every record by its source, resolves all of them
// in one query, encodes, and leaves producing and committing to
// stream.RunTransform. It calls no vendor and keeps no state.
package normalizer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Group is the normalizer's consumer group.
const Group = "throughline-normalizer"

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
	Tenants map[string]string `name:"tenant" env:"THROUGHLINE_TENANTS" placeholder:"SOURCE=TENANT;…" help:"Vendor account of events that do not say theirs, by source: marketo=123-ABC-456. It is part of such events' identity."`
	Workers int               `name:"workers" env:"THROUGHLINE_NORMALIZER_WORKERS" default:"2" help:"Members of the consumer group in this process (${default}); more than partitions stay idle."`
	Records int               `name:"batch-records" env:"THROUGHLINE_NORMALIZER_BATCH_RECORDS" default:"2000" help:"Most records in one transaction (${default})."`
	Wait    time.Duration     `name:"batch-wait" env:"THROUGHLINE_NORMALIZER_BATCH_WAIT" default:"5ms" help:"How long a transaction that is not full waits for more records (${default})."`
}

// Validate reports every problem.
func (t Tuning) Validate() error {
	var problems []error
	if t.Workers < 1 || t.Workers > 64 {
		problems = append(problems, fmt.Errorf("THROUGHLINE_NORMALIZER_WORKERS (--workers) is %d, it must be 1 to 64", t.Workers))
	}
	if t.Records < 1 || t.Records > 50_000 {
		problems = append(problems, fmt.Errorf("THROUGHLINE_NORMALIZER_BATCH_RECORDS (--batch-records) is %d, it must be 1 to 50000", t.Records))
	}
	if t.Wait < 0 || t.Wait > maxWait {
		problems = append(problems, fmt.Errorf("THROUGHLINE_NORMALIZER_BATCH_WAIT (--batch-wait) is %v, it must be 0 to %v", t.Wait, maxWait))
	}
	for _, name := range slices.Sorted(maps.Keys(t.Tenants)) {
		if _, ok := catalog.Find(name); !ok {
			problems = append(problems, fmt.Errorf("THROUGHLINE_TENANTS (--tenant) names %q, which is not a source", name))
		}
	}
	return errors.Join(problems...)
}

// maxWait is beyond any sensible wait for more records; events arrive later by it.
const maxWait = time.Minute

// Run is the whole service: it connects, and works until ctx ends.
func (c *Config) Run(ctx context.Context, rt *service.Runtime) error {
	pool, err := postgres.Open(ctx, c.Postgres, "throughline-normalizer")
	if err != nil {
		return err
	}
	defer pool.Close()
	registry, err := event.NewRegistry(c.Registry)
	if err != nil {
		return err
	}
	n, err := New(ctx, Options{Kafka: c.Kafka, Pool: pool, Registry: registry, Resolve: c.Resolve, Tuning: c.Tuning, Runtime: rt})
	if err != nil {
		return err
	}
	return n.Run(ctx)
}

// Options are what New needs. The caller keeps what it passes and closes it.
type Options struct {
	Kafka    stream.Config
	Pool     *pgxpool.Pool
	Registry *event.Registry
	Resolve  resolve.Config
	Tuning   Tuning
	Runtime  *service.Runtime
	// Sources default to the catalog's.
	Sources []source.Source
}

// Normalizer is the running service.
type Normalizer struct {
	options  Options
	sources  map[string]source.Source
	topics   []string
	resolver *resolve.Resolver
	encoder  *event.Encoder
	metrics  *metrics
	loop     *stream.LoopMetrics
}

// New registers the schemas and makes a normalizer. An error is what a person
// must mend, or Transient when the registry does not answer.
func New(ctx context.Context, o Options) (*Normalizer, error) {
	if o.Sources == nil {
		o.Sources = catalog.Sources()
	}
	if o.Tuning.Workers == 0 {
		o.Tuning = Tuning{Tenants: o.Tuning.Tenants, Workers: 2, Records: 2000, Wait: 5 * time.Millisecond}
	}
	resolver, err := resolve.New(o.Pool, o.Resolve)
	if err != nil {
		return nil, err
	}
	encoder, err := event.NewEncoder(ctx, o.Registry, stream.AccountEvents, stream.DeadLetters)
	if err != nil {
		return nil, err
	}
	n := &Normalizer{
		options: o, sources: map[string]source.Source{}, resolver: resolver, encoder: encoder,
		metrics: newMetrics(o.Runtime.Registry, o.Sources), loop: stream.NewLoopMetrics(o.Runtime.Registry, "normalizer"),
	}
	for _, s := range o.Sources {
		n.sources[s.Name()] = s
		n.topics = append(n.topics, stream.RawTopic(s.Name()))
	}
	return n, nil
}

// Run works until ctx ends.
func (n *Normalizer) Run(ctx context.Context) error {
	o := n.options
	o.Runtime.Health.Check("normalizer-postgres", 0, o.Pool.Ping)
	defer o.Runtime.Health.Remove("normalizer-postgres") // the pool may be closed then
	group, ctx := errgroup.WithContext(ctx)
	for i := range o.Tuning.Workers {
		name := fmt.Sprintf("normalizer-%d", i)
		kafka := o.Kafka
		if kafka.InstanceID != "" {
			kafka.InstanceID = fmt.Sprintf("%s-%d", kafka.InstanceID, i)
		}
		loop := stream.TransformOptions{
			LoopOptions: stream.LoopOptions{
				Config: kafka, Deps: stream.Deps{Name: name, Log: o.Runtime.Log, Registry: o.Runtime.Registry},
				Group: Group, Topics: n.topics, MaxRecords: o.Tuning.Records, MaxWait: o.Tuning.Wait,
				Metrics: n.loop, OnState: func(err error) { o.Runtime.Health.Set(name, err) },
			},
			TransactionalID: stream.TransactionalID(kafka, "normalizer", i),
		}
		// Ready until a batch fails: without traffic nothing else would say so.
		o.Runtime.Health.Set(name, nil)
		group.Go(func() error { return stream.RunTransform(ctx, loop, n.Transform) })
	}
	return group.Wait()
}
