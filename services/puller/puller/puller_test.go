package puller_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/source/stripe"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/puller/puller"
	"github.com/throughline-dev/throughline/services/vendors/stripeapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

const key = "rk_live_0123456789abcdef"

// polled is Stripe, as if it pushed nothing.
type polled struct{ source.Pager }

// Streams gives a stream that must be polled.
func (polled) Streams() []source.Stream {
	return []source.Stream{{Name: "events", Window: 6 * time.Hour, Poll: true, Late: time.Minute}}
}

// world is a vendor's API, a raw topic and a database.
type world struct {
	t      *testing.T
	api    *stripeapi.API
	url    string
	pool   *pgxpool.Pool
	kafka  stream.Config
	client *kgo.Client

	seen map[string]int // by value
	// quiet: replicas do nothing that nobody asks for.
	quiet bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, api: stripeapi.New(key), pool: postgrestest.New(t), kafka: stream.Config{Brokers: streamtest.Embedded(t)}, seen: map[string]int{}}
	server := httptest.NewServer(w.api)
	t.Cleanup(server.Close)
	w.url = server.URL
	var err error
	w.client, err = stream.NewClient(w.kafka, stream.Deps{Name: "test"}, kgo.ConsumeTopics("raw.stripe"))
	require.NoError(t, err)
	t.Cleanup(w.client.Close)
	_, err = stream.ApplyTopics(t.Context(), w.client, stream.Names{}, catalog.Set().Names(), stream.TopicOptions{Partitions: 2, ReplicationFactor: -1, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	return w
}

func (w *world) add(n int, at time.Time) {
	w.t.Helper()
	require.NoError(w.t, w.api.Add(fmt.Appendf(nil, `{"id":"evt_%06d","object":"event","created":%d,"type":"customer.updated","data":{"object":{"id":"cus_1","object":"customer"}}}`, n, at.Unix())))
}

// replica runs a puller until stop.
func (w *world) replica(name string) (stop func(), rt *service.Runtime) {
	w.t.Helper()
	pager := stripe.New().(source.Pager)
	if !w.quiet {
		pager = polled{pager}
	}
	set, err := source.NewSet(pager)
	require.NoError(w.t, err)
	rt = service.NewRuntime(service.Options{Name: name, StopTimeout: servicetest.Patience})
	d := stage.Deps{Kafka: w.kafka, Pool: w.pool, Sources: set, Runtime: rt}
	var tuning puller.Tuning
	settings.Defaults(&tuning)
	tuning.PollEvery, tuning.AllowPrivate = 50*time.Millisecond, true
	if w.quiet {
		tuning.ReconcileAt = "never"
	}
	p, err := puller.New(d, puller.Options{Tuning: tuning, Setting: func(string) settings.SourceSetting {
		return settings.SourceSetting{APIKey: key, APIURL: w.url}
	}})
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- rt.Group(p.Components()...).Run(ctx) }()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); require.NoError(w.t, <-done) }) }
	w.t.Cleanup(stop)
	return stop, rt
}

// comes waits until so many different events are in the raw topic.
func (w *world) comes(events int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), servicetest.Patience)
	defer cancel()
	for len(w.seen) < events {
		fetches := w.client.PollFetches(ctx)
		require.NoError(w.t, fetches.Err(), "%d of %d events", len(w.seen), events)
		for _, rec := range fetches.Records() {
			w.seen[string(rec.Value)]++
			if stream.ReadRaw(rec).Mode == source.ModePoll {
				w.seen[string(rec.Value)] += 1000
			}
		}
	}
}

func (w *world) strings(sql string) (got []string) {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), sql)
	require.NoError(w.t, err)
	defer rows.Close()
	for rows.Next() {
		var one string
		require.NoError(w.t, rows.Scan(&one))
		got = append(got, one)
	}
	require.NoError(w.t, rows.Err())
	return got
}

// What the vendor never pushes comes by polls, over a replica that ends, and one checkpoint is kept.
func TestPolls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range 150 {
		w.add(n, time.Now().Add(-time.Hour).Add(time.Duration(n)*time.Second))
	}
	stop, _ := w.replica("one")
	stopOther, _ := w.replica("other")
	w.comes(150)
	w.add(150, time.Now().Add(-time.Second))
	w.comes(151)
	require.Equal(t, []string{"stripe events poll"}, w.strings("SELECT source || ' ' || stream || ' ' || mode FROM pull_checkpoints"))
	holders := w.strings("SELECT DISTINCT holder::text FROM pull_leases WHERE name = 'poll stripe events'")
	require.Len(t, holders, 1, "one of them polls")
	stop()
	stopOther()
	w.add(151, time.Now().Add(-time.Second))
	w.replica("third") // goes on where they were
	w.comes(152)
	require.Equal(t, []string{"1"}, w.strings("SELECT count(*)::text FROM pull_checkpoints"))
	require.NotEqual(t, holders, w.strings("SELECT DISTINCT holder::text FROM pull_leases WHERE name = 'poll stripe events'"))
}

// What the vendor has and nobody brought is found at night, and a vendor that fails shows.
func TestCompares(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.api.Inject(0, -1, stripeapi.HTML)
	_, rt := w.replica("one")
	failures := func() bool {
		families, err := rt.Registry.Gather()
		require.NoError(t, err)
		return slices.ContainsFunc(families, func(f *dto.MetricFamily) bool {
			return f.GetName() == "throughline_puller_failures_total" && len(f.GetMetric()) > 0
		})
	}
	require.Eventually(t, failures, servicetest.Patience, 20*time.Millisecond)
	require.Eventually(t, func() bool { // the newest may be under way
		runs, err := pull.NewStore(w.pool).List(t.Context(), pull.Filter{Limit: 100})
		require.NoError(t, err)
		return slices.ContainsFunc(runs, func(p pull.Pull) bool {
			return p.Status == "failed" && strings.Contains(p.Error, "a page of HTML or XML instead of JSON")
		})
	}, servicetest.Patience, 20*time.Millisecond)
	require.Eventually(t, func() bool {
		return slices.Equal([]string{"failed"}, w.strings("SELECT status FROM reconcile_reports"))
	}, servicetest.Patience, 20*time.Millisecond, "it is not tried again and again")
}

func TestWhatIsWrong(t *testing.T) {
	t.Parallel()
	var tuning puller.Tuning
	settings.Defaults(&tuning)
	require.NoError(t, tuning.Validate())
	tuning.ReconcileAt = "never"
	require.NoError(t, tuning.Validate())
	wrong := puller.Tuning{ReconcileAt: "25:00"}.Validate()
	for _, flag := range []string{"--poll-every", "--poll-since", "--reconcile-at", "--reconcile-days"} {
		require.ErrorContains(t, wrong, flag)
	}
}
