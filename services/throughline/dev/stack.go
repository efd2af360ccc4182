package dev

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/local/broker"
	"github.com/throughline-dev/throughline/pkg/local/pgserver"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/alerter/alerter"
	"github.com/throughline-dev/throughline/services/console/console"
	"github.com/throughline-dev/throughline/services/drift/drift"
	"github.com/throughline-dev/throughline/services/learner/learner"
	"github.com/throughline-dev/throughline/services/puller/puller"
	"github.com/throughline-dev/throughline/services/receiver/receiver"
	"github.com/throughline-dev/throughline/services/throughline/cli"
	"github.com/throughline-dev/throughline/services/whole"
)

// stack is all that runs, in the order in which it was started.
type stack struct {
	command *Command
	set     cli.Connections
	out     io.Writer
	rt      *service.Runtime
	closers []closer

	kafka    stream.Config
	client   *kgo.Client
	registry event.RegistryConfig
	pool     *pgxpool.Pool
	direct   *pgxpool.Pool    // past a pooler, or pool
	database *pgserver.Server // nil: another's is used
	postgres string
	secrets  map[string][]string
	services *whole.Whole
	token    string // opens the console
	admin    *service.Admin
	group    *service.Group
}

// closer is a named step of the stop.
type closer struct {
	what string
	stop func(context.Context) error
}

func (s *stack) onClose(what string, stop func(context.Context) error) {
	s.closers = append(s.closers, closer{what, stop})
}

// close undoes open, last started first. A step that fails does not keep the
// others from running.
func (s *stack) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		if err := s.closers[i].stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", s.closers[i].what, err))
		}
		cancel()
	}
	s.closers = nil
	return errors.Join(errs...)
}

// open brings up what the services need: Postgres, broker, registry, topics.
func (s *stack) open(ctx context.Context) error {
	for _, part := range []struct {
		doing string
		open  func(context.Context) error
	}{
		{"starting Postgres", s.openPostgres},
		{"starting the Kafka broker", s.openKafka},
		{"starting the schema registry", s.openRegistry},
		{"starting the services", s.openServices},
	} {
		s.step(part.doing)
		if err := part.open(ctx); err != nil {
			return err
		}
	}
	return nil
}

// databaseSetup gives the services' role what only a superuser can: a measure of the
// payload index, without which a server that has no contrib goes, and the right to make
// the roles of `throughline roles apply`.
const databaseSetup = `DO $$ BEGIN
	ALTER ROLE throughline CREATEROLE;
	BEGIN
		CREATE EXTENSION IF NOT EXISTS pgstattuple;
		GRANT pg_stat_scan_tables TO throughline;
	EXCEPTION WHEN undefined_file OR feature_not_supported THEN NULL; END;
END $$`

// step says what is being done, because a first start takes a while.
func (s *stack) step(doing string) { fmt.Fprintln(s.out, "… "+doing) }

func (s *stack) openPostgres(ctx context.Context) error {
	c := s.command
	config := s.set.Postgres
	if config.URL == "" {
		server, err := pgserver.Start(ctx, pgserver.Options{
			DataDir: filepath.Join(c.DataDir, "postgres"), Port: c.PostgresPort, PortSetting: "--postgres-port", Tell: s.step, Log: s.rt.Log.Named("postgres"),
			PassFile: filepath.Join(c.DataDir, PassFile), Setup: databaseSetup,
		})
		if err != nil {
			return err
		}
		s.onClose("Postgres", server.Stop)
		s.database = server
		config = postgres.Config{URL: settings.URL(server.URL())}
	}
	s.postgres, config.MaxConns = string(config.URL), 16
	var err error
	if s.pool, err = s.openPool(ctx, config); err != nil {
		if s.database == nil && fault.Advice(err) == "" && postgres.Advice(err) == "" {
			// It may be what an earlier start printed for the other commands.
			return fault.Advise(err, "THROUGHLINE_POSTGRES_URL is set, so no Postgres is started here: unset it for one, or check that its server runs and is reachable")
		}
		return err
	}
	s.direct = s.pool
	if config.DirectURL != "" {
		if s.direct, err = s.openPool(ctx, config.Direct()); err != nil {
			return err
		}
	}
	return postgres.Migrate(ctx, s.direct, s.rt.Log)
}

