// Package sink is the sink: account-events in, rows of the timeline out.
//
// Offsets are committed after the database commit and never past a failure; the
// table's unique constraint makes a redelivery a no-op. A row that Postgres
// refuses for good is found by halving its batch and alone goes to the dead
// letter topic. When many rows in a row are refused, something larger is wrong,
// and the breaker stops the partition instead of draining it.
package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Group is the sink's consumer group.
const Group = "throughline-sink"

// Config is what an operator sets.
type Config struct {
	settings.Common `embed:""`
	Kafka           stream.Config        `embed:""`
	Postgres        postgres.Config      `embed:""`
	Registry        event.RegistryConfig `embed:""`
	Tuning          Tuning               `embed:""`
}

// Tuning is what may be left as it is.
type Tuning struct {
	Records      int           `name:"batch-records" env:"THROUGHLINE_SINK_BATCH_RECORDS" default:"2000" help:"Most rows in one database transaction (${default})."`
	Wait         time.Duration `name:"batch-wait" env:"THROUGHLINE_SINK_BATCH_WAIT" default:"10ms" help:"How long a batch that is not full waits for more records (${default})."`
	BreakerRows  int           `name:"breaker-rows" env:"THROUGHLINE_SINK_BREAKER_ROWS" default:"10" help:"Refused rows without a good one between them after which the sink stops instead of dead-lettering (${default}); 0 dead-letters them all."`
	MigrateFirst bool          `name:"migrate" env:"THROUGHLINE_SINK_MIGRATE" help:"Bring the database schema up to date before starting; several at once are safe."`
}

// Validate reports every problem.
func (t Tuning) Validate() error {
	var problems []error
	if t.Records < 1 || t.Records > 50_000 {
		problems = append(problems, fmt.Errorf("THROUGHLINE_SINK_BATCH_RECORDS (--batch-records) is %d, it must be 1 to 50000", t.Records))
	}
	if t.Wait < 0 || t.Wait > maxWait {
		problems = append(problems, fmt.Errorf("THROUGHLINE_SINK_BATCH_WAIT (--batch-wait) is %v, it must be 0 to %v", t.Wait, maxWait))
	}
	if t.BreakerRows < 0 {
		problems = append(problems, fmt.Errorf("THROUGHLINE_SINK_BREAKER_ROWS (--breaker-rows) is %d, it must be 0 or more", t.BreakerRows))
	}
	return errors.Join(problems...)
}

// maxWait is beyond any sensible wait for more records; events arrive later by it.
const maxWait = time.Minute

