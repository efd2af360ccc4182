package quarantine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	quarantineservice "github.com/throughline-dev/throughline/services/quarantine/quarantine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

const patience = servicetest.Patience

// seen is when the events of these tests first failed.
var seen = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// world is all that the quarantine service lives in.
type world struct {
	t       *testing.T
	pool    *pgxpool.Pool
	cluster *kfake.Cluster
	kafka   stream.Config
	client  *kgo.Client
	encoder *event.Encoder
	events  *event.Registry
	store   *quarantine.Store
	links   *accounts.Store
	runtime *service.Runtime

	mu       sync.Mutex
	replayed map[string][]*kgo.Record // by value, from the raw topics
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, pool: postgrestest.New(t), cluster: streamtest.Fake(t), replayed: map[string][]*kgo.Record{}}
	w.kafka = stream.Config{Brokers: w.cluster.ListenAddrs()}
	var err error
	w.events, err = event.NewRegistry(event.RegistryConfig{URL: settings.URL(streamtest.Registry(t))})
	require.NoError(t, err)
	w.encoder, err = event.NewEncoder(t.Context(), w.events, stream.AccountEvents, stream.DeadLetters)
	require.NoError(t, err)
	w.client, err = stream.NewClient(w.kafka, stream.Deps{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(w.client.Close)
	_, err = stream.ApplyTopics(t.Context(), w.client, stream.Names{}, catalog.Set().Names(), stream.TopicOptions{Partitions: 3, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	w.store, w.links = quarantine.NewStore(w.pool), accounts.NewStore(w.pool, kinds)
	return w
}

func kinds(name string) []source.Kind {
	s, ok := catalog.Set().Find(name)
	if !ok {
		return nil
	}
	return s.Profile().Kinds
}

// patient is a tuning in which nothing is found by sweeping: what is released was heard of.
func patient() quarantineservice.Tuning {
	return quarantineservice.Tuning{Batch: stage.Batch{Records: 500}, SweepEvery: time.Hour, StuckAfter: time.Hour}
}

// start runs a service and a reader of the raw topic. stop is called by the test's end at latest.
func (w *world) start(tuning quarantineservice.Tuning) (stop func()) {
	w.t.Helper()
	w.runtime = service.NewRuntime(service.Options{Name: "quarantine", Log: zaptest.NewLogger(w.t)})
	d := stage.Deps{Kafka: w.kafka, Pool: w.pool, Registry: w.events, Sources: catalog.Set(), Runtime: w.runtime}
	q, err := quarantineservice.New(w.t.Context(), d, quarantineservice.Options{Tuning: tuning})
	require.NoError(w.t, err)
	return servicetest.Run(w.t, d.Group(q).Run)
}

// readRaw collects what arrives in raw.stripe.
func (w *world) readRaw() {
	w.t.Helper()
	reader, err := stream.NewClient(w.kafka, stream.Deps{Name: "reader"}, kgo.ConsumeTopics(stream.RawTopic("stripe")), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(w.t, err)
	w.t.Cleanup(reader.Close)
	servicetest.Run(w.t, func(ctx context.Context) error {
		for {
			fetches := reader.PollFetches(ctx)
			if ctx.Err() != nil {
				return nil
			}
			w.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) { w.replayed[string(r.Value)] = append(w.replayed[string(r.Value)], r) })
			w.mu.Unlock()
		}
	})
}

func (w *world) replays(value []byte) []*kgo.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.replayed[string(value)]
}

func (w *world) distinctReplays() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.replayed)
}

// awaitReplay waits for the raw record of this value.
func (w *world) awaitReplay(value []byte) *kgo.Record {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return len(w.replays(value)) > 0 }, patience, 5*time.Millisecond, "no replay of %s", value)
	return w.replays(value)[0]
}

// awaitCount waits until that many records have the status.
func (w *world) awaitCount(status quarantine.Status, want int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		list, err := w.store.List(context.Background(), quarantine.Filter{Status: status, Limit: want + 1})
		return err == nil && len(list) == want
	}, patience, 10*time.Millisecond, "%d records %s", want, status)
}

// unresolved is the normalizer's letter of event n of customer n, failed at this offset.
func unresolved(n int, offset int64) event.DeadLetter {
	return event.DeadLetter{
		Value: fmt.Appendf(nil, `{"id":"evt_%d"}`, n), Topic: stream.RawTopic("stripe"), Offset: offset, Key: fmt.Appendf(nil, "stripe:customer:cus_%d", n),
		Headers: []event.Header{
			{Key: stream.HeaderSource, Value: []byte("stripe")}, {Key: stream.HeaderReceivedAt, Value: []byte("2026-11-02T08:59:59Z")},
			{Key: stream.HeaderDelivery, Value: []byte("webhook")}, {Key: stream.HeaderTenant, Value: []byte("acct_1")},
		},
		Reason: "unresolved_account", Error: "no account", FirstSeen: seen, Attempts: 1,
		References: []source.Reference{{Source: "stripe", Kind: "customer", ID: fmt.Sprintf("cus_%d", n)}},
		Source:     "stripe", Tenant: "acct_1", Type: "invoice.paid", SourceEventID: fmt.Sprintf("evt_%d", n),
	}
}

// deadLetter publishes dead letters.
func (w *world) deadLetter(letters ...event.DeadLetter) {
	w.t.Helper()
	var records []*kgo.Record
	for _, l := range letters {
		value, err := w.encoder.DeadLetter(&l)
		require.NoError(w.t, err)
		records = append(records, &kgo.Record{Topic: stream.DeadLetters, Key: l.Key, Value: value})
	}
	require.NoError(w.t, stream.NewPublisher(w.client).Publish(context.Background(), records...))
}

// account adds one.
func (w *world) account(name string) uuid.UUID {
	w.t.Helper()
	a, err := w.links.AddAccount(context.Background(), accounts.Account{Name: name}, "test")
	require.NoError(w.t, err)
	return a.ID
}

// link links customer n.
func (w *world) link(n int, account uuid.UUID) error {
	_, err := w.links.AddLink(context.Background(), accounts.Link{
		Reference: source.Reference{Source: "stripe", Kind: "customer", ID: fmt.Sprintf("cus_%d", n)}, AccountID: account, CreatedBy: "test"})
	return err
}

// errBrokerDown makes the broker drop the connection.
var errBrokerDown = errors.New("the broker is down")

// value adds up a metric over the series with these labels.
func (w *world) value(name string, labels ...string) float64 {
	w.t.Helper()
	return servicetest.Metric(w.t, w.runtime.Registry, name, labels...)
}
