package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/deadletter"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/traffic"
	"github.com/throughline-dev/throughline/services/throughline/cli"
	"github.com/throughline-dev/throughline/services/whole"
)

// runQuarantine is the quarantine service until ctx ends. Its samples count what it has published.
func runQuarantine(ctx context.Context, job Job, ready func(string)) (Result, error) {
	deps, services, err := newServices(ctx, job, whole.Quarantine)
	if err != nil {
		return Result{}, err
	}
	defer closePool(deps)
	var samples []Sample
	r, err := serving(ctx, func(ctx context.Context) error {
		return until(ctx, services.Run, func(ctx context.Context) error {
			samples, _ = sample(ctx, math.MaxInt, counter(deps.Runtime.Registry, "throughline_quarantine_released_total")) // its error is ctx's end
			return nil
		})
	}, func(ctx context.Context) (string, error) {
		return "", joined(ctx, job, stream.Names{}.Group(stream.Quarantine), stream.DeadLetters)
	}, ready)
	r.Samples = samples
	return r, err
}

// feedBatch is how many dead letters are taken in at once, as by the service.
const feedBatch = 500

// runFeed puts Records events that wait for one link into quarantine, as the service does: the normalizer's dead
// letters, read and stored. It goes without durability, because it is not what is measured.
func runFeed(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	config, err := pgxpool.ParseConfig(job.Postgres)
	if err != nil {
		return r, fmt.Errorf("reading the database's address: %w", err)
	}
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return r, fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer pool.Close()
	events, err := job.Accounts.Traffic()
	if err != nil {
		return r, err
	}
	registry, err := job.registry()
	if err != nil {
		return r, err
	}
	encoder, err := event.NewEncoder(ctx, registry, stream.AccountEvents, stream.DeadLetters)
	if err != nil {
		return r, err
	}
	decoder, err := event.NewDecoder(registry)
	if err != nil {
		return r, err
	}
	store, unlinked := quarantine.NewStore(pool).WithSources(catalog.Set()), events.Unlinked()
	letter := func(i int) (quarantine.Letter, error) {
		src, rec, described, err := events.RawOf(unlinked, i)
		if err != nil {
			return quarantine.Letter{}, err
		}
		raw := stream.RawRecord(src.Name(), rec, "")
		raw.Offset, raw.Timestamp = int64(i), rec.ReceivedAt
		made, err := deadletter.Make(encoder, raw, deadletter.Described{
			Source: src.Name(), Tenant: described.Tenant, Type: described.Type, SourceEventID: described.ID, References: described.References,
		}, fault.Permanent(fault.Unresolved, fmt.Errorf("no account: no link or account for %s", unlinked.Reference)))
		if err != nil {
			return quarantine.Letter{}, err
		}
		read, err := deadletter.Read(ctx, decoder, made)
		return quarantine.Letter{DeadLetter: read, At: rec.ReceivedAt}, err
	}
	group, feeding := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for from := 0; from < job.Records; from += feedBatch {
		group.Go(func() error {
			letters := make([]quarantine.Letter, 0, feedBatch)
			for i := from; i < min(from+feedBatch, job.Records); i++ {
				l, err := letter(i)
				if err != nil {
					return err
				}
				letters = append(letters, l)
			}
			_, err := store.Put(feeding, letters)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return r, err
	}
	_, err = pool.Exec(ctx, "INSERT INTO accounts (id, name, domain) VALUES ($1, $2, 'unlinked.example')", unlinked.ID, unlinkedName)
	if err == nil {
		_, err = pool.Exec(ctx, "VACUUM ANALYZE quarantine, quarantine_states, quarantine_decisions") // as after some time
	}
	return r, err
}

// unlinkedName is the name of the account that is linked.
const unlinkedName = "Unlinked Ltd"

// asks are the commands that a person may use meanwhile, once a second; the last, which counts all that waits, each
// time the service does, too.
func asks() []string {
	return []string{"quarantine list", "quarantine list --status replaying", "links", "events conflicts", "timeline account", "doctor --only quarantine"}
}

// countEvery is how many seconds lie between two counts.
const countEvery = 15

// askEvery is how often they are asked.
const askEvery = time.Second

// runOperator links what Records events in quarantine wait for, by the command, and waits until all of them are
// visible. Samples are of the rows that are, since before the command began. Meanwhile it asks.
func runOperator(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	events, err := job.Accounts.Traffic()
	if err != nil {
		return r, err
	}
	pool, err := postgres.Open(ctx, postgres.Config{URL: settings.URL(job.Postgres), MaxConns: 2}, "bench-operator")
	if err != nil {
		return r, err
	}
	defer pool.Close()
	unlinked := events.Unlinked()
	reference := unlinked.Reference.String()
	asking, done := context.WithCancel(ctx)
	defer done()
	var took map[string][]time.Duration
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		took, err = ask(asking, job, unlinked)
		return err
	})
	group.Go(func() error {
		said, err := throughline(ctx, job, "link", reference, unlinked.ID.String(), "--wait", "--by", "bench")
		r.Said = said
		return err
	})
	group.Go(func() (err error) {
		defer done()
		r.Samples, err = rowsVisible(ctx, pool, job.Records)
		return err
	})
	if err := group.Wait(); err != nil {
		return r, err
	}
	r.Asked = map[string]Latency{}
	for command, times := range took {
		r.Asked[command] = latencyOf(times)
	}
	return r, nil
}