func (s *stack) openPool(ctx context.Context, config postgres.Config) (*pgxpool.Pool, error) {
	pool, err := postgres.Open(ctx, config, "throughline-dev")
	if err != nil {
		return nil, err
	}
	s.onClose("the Postgres pool", func(context.Context) error { pool.Close(); return nil })
	return pool, nil
}

func (s *stack) openKafka(ctx context.Context) error {
	c := s.command
	s.kafka = s.set.Kafka
	if len(s.kafka.Brokers) == 0 {
		b, err := broker.Start(ctx, broker.Options{Addr: c.KafkaAddr, DataDir: filepath.Join(c.DataDir, "kafka"), Log: s.rt.Log.Named("broker")})
		if err != nil {
			return err
		}
		s.onClose("the embedded broker", func(context.Context) error { return b.Close() })
		s.kafka.Brokers = []string{b.Addr()}
	}
	if err := s.kafka.Validate(); err != nil {
		return err
	}
	client, err := stream.NewClient(s.kafka, stream.Deps{Name: "dev-topics", Log: s.rt.Log, Registry: s.rt.Registry})
	if err != nil {
		return err
	}
	s.onClose("the Kafka client", func(context.Context) error { client.Close(); return nil })
	s.client = client
	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	options := stream.TopicOptions{Partitions: 4, ReplicationFactor: -1, RawRetention: 14 * 24 * time.Hour, EventRetention: 30 * 24 * time.Hour}
	if _, err := stream.ApplyTopics(bounded, client, s.kafka.Names(), s.set.Sources.Names(), options); err != nil {
		return fmt.Errorf("%w (is a broker at %v? THROUGHLINE_KAFKA_BROKERS says where; unset it for the embedded one)", err, s.kafka.Brokers)
	}
	return nil
}

func (s *stack) openRegistry(context.Context) error {
	c := s.command
	s.registry.URL = c.RegistryURL
	if c.RegistryURL == "" {
		options := []broker.RegistryOption{broker.KeepIn(filepath.Join(c.DataDir, "kafka"))}
		r, err := broker.StartRegistry(c.RegistryAddr, options...)
		if err != nil {
			return err
		}
		s.onClose("the schema registry", func(context.Context) error { return r.Close() })
		s.registry.URL = settings.URL(r.URL())
	}
	return s.registry.Validate()
}

// consolePatience is how long Postgres may work for one answer of the console.
const consolePatience = 10 * time.Second

// openServices makes every service and the group that runs them.
func (s *stack) openServices(ctx context.Context) error {
	registry, err := event.NewRegistry(s.registry)
	if err != nil {
		return err
	}
	if err := registry.Observe(s.rt.Log, s.rt.Registry); err != nil {
		return err
	}
	endpoints, err := s.endpoints()
	if err != nil {
		return err
	}
	if s.token, err = s.consoleToken(ctx); err != nil {
		return err
	}
	s.services, err = whole.New(ctx, stage.Deps{Kafka: s.kafka, Pool: s.pool, Direct: s.direct, Registry: registry, Sources: s.set.Sources, Runtime: s.rt}, whole.Options{
		Resolve: s.command.Resolve, Tenants: s.tenants(), TestData: s.testData(), Endpoints: endpoints, Learner: s.learner(), Puller: s.puller(), Drift: &drift.Options{Tenants: s.tenants()}, Alerter: s.alerter(),
		Console:  &console.Options{Program: program, Sends: true, SendFlags: strings.TrimSpace(s.sendFlags("http://" + s.command.Listen)), Server: console.Server{Listen: s.command.ConsoleAddr, Patience: consolePatience, Receivers: []string{"http://" + s.command.AdminAddr + "/metrics"}}, Resolve: s.command.Resolve},
		Receiver: receiver.Config{Listen: s.command.Listen, SpoolDir: filepath.Join(s.command.DataDir, "spool")},
	})
	if err != nil {
		return err
	}
	s.onClose("the services", func(context.Context) error { return s.services.Close() })
	s.admin = service.NewAdmin(s.rt, s.command.AdminAddr, s.command.Pprof)
	parts := []service.Component{{Name: "admin", Start: s.admin.Start, Stop: s.admin.Stop}}
	if s.database != nil {
		parts = append(parts, service.Component{Name: "local-postgres", Run: s.watchDatabase})
	}
	s.group = s.rt.Group(append(parts, s.services.Components()...)...)
	return nil
}

