// Package drift is the drift service: raw topics in; shapes of payloads, and findings
// about them, out.
//
// A batch is read by its sources as the normalizer reads it, so that a shape is of an
// event type and not of a page, added to the shapes in memory, and kept in Postgres in
// one transaction with how far the raw topics are (postgres.Drift.Settle): what comes
// again is not counted again. Nothing of what events say is kept, logged or measured.
//
// Replicas share the partitions. One that finds the totals of a type changed by another
// reads them again.
package drift

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/shape"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Config is what an operator sets. Make it with NewConfig.
type Config struct {
	stage.Config `embed:""`
	Tuning       Tuning        `embed:""`
	Sources      stage.Sources `embed:""`
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
	Batch        stage.Batch   `embed:"" envprefix:"THROUGHLINE_DRIFT_" set:"batch_records=20000" set:"batch_wait=2s"` //nolint:staticcheck // kong reads both
	LearnEvents  int64         `name:"learn-events" env:"THROUGHLINE_DRIFT_LEARN_EVENTS" default:"200" help:"Events of a type after which a path or a JSON type that none of them had is a finding (${default})."`
	MaxTypes     int           `name:"max-types" env:"THROUGHLINE_DRIFT_MAX_TYPES" default:"500" help:"Most event types of one source that are told apart (${default}); all others count as one, named *."`
	MaxPaths     int           `name:"max-paths" env:"THROUGHLINE_DRIFT_MAX_PATHS" default:"1500" help:"Most paths of one event type (${default}); what is beyond is not looked at."`
	MemoryPaths  int           `name:"memory-paths" env:"THROUGHLINE_DRIFT_MEMORY_PATHS" default:"100000" help:"Most paths that are kept in memory (${default}), half a kilobyte each; types that have not been seen for longest are read again when they are."`
	SilenceEvery time.Duration `name:"silence-every" env:"THROUGHLINE_DRIFT_SILENCE_EVERY" default:"1m" help:"How often it looks for what has not been seen for long (${default})."`
}

// Validate reports every problem.
func (t Tuning) Validate() error {
	var problems []error
	for _, n := range []struct {
		flag        string
		is          int64
		least, most int64
	}{
		{"learn-events", t.LearnEvents, 20, 1_000_000}, {"max-types", int64(t.MaxTypes), 1, 10_000},
		{"max-paths", int64(t.MaxPaths), 10, 20_000}, {"memory-paths", int64(t.MemoryPaths), 1000, 10_000_000},
	} {
		if n.is < n.least || n.is > n.most {
			problems = append(problems, fmt.Errorf("--%s is %d: it should be %d to %d", n.flag, n.is, n.least, n.most))
		}
	}
	if t.SilenceEvery < time.Second || t.SilenceEvery > time.Hour {
		problems = append(problems, fmt.Errorf("--silence-every is %v: it should be 1s to 1h", t.SilenceEvery))
	}
	return errors.Join(problems...)
}

// Build makes the service from its configuration (stage.Main).
func (c *Config) Build(_ context.Context, d stage.Deps) (stage.Service, error) {
	return New(d, Options{Tuning: c.Tuning, Tenants: c.Sources.Tenants()}), nil
}

// Options are what the service is told.
type Options struct {
	Tuning  Tuning            // zero: the defaults
	Tenants map[string]string // as the normalizer's: some events cannot be read without
}

// Drift is the service.
type Drift struct {
	deps    stage.Deps
	options Options
	store   *postgres.Drift
	metrics *metrics

	mu      sync.Mutex          // one batch at a time
	sources map[string]*learned // nil: it is not known yet which types are told apart
	paths   int                 // of all types
	batch   int64
}

// held is what is in memory of one type.
type held struct {
	shape   *shape.Shape
	version int64 // of its totals; 0: they are not known
	batch   int64 // that had it last
	paths   int
}

// New makes the service.
func New(d stage.Deps, o Options) *Drift {
	if o.Tuning == (Tuning{}) {
		settings.Defaults(&o.Tuning)
	}
	return &Drift{
		deps: d, options: o, store: postgres.NewDrift(d.Pool), metrics: newMetrics(d.Runtime.Registry, d.Sources.Names()),
	}
}

// Components gives the service's parts.
func (d *Drift) Components() []service.Component {
	return []service.Component{
		d.deps.Consume(stage.Loop{
			Name: "drift", Group: d.deps.Kafka.Names().Group(stream.Drift), Topics: d.deps.RawTopics(), Batch: d.options.Tuning.Batch,
			Opts: []kgo.Opt{kgo.FetchMaxBytes(4 << 20), kgo.FetchMaxPartitionBytes(256 << 10)},
		}, func(ctx context.Context, _ int, o stream.LoopOptions) error {
			o.Enough = enough
			return stream.RunBatches(ctx, o, d.Write)
		}),
		{Name: "drift-silences", Run: d.watchSilences},
	}
}

// enough events are worth a transaction; a backlog's fetch has more.
const enough = 2000

