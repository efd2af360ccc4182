// Package sink is the sink: account-events in, rows of the timeline out.
//
// Offsets are committed after the database commit and never past a failure; the
// table's unique constraint makes a redelivery a no-op. A row that Postgres
// rejects is found by halving its batch and alone goes to the dead letter
// topic, and so does an event that contradicts the stored one of its identity. When
// many consecutive rows of a partition are refused, something larger is wrong, and
// the breaker holds the partition instead of draining it.
package sink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
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
	MigrateFirst bool           `name:"migrate" env:"THROUGHLINE_SINK_MIGRATE" help:"Bring the database schema up to date before starting; several at once are safe."`
}

// NewConfig makes a configuration for these arguments and environment, which may
// name sources.
func NewConfig(args []string, lookup func(string) (string, bool)) *Config {
	return &Config{Sources: stage.NewSources(args, lookup)}
}

// SourceSet gives the sources, after Parse (stage.Main): what of an event may
// differ when it comes again is theirs to say.
func (c *Config) SourceSet() (source.Set, error) { return c.Sources.SourceSet() }

// Tuning is what may be left as it is.
type Tuning struct {
	Batch        stage.Batch   `embed:"" envprefix:"THROUGHLINE_SINK_" set:"batch_wait=10ms"`
	Writers      int           `name:"writers" env:"THROUGHLINE_SINK_WRITERS" default:"1" help:"Members of the consumer group in this process, each with its own partitions and connection (${default}); more than there are partitions stay idle."`
	BatchTimeout time.Duration `name:"batch-timeout" env:"THROUGHLINE_SINK_BATCH_TIMEOUT" default:"30s" help:"How long Postgres may take for one transaction; one that takes longer is tried again in halves (${default})."`
	BreakerRows  int           `name:"breaker-rows" env:"THROUGHLINE_SINK_BREAKER_ROWS" default:"10" help:"Consecutive refused rows of one partition after which the sink holds that partition instead of dead-lettering (${default}); 0 dead-letters them all."`
}

const (
	// minBatchTimeout is what a database under load may take.
	minBatchTimeout = 100 * time.Millisecond
	// maxBatchTimeout is less than a person should wait for the first sign.
	maxBatchTimeout = 10 * time.Minute
)

// Validate reports every problem.
func (t Tuning) Validate() error {
	var problems []error
	if t.Writers < 1 || t.Writers > stage.MaxMembers {
		problems = append(problems, fmt.Errorf("--writers is %d: it should be 1 to %d", t.Writers, stage.MaxMembers))
	}
	if t.BatchTimeout < minBatchTimeout || t.BatchTimeout > maxBatchTimeout {
		problems = append(problems, fmt.Errorf("--batch-timeout is %v: it should be %v to %v", t.BatchTimeout, minBatchTimeout, maxBatchTimeout))
	}
	if t.BreakerRows < 0 {
		problems = append(problems, fmt.Errorf("--breaker-rows is %d: it should be 0 or more", t.BreakerRows))
	}
	return errors.Join(problems...)
}

// Validate reports what is wrong with the settings together; the embedded parts
// are asked by themselves.
func (c *Config) Validate() error {
	if c.Tuning.Writers >= int(c.Postgres.MaxConns) && c.Tuning.Writers <= stage.MaxMembers {
		return fmt.Errorf("--writers is %d: it should be less than --postgres-max-conns, which is %d", c.Tuning.Writers, c.Postgres.MaxConns)
	}
	return nil
}

// Build makes the service from its configuration (stage.Main).
func (c *Config) Build(ctx context.Context, d stage.Deps) (stage.Service, error) {
	if c.MigrateFirst {
		if err := postgres.Migrate(ctx, d.Sessions(), d.Runtime.Log); err != nil {
			return nil, err
		}
	}
	return New(ctx, d, Options{Resolve: c.Resolve, Tuning: c.Tuning})
}

// Options are what the sink is told.
type Options struct {
	// Resolve holds the rules of the normalizer: an event whose account lost its
	// link while it was on its way is resolved anew.
	Resolve resolve.Config
	Tuning  Tuning // zero: the defaults
}

// Sink is the service.
type Sink struct {
	deps    stage.Deps
	tuning  Tuning
	decoder *event.Decoder
	encoder *event.Encoder
	writer  *postgres.Writer
	mover   *accounts.Mover
	keeper  *postgres.Keeper
	letters *stream.Publisher // set when its component starts
	breaker *breaker
	size    *batchSize
	metrics *metrics
	known   *knownAccounts
}

