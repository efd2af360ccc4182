package sink_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/sink/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

const patience = servicetest.Patience

var (
	acme     = uuid.MustParse("7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01")
	occurred = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
)

// world is all that a sink works on.
type world struct {
	pool     *pgxpool.Pool
	cluster  *kfake.Cluster
	kafka    stream.Config
	client   *kgo.Client
	registry *event.Registry
	schemas  *streamtest.UnreliableRegistry // behind registry
	encoder  *event.Encoder
	letters  *letters
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, postgrestest.New(t))
}

// newWorldOn is newWorld on a database that is there already.
func newWorldOn(t *testing.T, pool *pgxpool.Pool) *world {
	t.Helper()
	w := &world{pool: pool, cluster: streamtest.Fake(t)}
	w.exec(t, "INSERT INTO accounts (id, name) VALUES ($1, 'Acme') ON CONFLICT DO NOTHING", acme)
	w.kafka = stream.Config{Brokers: w.cluster.ListenAddrs()}
	var err error
	w.client, err = stream.NewClient(w.kafka, stream.Deps{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(w.client.Close)
	_, err = stream.ApplyTopics(t.Context(), w.client, stream.Names{}, nil, stream.TopicOptions{Partitions: 4, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	w.schemas = streamtest.Unreliable(t)
	w.registry, err = event.NewRegistry(event.RegistryConfig{URL: settings.URL(w.schemas.URL)})
	require.NoError(t, err)
	w.encoder, err = event.NewEncoder(t.Context(), w.registry, stream.AccountEvents, stream.DeadLetters)
	require.NoError(t, err)
	w.letters = followLetters(t, w)
	return w
}

// letters reads the dead letter topic until the test ends.
type letters struct {
	mu  sync.Mutex
	all []event.DeadLetter
}

func followLetters(t *testing.T, w *world) *letters {
	t.Helper()
	reader, err := stream.NewClient(w.kafka, stream.Deps{Name: "reader"}, kgo.ConsumeTopics(stream.DeadLetters), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	decoder, err := event.NewDecoder(w.registry)
	require.NoError(t, err)
	l := &letters{}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		for ctx.Err() == nil {
			reader.PollFetches(ctx).EachRecord(func(rec *kgo.Record) {
				var letter event.DeadLetter
				if err := decoder.DeadLetter(ctx, rec.Value, &letter); err != nil {
					letter.Error = "unreadable: " + err.Error()
				}
				l.mu.Lock()
				defer l.mu.Unlock()
				l.all = append(l.all, letter)
			})
		}
	})
	t.Cleanup(func() { cancel(); group.Wait(); reader.Close() })
	return l
}

func (l *letters) list() []event.DeadLetter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// ids gives the events in the dead letters, sorted.
func (l *letters) ids() []string {
	ids := []string{}
	for _, letter := range l.list() {
		ids = append(ids, letter.SourceEventID)
	}
	slices.Sort(ids)
	return ids
}

// events makes the events from to to-1.
func events(from, to int) (out []event.AccountEvent) {
	for i := from; i < to; i++ {
		out = append(out, event.AccountEvent{
			AccountID: acme, Type: "invoice.paid", Source: "stripe", SourceEventID: fmt.Sprintf("evt_%06d", i),
			Payload: fmt.Appendf(nil, `{"id":"evt_%06d"}`, i), OccurredAt: occurred.Add(time.Duration(i) * time.Second),
			IngestedAt: time.Now(), Delivery: source.ModeWebhook, Rule: "links", Reference: "stripe:customer:cus_1",
			RawTopic: "raw.stripe", RawPartition: 2, RawOffset: int64(i), RawIndex: -1, Livemode: true,
		})
	}
	return out
}

// refused makes an event of the type that refuse lets Postgres refuse.
func refused(i int) event.AccountEvent {
	ev := events(i, i+1)[0]
	ev.Type = "refused"
	return ev
}

// publish writes events, in order, to one partition.
func (w *world) publish(t testing.TB, list []event.AccountEvent, headers ...kgo.RecordHeader) {
	t.Helper()
	records := make([]*kgo.Record, len(list))
	for i := range list {
		value, err := w.encoder.AccountEvent(&list[i])
		require.NoError(t, err)
		records[i] = &kgo.Record{Topic: stream.AccountEvents, Key: []byte("one"), Value: value, Headers: headers}
	}
	w.publishRecords(t, records...)
}

func (w *world) publishRecords(t testing.TB, records ...*kgo.Record) {
	t.Helper()
	require.NoError(t, stream.NewPublisher(w.client).Publish(t.Context(), records...))
}

// to makes the records of events for a partition, for publishTo.
func (w *world) to(t testing.TB, partition int32, list ...event.AccountEvent) (records []*kgo.Record) {
	t.Helper()
	for i := range list {
		value, err := w.encoder.AccountEvent(&list[i])
		require.NoError(t, err)
		records = append(records, &kgo.Record{Topic: stream.AccountEvents, Partition: partition, Value: value})
	}
	return records
}

// publishTo is publishRecords to the partitions that the records name.
func (w *world) publishTo(t testing.TB, records ...*kgo.Record) {
	t.Helper()
	client, err := stream.NewClient(w.kafka, stream.Deps{Name: "manual"}, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, stream.NewPublisher(client).Publish(t.Context(), records...))
}

// rows counts the timeline.
func (w *world) rows(t testing.TB) (n int) {
	t.Helper()
	require.NoError(t, w.pool.QueryRow(context.Background(), "SELECT count(*) FROM account_events").Scan(&n))
	return n
}

func (w *world) requireRows(t testing.TB, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return w.rows(t) == n }, patience, 10*time.Millisecond)
}

func (w *world) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	_, err := w.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// refuse makes Postgres refuse the events that refused makes.
func (w *world) refuse(t testing.TB) {
	t.Helper()
	w.exec(t, "ALTER TABLE account_events ADD CONSTRAINT refusing CHECK (event_type <> 'refused')")
}

func (w *world) accept(t testing.TB) {
	t.Helper()
	w.exec(t, "ALTER TABLE account_events DROP CONSTRAINT refusing")
}

// committed adds up the group's committed offsets.
func (w *world) committed(t testing.TB) (sum int64) {
	t.Helper()
	offsets, err := kadm.NewClient(w.client).FetchOffsets(t.Context(), stream.Names{}.Group(stream.Sink))
	if errors.Is(err, kerr.GroupIDNotFound) {
		return 0 // nobody has joined yet
	}
	require.NoError(t, err)
	offsets.Each(func(o kadm.OffsetResponse) { sum += max(0, o.At) })
	return sum
}

// requireLetters waits for n dead letters, and sees that there are no more.
func (w *world) requireLetters(t testing.TB, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(w.letters.list()) >= n }, patience, 5*time.Millisecond)
	ends, err := kadm.NewClient(w.client).ListEndOffsets(t.Context(), stream.DeadLetters)
	require.NoError(t, err)
	written := int64(0)
	ends.Each(func(o kadm.ListedOffset) { written += o.Offset })
	require.Equal(t, int64(n), written)
}