// Write adds one batch. It returns nil when the batch is in Postgres, and an error when
// it must come again, which may be repeated at will. One call works at a time.
func (d *Drift) Write(ctx context.Context, batch []*kgo.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sources == nil {
		if err := d.readNames(ctx); err != nil {
			return err
		}
	}
	d.batch++
	var c counts
	settled, err := d.store.Settle(ctx, postgres.ShapeWork{
		Partitions: partitionsOf(batch),
		Observe: func(progress map[postgres.Partition]postgres.RawProgress) ([]postgres.PayloadType, map[postgres.Partition]postgres.RawProgress) {
			c = counts{}
			return d.observe(batch, progress, &c)
		},
		Version: func(t postgres.PayloadType) int64 { return d.held(t).version },
		Load:    func(t postgres.PayloadType, stored []shape.Path) error { return d.held(t).shape.Load(stored) },
		Settle:  func(t postgres.PayloadType, version int64) postgres.ShapeUpdate { return d.settle(t, version, &c) },
	})
	if err != nil { // what the batch made of its types is in no total: they are read again
		for t, h := range d.all() {
			if h.batch == d.batch {
				d.forget(t)
			}
		}
		return err
	}
	d.evict()
	d.metrics.settled(c, settled, d.sources, d.paths)
	for _, l := range d.sources {
		l.begin() // so that no record is held on to
	}
	return nil
}

func (d *Drift) held(t postgres.PayloadType) *held { return d.sources[t.Source].types[t] }

// all gives the types in memory.
func (d *Drift) all() iter.Seq2[postgres.PayloadType, *held] {
	return func(yield func(postgres.PayloadType, *held) bool) {
		for _, l := range d.sources {
			for t, h := range l.types {
				if !yield(t, h) {
					return
				}
			}
		}
	}
}

// source gives what is in memory of a source.
func (d *Drift) source(name string) *learned {
	l := d.sources[name]
	if l == nil {
		l = &learned{source: name, types: map[postgres.PayloadType]*held{}, names: map[string]bool{}}
		d.sources[name] = l
	}
	return l
}

// readNames reads which types are told apart.
func (d *Drift) readNames(ctx context.Context) error {
	d.sources = map[string]*learned{}
	const page = 5000
	for after := (postgres.PayloadType{}); ; {
		types, err := d.store.ShapeTypes(ctx, "", after, page)
		if err != nil {
			d.sources = nil
			return err
		}
		for _, t := range types {
			d.source(t.Source).names[t.EventType] = true
			after = t.PayloadType
		}
		if len(types) < page {
			return nil
		}
	}
}

// settle ends the batch of one type.
func (d *Drift) settle(t postgres.PayloadType, version int64, c *counts) postgres.ShapeUpdate {
	l := d.sources[t.Source]
	h := l.types[t]
	settled := h.shape.Settle(shape.Rules{Learn: d.options.Tuning.LearnEvents})
	h.version = version
	d.paths += h.shape.Paths() + 1 - h.paths
	h.paths = h.shape.Paths() + 1
	c.cut += settled.Cut
	u := postgres.ShapeUpdate{Changed: settled.Changed, Gone: settled.Gone, Events: make([]string, len(settled.Newest))}
	for i, ref := range settled.Newest {
		u.Events[i] = d.id(l, ref)
	}
	for _, odd := range settled.Odd {
		f := postgres.NewFinding{Odd: odd, At: postgres.RawPosition{Partition: -1, Offset: -1}}
		if odd.Event >= 0 {
			e := l.events[odd.Event]
			f.EventID, f.At = d.id(l, odd.Event), postgres.RawPosition{Topic: e.rec.Topic, Partition: e.rec.Partition, Offset: e.rec.Offset}
		}
		u.Found = append(u.Found, f)
	}
	return u
}

// id gives the source_event_id of an event of the batch. Few are asked for, so that it is read then.
func (d *Drift) id(l *learned, ref int32) string {
	e := &l.events[ref]
	if e.id == "" {
		if src, ok := d.deps.Sources.Find(l.source); ok {
			if top, err := l.doc.ParseBody(e.rec.Value, 0); err == nil {
				ev, _ := keyed(src, d.readRaw(e.rec), e.rec, top) // it was typed, so that it has an id
				e.id = ev.ID
			}
		}
	}
	return e.id
}

// evict forgets the types that were not seen for longest, when memory holds too much.
func (d *Drift) evict() {
	if d.paths <= d.options.Tuning.MemoryPaths {
		return
	}
	var all []postgres.PayloadType
	for t := range d.all() {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b postgres.PayloadType) int { return cmp.Compare(d.held(a).batch, d.held(b).batch) })
	for _, t := range all {
		if d.paths <= d.options.Tuning.MemoryPaths*3/4 {
			return
		}
		d.forget(t)
	}
}

func (d *Drift) forget(t postgres.PayloadType) {
	d.paths -= d.held(t).paths
	delete(d.sources[t.Source].types, t)
}