// New makes a sink. It waits for the registry to have the dead letters' schema
// (stage.Deps.NewEncoder).
func New(ctx context.Context, d stage.Deps, o Options) (*Sink, error) {
	t := o.Tuning
	if t == (Tuning{}) {
		settings.Defaults(&t)
	}
	resolver, err := resolve.New(d.Pool, o.Resolve)
	if err != nil {
		return nil, err
	}
	decoder, err := event.NewDecoder(d.Registry)
	if err != nil {
		return nil, err
	}
	encoder, err := d.NewEncoder(ctx)
	if err != nil {
		return nil, err
	}
	s := &Sink{
		deps: d, tuning: t, decoder: decoder, encoder: encoder, breaker: newBreaker(t.BreakerRows), size: &batchSize{full: max(t.Batch.Records, 1)},
		known: &knownAccounts{pool: d.Pool, limit: t.BatchTimeout, known: map[uuid.UUID]bool{}}, writer: postgres.NewWriter(d.Pool).WithTimeout(t.BatchTimeout),
		mover: accounts.NewMover(d.Pool, resolver, quarantine.Returning(d.Sources)), keeper: postgres.NewKeeper(d.Sessions(), d.Runtime.Log.Named("keeper")),
	}
	s.metrics = newMetrics(d.Runtime.Registry, d.Sources, s.keeper.Stats)
	return s, nil
}

// Components gives the sink's parts, downstream first.
func (s *Sink) Components() []service.Component {
	names := s.deps.Kafka.Names()
	var client *kgo.Client
	return []service.Component{
		{
			Name: "sink-letters",
			Start: func(context.Context) (err error) {
				client, err = stream.NewClient(s.deps.Kafka, stream.Deps{Name: "sink-letters", Log: s.deps.Runtime.Log, Registry: s.deps.Runtime.Registry})
				if err == nil {
					s.letters = stream.NewPublisher(client)
				}
				return err
			},
			Stop: func(context.Context) error { client.Close(); return nil },
		},
		s.deps.KeepSchemas("sink", s.encoder.Refresh),
		{Name: "sink-keeper", Run: s.keeper.Run},
		{Name: "sink-pending", Run: s.watchPendingList},
		s.deps.Consume(stage.Loop{
			Name: "sink", Group: names.Group(stream.Sink), Topics: []string{names.AccountEvents()}, Outputs: []string{names.DeadLetters()}, Batch: s.tuning.Batch, Members: s.tuning.Writers, SlowAfter: s.tuning.BatchTimeout,
			// A whole batch fetched ahead: smaller fetches make smaller batches and a fifth fewer rows.
			Opts: []kgo.Opt{kgo.FetchMaxBytes(4 << 20), kgo.FetchMaxPartitionBytes(1 << 20)},
		}, func(ctx context.Context, _ int, o stream.LoopOptions) error {
			return stream.RunBatches(ctx, o, s.Write)
		}),
	}
}

// watchPendingList keeps the metric of what searches read unmerged.
func (s *Sink) watchPendingList(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		pages, err := postgres.PendingPages(ctx, s.deps.Pool)
		if errors.Is(err, postgres.ErrNotMeasured) {
			return nil
		}
		if err == nil {
			s.metrics.pending.Set(float64(pages))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Write stores one batch. It returns nil when each record is on the timeline or
// acknowledged as a dead letter, a *stream.HeldError when that is so but for the
// partitions whose breaker is open, and a Transient error when the batch must come
// again, which may be repeated at will. It is safe for concurrent use by loops
// that share no partition.
func (s *Sink) Write(ctx context.Context, batch []*kgo.Record) error {
	entries, dead, err := s.decode(ctx, batch)
	if err != nil {
		return err
	}
	entries, strange, err := s.known.check(ctx, entries)
	if err != nil {
		return err
	}
	o, err := s.store(ctx, entries)
	if err != nil {
		return err
	}
	dead = slices.DeleteFunc(slices.Concat(dead, strange, o.refused, o.twice), func(f failed) bool { return o.open[f.rec.Partition] != nil })
	if err := s.deadLetter(ctx, dead); err != nil {
		return err
	}
	s.breaker.note(o)
	s.metrics.lettersOf(dead)
	visible := o.visible(entries)
	s.metrics.became(visible)
	s.trace(ctx, visible)
	return o.held(s.deps.Kafka.Names().AccountEvents())
}

// visible gives the entries that are on the timeline now and do not come again.
// It reuses entries.
func (o *outcome) visible(entries []entry) []entry {
	if len(o.refused)+len(o.twice) == 0 {
		return entries
	}
	refused := make(map[*kgo.Record]bool, len(o.refused)+len(o.twice))
	for _, f := range slices.Concat(o.refused, o.twice) {
		refused[f.rec] = true
	}
	return slices.DeleteFunc(entries, func(e entry) bool { return refused[e.rec] || o.open[e.rec.Partition] != nil })
}

// held gives the error that holds the partitions whose breaker is open, or nil.
func (o *outcome) held(topic string) error {
	if len(o.open) == 0 {
		return nil
	}
	partitions := slices.Sorted(maps.Keys(o.open))
	return &stream.HeldError{Partitions: map[string][]int32{topic: partitions}, Err: o.open[partitions[0]]}
}