// requireMembers waits until n sinks each have partitions.
func (w *world) requireMembers(t testing.TB, n int) {
	t.Helper()
	admin := kadm.NewClient(w.client)
	require.Eventually(t, func() bool {
		groups, err := admin.DescribeGroups(t.Context(), stream.Names{}.Group(stream.Sink))
		if err != nil || groups[stream.Names{}.Group(stream.Sink)].State != "Stable" || len(groups[stream.Names{}.Group(stream.Sink)].Members) != n {
			return false
		}
		for _, member := range groups[stream.Names{}.Group(stream.Sink)].Members {
			assigned, ok := member.Assigned.AsConsumer()
			if !ok || len(assigned.Topics) == 0 {
				return false
			}
		}
		return true
	}, patience, 20*time.Millisecond)
}

// runningSink is a sink under test.
type runningSink struct {
	runtime *service.Runtime
	stop    func()
}

// options are what a test may change.
type options struct {
	deps   stage.Deps
	tuning sink.Tuning
}

func (w *world) start(t testing.TB, change ...func(*options)) *runningSink {
	t.Helper()
	o := options{
		deps: stage.Deps{Kafka: w.kafka, Pool: w.pool, Registry: w.registry, Sources: catalog.Set(), Runtime: service.NewRuntime(service.Options{Name: "sink"})},
		// A batch is all that was published together.
		tuning: sink.Tuning{Batch: stage.Batch{Records: 500, Wait: 100 * time.Millisecond}, Writers: 1, BreakerRows: 10, BatchTimeout: 30 * time.Second},
	}
	for _, c := range change {
		c(&o)
	}
	s, err := sink.New(t.Context(), o.deps, sink.Options{Tuning: o.tuning})
	require.NoError(t, err)
	return &runningSink{runtime: o.deps.Runtime, stop: servicetest.Run(t, o.deps.Group(s).Run)}
}

func (s *runningSink) ready() bool { return servicetest.Ready(s.runtime) }

func (s *runningSink) value(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	return servicetest.Metric(t, s.runtime.Registry, name, labels...)
}
