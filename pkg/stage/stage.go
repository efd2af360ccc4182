// Package stage is what a service that consumes is made of: its configuration,
// its connections, its loops with their health and metrics, and its main
// function. What it does with the events is the service's own.
//
// A service is a list of components, downstream first, so that one Group starts
// and stops the parts of one service, or of all of them, in the order in which
// data flows.
package stage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Config is what every consuming service is told. A service embeds it in its
// own, which makes that a Configuration.
type Config struct {
	settings.Common `embed:""`
	Kafka           stream.Config        `embed:""`
	Postgres        postgres.Config      `embed:""`
	Registry        event.RegistryConfig `embed:""`
}

// Configuration is a pointer to a struct that embeds Config.
type Configuration interface {
	settings.Config
	Connections() *Config
}

// Connections gives the part that is the same for all; it makes a struct that
// embeds Config a Configuration.
func (c *Config) Connections() *Config { return c }

// Deps are what a service works with. Who made them closes them, after the
// service has stopped.
type Deps struct {
	Kafka    stream.Config // without brokers for services that need none
	Pool     *pgxpool.Pool // nil for services that need no database
	Direct   *pgxpool.Pool // past a pooler (postgres.Config.Direct); nil: Pool does. See Sessions
	Registry *event.Registry
	Sources  source.Set // the vendors', and those that the configuration names
	Runtime  *service.Runtime
}

// Service is a service as its parts, downstream first. Components is called
// once.
type Service interface{ Components() []service.Component }

// Main is the whole of a consuming service's main function: service.Main with
// the connections made and the service that build gives run in a Group.
func Main(name, summary string, cfg Configuration, args []string, build func(context.Context, Deps) (Service, error), opts ...settings.Option) int {
	return service.Main(name, summary, cfg, args, func(ctx context.Context, rt *service.Runtime) error {
		d, err := Connect(ctx, cfg.Connections(), rt)
		if err != nil {
			return err
		}
		defer d.close()
		if c, ok := cfg.(interface{ SourceSet() (source.Set, error) }); ok { // embeds Sources
			if d.Sources, err = c.SourceSet(); err != nil {
				return err
			}
		}
		s, err := build(ctx, d)
		if err != nil {
			return err
		}
		return d.Group(s).Run(ctx)
	}, opts...)
}

// Connect makes a process's connections. The caller closes the pools. An error of
// Postgres says what a person can do (fault.Advice).
func Connect(ctx context.Context, c *Config, rt *service.Runtime) (Deps, error) {
	registry, err := event.NewRegistry(c.Registry)
	if err != nil {
		return Deps{}, err
	}
	if err := registry.Observe(rt.Log, rt.Registry); err != nil {
		return Deps{}, err
	}
	pool, err := postgres.Open(ctx, c.Postgres, "throughline-"+rt.Name)
	if err != nil {
		return Deps{}, advised(err)
	}
	d := Deps{Kafka: c.Kafka, Pool: pool, Registry: registry, Sources: catalog.Set(), Runtime: rt}
	if c.Postgres.DirectURL != "" {
		if d.Direct, err = postgres.Open(ctx, c.Postgres.Direct(), "throughline-"+rt.Name); err != nil {
			pool.Close()
			return Deps{}, advised(err)
		}
	}
	return d, nil
}

// Sessions gives the pool for what needs a session of its own: migrations, LISTEN and advisory locks.
func (d Deps) Sessions() *pgxpool.Pool {
	if d.Direct != nil {
		return d.Direct
	}
	return d.Pool
}

func (d Deps) close() {
	d.Pool.Close()
	if d.Direct != nil {
		d.Direct.Close()
	}
}

// RawTopics gives the raw topics of all sources.
func (d Deps) RawTopics() []string {
	var topics []string
	for _, name := range d.Sources.Names() {
		topics = append(topics, d.Kafka.Names().Raw(name))
	}
	return topics
}

// Group gives the group of these services, downstream first, and of the checks
// of the connections that they share.
func (d Deps) Group(services ...Service) *service.Group {
	return d.Runtime.Group(d.Components(services...)...)
}

// Components are the parts of Group, for a larger group.
func (d Deps) Components(services ...Service) []service.Component {
	parts := []service.Component{d.checks()}
	for _, s := range services {
		parts = append(parts, s.Components()...)
	}
	return parts
}

// Told gives who hears of a piece of work under this name: the log, and /readyz.
func (d Deps) Told(name string) *retry.Told {
	return &retry.Told{Log: d.Runtime.Log, State: func(err error) { d.Runtime.Health.Set(name, err) }, Advice: postgres.Advice}
}

// checkTimeout bounds one look at a connection: less than a prober waits.
const checkTimeout = 2 * time.Second

// checks asks the connections whenever somebody asks for the readiness, under
// the names postgres, schema and kafka.
func (d Deps) checks() service.Component {
	stop := func() {}
	d.measurePools()
	return service.Component{
		Name: "connections",
		Start: func(context.Context) error {
			health := d.Runtime.Health
			if d.Pool != nil {
				schema := &schemaWatch{pool: d.Pool}
				ping := newPinger(schema.ping)
				health.Check("postgres", checkTimeout, ping.check)
				health.CheckNoted("schema", checkTimeout, schema.check)
				stop = ping.stop
			}
			stopped := stop
			stop = func() {
				health.Remove("postgres")
				health.Remove("schema")
				stopped()
			}
			if len(d.Kafka.Brokers) == 0 {
				return nil
			}
			client, err := stream.NewClient(d.Kafka, stream.Deps{Name: d.Runtime.Name + "-check"})
			if err != nil {
				return fmt.Errorf("checking the brokers: %w", err)
			}
			health.Check("kafka", checkTimeout, func(ctx context.Context) error { return stream.Classify(client.Ping(ctx)) })
			withKafka := stop
			stop = func() {
				health.Remove("kafka")
				withKafka()
				client.Close()
			}
			return nil
		},
		Stop: func(context.Context) error { stop(); return nil },
	}
}

// measurePools registers the metrics of the pools.
func (d Deps) measurePools() {
	for kind, pool := range map[string]*pgxpool.Pool{"pool": d.Pool, "direct": d.Direct} {
		if pool != nil {
			_ = d.Runtime.Registry.Register(postgres.NewPoolMetrics(pool, kind)) // a second time is no news
		}
	}
}

func advised(err error) error { return fault.Advise(err, postgres.Advice(err)) }