// rowsVisible looks until so many rows are there for others; see awaitRows.
func rowsVisible(ctx context.Context, pool *pgxpool.Pool, want int) ([]Sample, error) {
	var highest int64
	var rows int
	return sample(ctx, want, func() (int, error) {
		var fresh int
		if err := pool.QueryRow(ctx, "SELECT count(*), coalesce(max(id), $1) FROM account_events WHERE id > $1", highest).Scan(&fresh, &highest); err != nil {
			return 0, fmt.Errorf("looking at the table: %w", err)
		}
		rows += fresh
		return rows, nil
	})
}

// ask asks every command once a second until ctx ends, and says how long each took.
func ask(ctx context.Context, job Job, unlinked traffic.Unlinked) (map[string][]time.Duration, error) {
	took := map[string][]time.Duration{}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for second := 0; ; second++ {
		for n, command := range asks() {
			if n == len(asks())-1 && second%countEvery != 0 {
				continue
			}
			began := time.Now()
			args := strings.Fields(strings.ReplaceAll(command, "account", unlinked.ID.String()))
			if _, err := throughline(context.WithoutCancel(ctx), job, args...); err != nil {
				return nil, err
			}
			took[command] = append(took[command], time.Since(began))
		}
		select {
		case <-ctx.Done():
			return took, nil
		case <-tick.C:
		}
	}
}

// throughline runs a command line of the operator's and gives what it says beside its result.
func throughline(ctx context.Context, job Job, args ...string) ([]string, error) {
	env := map[string]string{
		"THROUGHLINE_POSTGRES_URL": job.Postgres, "THROUGHLINE_KAFKA_BROKERS": strings.Join(job.Brokers, ","), "THROUGHLINE_SCHEMA_REGISTRY_URL": job.Registry,
	}
	var out, errs bytes.Buffer
	code := cli.Run(ctx, args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}})
	if code != settings.ExitOK {
		return nil, fmt.Errorf("throughline %s: exit code %d: %s", strings.Join(args, " "), code, strings.TrimSpace(errs.String()+out.String()))
	}
	return strings.Split(strings.TrimSpace(errs.String()), "\n"), nil
}

// runAudit looks for what came twice after a release of Records events.
func runAudit(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	conn, err := pgx.Connect(ctx, job.Postgres)
	if err != nil {
		return r, fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var rows, events, resolved int
	err = conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM account_events), (SELECT count(DISTINCT (source, source_event_id)) FROM account_events),
		(SELECT count(*) FROM quarantine WHERE status = 'resolved' AND outcome = 'inserted')`).Scan(&rows, &events, &resolved)
	if err != nil {
		return r, fmt.Errorf("counting: %w", err)
	}
	if events != job.Records || resolved != job.Records {
		err = fmt.Errorf("of %d events %d are on the timeline and %d are resolved in quarantine", job.Records, events, resolved)
	}
	published, counted := countRecords(ctx, job)
	r.Twice = rows - events + max(0, published-job.Records)
	return r, errors.Join(err, counted)
}

// countRecords counts those of account-events that are committed.
func countRecords(ctx context.Context, job Job) (n int, err error) {
	client, err := stream.NewClient(job.kafka(), stream.Deps{Name: "bench"},
		kgo.ConsumeTopics(stream.AccountEvents), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	for {
		bounded, cancel := context.WithTimeout(ctx, quietTopic)
		fetches := client.PollFetches(bounded)
		cancel()
		if n += fetches.NumRecords(); fetches.NumRecords() == 0 {
			return n, context.Cause(ctx)
		}
	}
}

// quietTopic is after how long without another record a topic has been read.
const quietTopic = 2 * time.Second
