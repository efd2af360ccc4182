package doctor

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// examination is one run: what the checks share. Each connection is made by the first that asks.
type examination struct {
	Settings
	kafka    func() (*kgo.Client, error)
	postgres func() database
	registry func() (*event.Registry, error)
	lags     map[string]func() (stageLag, error) // by service
	waiting  func() (quarantine.Stats, error)    // of the quarantine, up to quarantine.MostCounted of each
	closers  struct {
		sync.Mutex
		all []func()
	}
}

// database is Postgres, or why there is none.
type database struct {
	pool    *pgxpool.Pool
	err     error
	standby error // why it takes no writes; the pool reads all the same
}

func newExamination(ctx context.Context, s Settings) *examination {
	e := &examination{Settings: s}
	e.kafka = sync.OnceValues(func() (*kgo.Client, error) { return e.connectKafka(ctx) })
	e.postgres = sync.OnceValue(func() database { return e.connectPostgres(ctx) })
	e.registry = sync.OnceValues(func() (*event.Registry, error) {
		c := *e.Registry
		c.Timeout = min(max(c.Timeout, time.Second), connectTimeout)
		return event.NewRegistry(c)
	})
	e.lags = e.measureLags(ctx)
	e.waiting = sync.OnceValues(func() (quarantine.Stats, error) {
		bounded, cancel := context.WithTimeout(ctx, queryTimeout)
		defer cancel()
		return quarantine.NewStore(e.postgres().pool).Stats(bounded, stuckAfter, quarantine.MostCounted)
	})
	return e
}

func (e *examination) later(closer func()) {
	e.closers.Lock()
	defer e.closers.Unlock()
	e.closers.all = append(e.closers.all, closer)
}

// close lets go of the connections. A server that does not answer is not waited for: its connections end with the process.
func (e *examination) close() {
	e.closers.Lock()
	defer e.closers.Unlock()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		var group sync.WaitGroup
		for _, closer := range e.closers.all {
			group.Go(closer)
		}
		group.Wait()
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
	}
}

// client makes a client that gives up soon.
func (e *examination) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return stream.NewClient(*e.Kafka, stream.Deps{Name: "doctor"}, append(opts, kgo.RequestRetries(2), kgo.RetryTimeout(connectTimeout), kgo.RequestTimeoutOverhead(brokerTimeout), kgo.MetadataMinAge(10*time.Millisecond))...)
}

func (e *examination) connectKafka(ctx context.Context) (*kgo.Client, error) {
	client, err := e.client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := stream.Reach(ctx, client); err != nil {
		client.Close()
		return nil, stream.Classify(err)
	}
	e.later(client.Close)
	return client, nil
}

func (e *examination) connectPostgres(ctx context.Context) database {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c := e.Postgres.Direct()
	c.MaxConns = 4
	pool, err := postgres.Open(ctx, c, "throughline-doctor")
	if err == nil {
		e.later(pool.Close)
		return database{pool: pool}
	}
	// A standby can be looked at as well.
	u, parseErr := url.Parse(string(c.URL))
	if parseErr != nil || !postgres.ReadOnly(err) {
		return database{err: err}
	}
	query := u.Query()
	query.Set("target_session_attrs", "any")
	u.RawQuery = query.Encode()
	c.URL, c.DirectURL = settings.URL(u.String()), ""
	if pool, anyErr := postgres.Open(ctx, c, "throughline-doctor"); anyErr == nil {
		e.later(pool.Close)
		return database{pool: pool, standby: err}
	}
	return database{err: err}
}

// onKafka gives a check that needs the brokers.
func onKafka(name, meaning string, run func(*examination, context.Context, *kadm.Client) Finding) Check {
	return Check{Name: name, Meaning: meaning, run: func(e *examination, ctx context.Context, _ string) Finding {
		if e.Kafka == nil {
			return unset("THROUGHLINE_KAFKA_BROKERS")
		}
		client, err := e.kafka()
		if err != nil {
			return notChecked("", "kafka.reachable failed")
		}
		return run(e, ctx, kadm.NewClient(client))
	}}
}

// onPostgres gives a check that needs the database.
func onPostgres(name, meaning string, run func(*examination, context.Context, *pgxpool.Pool) Finding) Check {
	return Check{Name: name, Meaning: meaning, run: func(e *examination, ctx context.Context, _ string) Finding {
		if e.Postgres == nil {
			return unset("THROUGHLINE_POSTGRES_URL")
		}
		db := e.postgres()
		if db.pool == nil {
			return notChecked("", "postgres.reachable failed")
		}
		ctx, cancel := context.WithTimeout(ctx, queryTimeout)
		defer cancel()
		return run(e, ctx, db.pool)
	}}
}

func unset(variable string) Finding { return notChecked("set "+variable, "%s is not set", variable) }

// kafkaFailed is a question that the brokers did not answer.
func kafkaFailed(err error) Finding {
	switch {
	case errors.Is(err, kerr.CoordinatorNotAvailable):
		return notChecked("run it again in a few seconds; if it stays so, the cluster has fewer brokers than offsets.topic.replication.factor, or the group's coordinator is away",
			"the brokers have no coordinator for the consumer group yet: on a new cluster they make the topic __consumer_offsets when somebody first asks for a group")
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		// What a service would need is more than the doctor does.
		return notChecked("give this Kafka user the operator's rights: throughline acls apply --user operator=User:NAME", "this Kafka user may not look: %v", err)
	}
	err = stream.Classify(err)
	if do := fault.Advice(err); do != "" {
		return notChecked(do, "%v", err)
	}
	return failed("look at the brokers' log", "the brokers do not answer: %v", err)
}

// queryFailed is a question that Postgres did not answer. What another check tells of is not told twice.
func queryFailed(err error) Finding {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "42P01", "42703", "3F000":
			return notChecked("", "postgres.schema failed: what is asked for is missing")
		case "42501":
			return notChecked("let the doctor connect as a role that may, or leave it out with --only", "this role may not look: %s", refused.Message)
		}
	}
	if do := postgres.Advice(err); do != "" {
		return failed(do, "%v", err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return failed("look in pg_stat_activity and pg_blocking_pids() for who holds a lock, and at the server's disks and processes", "Postgres does not answer")
	}
	return failed("look at the server's log", "%v", err)
}