// databaseEndedError ends everything.
type databaseEndedError struct{ log string }

// Error is error's.
func (e *databaseEndedError) Error() string {
	return fmt.Sprintf("the local Postgres ended: its log is in %s. Everything else was stopped; what was received is kept: run throughline dev again", e.log)
}

// watchDatabase fails when the local Postgres ends by itself: nothing would start
// it again, and services would wait for it without an end.
func (s *stack) watchDatabase(ctx context.Context) error {
	select {
	case <-s.database.Done():
		return &databaseEndedError{log: filepath.Join(s.command.DataDir, "dev.log")}
	case <-ctx.Done():
		return nil
	}
}

// endpoints gives every source its secrets and address.
func (s *stack) endpoints() ([]receiver.Endpoint, error) {
	names := s.set.Sources.Names()
	var err error
	if s.secrets, err = s.localSecrets(names); err != nil {
		return nil, err
	}
	return receiver.Endpoints(s.set.Sources, names, func(name string) settings.SourceSetting {
		set := s.set.Settings(name)
		set.Secrets = s.secrets[name]
		if src, ok := s.set.Sources.Find(name); ok && src.Profile().NeedsPublicURL && set.PublicURL == "" {
			set.PublicURL = "http://" + s.command.Listen
		}
		return set
	})
}

// learner gives what the learner is told. Without a key it learns from the timeline.
func (s *stack) learner() *learner.Options {
	return &learner.Options{Resolve: s.command.Resolve, Settings: s.set.Settings}
}

// alerter gives what the alerter is told. Without a receiver what it finds is seen in the console and with `throughline alerts`.
func (s *stack) alerter() *alerter.Options {
	c := s.command.Alerts
	if c.SendTimeout == 0 {
		settings.Defaults(&c)
	}
	if len(c.Metrics) == 0 {
		c.Metrics = []string{"http://" + s.command.AdminAddr}
	}
	c.ConsoleURL = cmp.Or(c.ConsoleURL, settings.URL("http://"+s.command.ConsoleAddr))
	return &alerter.Options{Alerts: c}
}

// puller gives what the puller is told; nil where no source has the key of its API.
func (s *stack) puller() *puller.Options {
	for _, name := range s.set.Sources.Names() {
		if s.set.Settings(name).APIKey != "" {
			return &puller.Options{Setting: s.set.Settings}
		}
	}
	return nil
}

// testData gives the sources whose test data is accepted.
func (s *stack) testData() map[string]bool {
	accepted := map[string]bool{}
	for _, name := range s.set.Sources.Names() {
		accepted[name] = s.set.Settings(name).TestData
	}
	return accepted
}

// tenants gives the tenants that are set, by source.
func (s *stack) tenants() map[string]string {
	tenants := map[string]string{}
	for _, name := range s.set.Sources.Names() {
		if tenant := s.set.Settings(name).Tenant; tenant != "" {
			tenants[name] = tenant
		}
	}
	return tenants
}