// Run is the whole service: it connects, and works until ctx ends.
func (c *Config) Run(ctx context.Context, rt *service.Runtime) error {
	pool, err := postgres.Open(ctx, c.Postgres, "throughline-sink")
	if err != nil {
		return err
	}
	defer pool.Close()
	if c.Tuning.MigrateFirst {
		if err := postgres.Migrate(ctx, pool, rt.Log); err != nil {
			return err
		}
	}
	registry, err := event.NewRegistry(c.Registry)
	if err != nil {
		return err
	}
	s, err := New(ctx, Options{Kafka: c.Kafka, Pool: pool, Registry: registry, Tuning: c.Tuning, Runtime: rt})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// Options are what New needs. The caller keeps what it passes and closes it.
type Options struct {
	Kafka    stream.Config
	Pool     *pgxpool.Pool
	Registry *event.Registry
	Tuning   Tuning // zero: the defaults
	Runtime  *service.Runtime
}

// Sink is the running service.
type Sink struct {
	options Options
	decoder *event.Decoder
	encoder *event.Encoder
	writer  *postgres.Writer
	keeper  *postgres.Keeper
	letters *stream.Publisher // set by Run
	breaker breaker
	metrics *metrics
	loop    *stream.LoopMetrics
}

// New makes a sink. It asks the registry for the dead letters' schema.
func New(ctx context.Context, o Options) (*Sink, error) {
	if o.Tuning.Records == 0 {
		o.Tuning = Tuning{Records: 2000, Wait: 10 * time.Millisecond, BreakerRows: 10}
	}
	decoder, err := event.NewDecoder(o.Registry)
	if err != nil {
		return nil, err
	}
	encoder, err := event.NewEncoder(ctx, o.Registry, stream.AccountEvents, stream.DeadLetters)
	if err != nil {
		return nil, err
	}
	s := &Sink{
		options: o, decoder: decoder, encoder: encoder, breaker: breaker{limit: o.Tuning.BreakerRows},
		writer: postgres.NewWriter(o.Pool), keeper: postgres.NewKeeper(o.Pool, o.Runtime.Log.Named("keeper")),
		loop: stream.NewLoopMetrics(o.Runtime.Registry, "sink"),
	}
	s.metrics = newMetrics(o.Runtime.Registry, s.keeper.Stats)
	return s, nil
}

// Run works until ctx ends. It may be called once.
func (s *Sink) Run(ctx context.Context) error {
	defer s.writer.Close()
	o := s.options
	deps := stream.Deps{Name: "sink", Log: o.Runtime.Log, Registry: o.Runtime.Registry}
	client, err := stream.NewClient(o.Kafka, stream.Deps{Name: "sink-letters", Log: deps.Log, Registry: deps.Registry})
	if err != nil {
		return err
	}
	defer client.Close()
	s.letters = stream.NewPublisher(client)
	// Ready until a batch fails: without traffic nothing else would say so.
	o.Runtime.Health.Set("sink", nil)
	o.Runtime.Health.Check("sink-postgres", 0, o.Pool.Ping)
	o.Runtime.Health.Check("sink-kafka", 0, client.Ping)
	defer o.Runtime.Health.Remove("sink-kafka") // the client is closed then, and the pool may be
	defer o.Runtime.Health.Remove("sink-postgres")

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.keeper.Run(ctx) })
	group.Go(func() error { return s.watchPendingList(ctx) })
	group.Go(func() error {
		return stream.RunBatches(ctx, stream.LoopOptions{
			Config: o.Kafka, Deps: deps, Group: Group, Topics: []string{stream.AccountEvents},
			MaxRecords: o.Tuning.Records, MaxWait: o.Tuning.Wait, Metrics: s.loop,
			// One client with a whole batch fetched ahead: smaller fetches make smaller batches and a fifth fewer rows.
			Opts:    []kgo.Opt{kgo.FetchMaxBytes(4 << 20), kgo.FetchMaxPartitionBytes(1 << 20)},
			OnState: func(err error) { o.Runtime.Health.Set("sink", err) },
		}, stopGrace, s.Write)
	})
	return group.Wait()
}

// stopGrace is how long a batch under way may still take when the sink stops.
const stopGrace = 10 * time.Second

// watchPendingList keeps the metric of what searches read unmerged.
func (s *Sink) watchPendingList(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		pages, err := postgres.PendingPages(ctx, s.options.Pool)
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
// acknowledged as a dead letter, and a Transient error when the batch must come
// again, which may be repeated at will.
func (s *Sink) Write(ctx context.Context, batch []*kgo.Record) error {
	entries, dead, err := s.decode(ctx, batch)
	if err != nil {
		return err
	}
	refused, err := s.store(ctx, entries, len(dead))
	lost, stored := len(dead)+len(refused), len(entries)-len(refused)
	if err == nil {
		err = s.breaker.check(lost, stored)
	}
	s.metrics.broken(errors.Is(err, errBreakerOpen))
	if err != nil {
		return err
	}
	if err := s.bury(ctx, append(dead, refused...)); err != nil {
		return err
	}
	s.breaker.note(lost, stored)
	s.metrics.letters.Add(float64(lost))
	visible := withoutRefused(entries, refused)
	s.metrics.became(visible)
	s.trace(ctx, visible)
	return nil
}

// withoutRefused gives the entries that are on the timeline now. Both are in
// the batch's order.
func withoutRefused(entries []entry, refused []failed) []entry {
	if len(refused) == 0 {
		return entries
	}
	visible := make([]entry, 0, len(entries)-len(refused))
	for _, e := range entries {
		if len(refused) > 0 && refused[0].rec == e.rec {
			refused = refused[1:]
			continue
		}
		visible = append(visible, e)
	}
	return visible
}
