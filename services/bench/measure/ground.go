package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/local/broker"
	"github.com/throughline-dev/throughline/pkg/local/kafka"
	"github.com/throughline-dev/throughline/pkg/local/pgserver"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/traffic"
)

// partitions of every topic. The machine has few cores; more would only split
// batches.
const partitions = 4

// ground is what the stages stand on: a broker, a schema registry and Postgres,
// all of this run and in a directory that goes with it.
type ground struct {
	dir      string
	brokers  []string
	registry string
	server   *pgserver.Server
	cluster  *kafka.Cluster // nil: the embedded broker
	hasty    bool           // databases stay, and none waits for what was written to the one before: for a test of the program itself
	runs     int            // databases so far
	closers  []func(context.Context) error
}

// open starts it.
func (b *bench) open(ctx context.Context) (err error) {
	g := &b.ground
	g.hasty = b.command.unsafe
	if g.dir, err = os.MkdirTemp("", "throughline-bench-"); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	g.onClose(func(context.Context) error { return os.RemoveAll(g.dir) })
	// For root, Postgres runs as another user, who has to get in.
	if err := os.Chmod(g.dir, 0o755); err != nil {
		return fmt.Errorf("opening the directory to Postgres: %w", err)
	}
	if err := g.openBroker(ctx, b.command.Broker); err != nil {
		return err
	}
	r, err := broker.StartRegistry("127.0.0.1:0")
	if err != nil {
		return err
	}
	g.onClose(func(context.Context) error { return r.Close() })
	g.registry = r.URL()
	g.server, err = pgserver.Start(ctx, pgserver.Options{DataDir: filepath.Join(g.dir, "postgres"), Unsafe: b.command.unsafe})
	if err != nil {
		return err
	}
	g.onClose(g.server.Stop)
	return g.openTemplate(ctx, b.accounts)
}

func (g *ground) openBroker(ctx context.Context, kind string) error {
	if kind == "embedded" {
		e, err := broker.Start(ctx, broker.Options{Addr: "127.0.0.1:0", DataDir: filepath.Join(g.dir, "kafka")})
		if err != nil {
			return err
		}
		g.onClose(func(context.Context) error { return e.Close() })
		g.brokers = []string{e.Addr()}
		return nil
	}
	c, err := kafka.Start(ctx, kafka.Options{Dir: filepath.Join(g.dir, "kafka")})
	if err != nil {
		return err
	}
	g.onClose(func(context.Context) error { return c.Close() })
	g.brokers, g.cluster = c.Brokers(), c
	return nil
}

func (g *ground) onClose(f func(context.Context) error) { g.closers = append(g.closers, f) }

// close undoes open, also half of it.
func (g *ground) close() error {
	var errs []error
	for i := len(g.closers) - 1; i >= 0; i-- {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		errs = append(errs, g.closers[i](ctx))
		cancel()
	}
	g.closers = nil
	return errors.Join(errs...)
}

// template is the database that each run's is a copy of: the schema, the
// accounts and their links.
const template = "bench_template"

func (g *ground) openTemplate(ctx context.Context, accounts traffic.Accounts) error {
	url, err := g.create(ctx, template, "template0")
	if err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, postgres.Config{URL: settings.URL(url), MaxConns: 4}, "bench")
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := postgres.Migrate(ctx, pool, nil); err != nil {
		return err
	}
	return accounts.Insert(ctx, pool)
}

// create makes a database as a copy of another and gives its URL.
func (g *ground) create(ctx context.Context, name, from string) (url string, err error) {
	statements := []string{"CREATE DATABASE " + name + " TEMPLATE " + from}
	if !g.hasty { // the checkpoint of what the run before wrote must not fall into this one
		statements = append(statements, "CHECKPOINT")
	}
	err = g.admin(ctx, statements...)
	if err != nil {
		return "", fmt.Errorf("making database %s: %w", name, err)
	}
	config, err := pgx.ParseConfig(g.server.URL())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", config.User, g.server.Port(), name), nil
}

// database gives work a fresh database and drops it afterwards.
func (g *ground) database(ctx context.Context, work func(url string) error) error {
	name := "bench_run"
	if g.hasty {
		g.runs++
		name = fmt.Sprintf("bench_run_%d", g.runs)
	}
	url, err := g.create(ctx, name, template)
	if err != nil {
		return err
	}
	if err = work(url); g.hasty {
		return err
	}
	return errors.Join(err, g.admin(context.WithoutCancel(ctx), "DROP DATABASE "+name+" WITH (FORCE)"))
}

func (g *ground) admin(ctx context.Context, statements ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, g.server.URL())
	if err != nil {
		return fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// kafka gives work a client, with room to produce fast.
func (g *ground) kafka(work func(*kgo.Client) error) error {
	client, err := stream.NewClient(stream.Config{Brokers: g.brokers}, stream.Deps{Name: "bench"})
	if err != nil {
		return err
	}
	defer client.Close()
	return work(client)
}

// freshTopics makes all topics anew, with the settings that they have in use.
func (g *ground) freshTopics(ctx context.Context) error { return g.topicsAnew(ctx, traffic.Names()...) }

// topicsAnew is freshTopics with the raw topics of these sources.
func (g *ground) topicsAnew(ctx context.Context, sources ...string) error {
	return g.kafka(func(client *kgo.Client) error {
		admin := kadm.NewClient(client)
		topics := []string{stream.AccountEvents, stream.DeadLetters}
		for _, name := range sources {
			topics = append(topics, stream.RawTopic(name))
		}
		if _, err := admin.DeleteTopics(ctx, topics...); err != nil {
			return fmt.Errorf("deleting the topics: %w", err)
		}
		for {
			there, err := admin.ListTopics(ctx, topics...)
			if err != nil {
				return fmt.Errorf("listing the topics: %w", err)
			}
			if !anyThere(there) {
				break
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(100 * time.Millisecond):
			}
		}
		_, err := stream.ApplyTopics(ctx, client, stream.Names{}, sources, stream.TopicOptions{
			Partitions: partitions, ReplicationFactor: -1, RawRetention: 24 * time.Hour, EventRetention: 24 * time.Hour,
		})
		return err
	})
}

func anyThere(topics kadm.TopicDetails) bool {
	for _, t := range topics {
		if t.Err == nil {
			return true
		}
	}
	return false
}

// forget deletes a consumer group, so that the next run begins at the start.
func (g *ground) forget(ctx context.Context, group string) error {
	return g.kafka(func(client *kgo.Client) error {
		if _, err := kadm.NewClient(client).DeleteGroup(ctx, group); err != nil {
			return fmt.Errorf("deleting the consumer group %s: %w", group, err)
		}
		return nil
	})
}

// fill produces n records and waits for them.
func (g *ground) fill(ctx context.Context, n int, record func(i int) (*kgo.Record, error)) error {
	return g.kafka(func(client *kgo.Client) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		for i := range n {
			rec, err := record(i)
			if err != nil {
				return err
			}
			client.Produce(ctx, rec, func(_ *kgo.Record, err error) {
				if err != nil {
					cancel(err)
				}
			})
		}
		if err := client.Flush(ctx); err != nil {
			return fmt.Errorf("filling a topic: %w", context.Cause(ctx))
		}
		return context.Cause(ctx)
	})
}
