package drift_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/shape"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/drift/drift"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

const patience = servicetest.Patience

// world is all that the service lives in.
type world struct {
	t       testing.TB
	pool    *pgxpool.Pool
	address string
	store   *postgres.Drift
	cluster *kfake.Cluster
	kafka   stream.Config
	client  *kgo.Client
	n       int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	address := postgrestest.URL(t)
	pool, err := pgxpool.New(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w := &world{t: t, pool: pool, address: address, cluster: streamtest.Fake(t)}
	w.store, w.kafka = postgres.NewDrift(w.pool), stream.Config{Brokers: w.cluster.ListenAddrs()}
	w.client, err = stream.NewClient(w.kafka, stream.Deps{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(w.client.Close)
	_, err = stream.ApplyTopics(t.Context(), w.client, stream.Names{}, catalog.Set().Names(), stream.TopicOptions{Partitions: 3, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	return w
}

func (w *world) deps(pool *pgxpool.Pool) stage.Deps {
	return stage.Deps{Kafka: w.kafka, Pool: pool, Sources: catalog.Set(), Runtime: service.NewRuntime(service.Options{Name: "drift", Log: zaptest.NewLogger(w.t)})}
}

func (w *world) new(pool *pgxpool.Pool) (*drift.Drift, stage.Deps) {
	d := w.deps(pool)
	return drift.New(d, drift.Options{Tuning: drift.Tuning{
		Batch: stage.Batch{Records: 1000, Wait: 20 * time.Millisecond}, LearnEvents: 100, MaxTypes: 20, MaxPaths: 300, MemoryPaths: 2000, SilenceEvery: time.Second,
	}}), d
}

// invoices makes records of Stripe's, with these replacements.
func (w *world) invoices(count int, replace ...string) (batch []*kgo.Record) {
	for range count {
		w.n++
		value := fmt.Sprintf(`{"id":"evt_%06d","object":"event","api_version":"2025-09-30","created":1760000000,"type":"invoice.paid","livemode":true,
			"data":{"object":{"id":"in_%06d","object":"invoice","customer":"cus_Acme","customer_email":"billing@acme.example","amount_paid":4200}}}`, w.n, w.n)
		batch = append(batch, &kgo.Record{Topic: stream.RawTopic("stripe"), Key: fmt.Append(nil, w.n%7), Value: []byte(strings.NewReplacer(replace...).Replace(value)),
			Headers: []kgo.RecordHeader{{Key: stream.HeaderDelivery, Value: []byte("webhook")}}})
	}
	return batch
}

// placed gives records the places and times that a broker would, a minute apart.
func placed(batch []*kgo.Record, from int64) []*kgo.Record {
	for i, rec := range batch {
		rec.Offset, rec.Timestamp = from+int64(i), time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).Add(time.Duration(from+int64(i))*time.Minute)
	}
	return batch
}

func (w *world) publish(batch []*kgo.Record) {
	w.t.Helper()
	require.NoError(w.t, w.client.ProduceSync(w.t.Context(), batch...).FirstErr())
}

func (w *world) findings() (lines []string) {
	w.t.Helper()
	found, err := w.store.Findings(w.t.Context(), postgres.FindingQuery{})
	require.NoError(w.t, err)
	for _, f := range found {
		var readers []string
		for _, r := range f.Readers {
			readers = append(readers, r.Name)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %s: %s -> %s %s", f.State, f.EventType, f.Path, f.Change, f.Was, f.Is, strings.Join(readers, ","))))
	}
	return lines
}

var invoice = postgres.PayloadType{Source: "stripe", EventType: "invoice.paid"}

func (w *world) present(path string) int64 {
	w.t.Helper()
	paths, err := w.store.Shape(w.t.Context(), invoice)
	require.NoError(w.t, err)
	for _, p := range paths {
		if p.Path.Path == path {
			return p.Present
		}
	}
	return 0
}

// From the topic to a finding that names the event and who reads the field: the service
// runs with no more than the rights of its role, and two share the partitions.
func TestAFieldThatGoesIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.store.Expect(t.Context(), postgres.ReaderView, nil, []postgres.Expectation{
		{Reader: "public.revenue", Source: "stripe", Path: "data.object.amount_paid"}, {Reader: "public.other", Source: "zendesk", Path: "data"},
	}, "test"))
	role, err := pgxpool.New(t.Context(), postgrestest.Logins(t, w.address)[postgres.RoleDrift])
	require.NoError(t, err)
	t.Cleanup(role.Close)
	for range 2 {
		s, deps := w.new(role)
		servicetest.Run(t, deps.Group(s).Run)
	}
	w.publish(w.invoices(1500))
	require.Eventually(t, func() bool { return w.present("") == 1500 }, patience, 20*time.Millisecond)
	require.Empty(t, w.findings())
	odd := w.invoices(1, `,"amount_paid":4200`, "")
	w.publish(odd)
	require.Eventually(t, func() bool { return len(w.findings()) > 0 }, patience, 20*time.Millisecond)
	require.Equal(t, []string{"open invoice.paid data.object.amount_paid vanished: in each of 1500 events -> missing in 1 public.revenue"}, w.findings())
	found, err := w.store.Findings(t.Context(), postgres.FindingQuery{Read: true})
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("evt_%06d", w.n), found[0].EventID)
	require.Equal(t, postgres.RawPosition{Topic: "raw.stripe", Partition: odd[0].Partition, Offset: odd[0].Offset}, found[0].At)
}

// What comes again, after a batch whose commit was not heard of, is counted once; a
// topic that was made anew is counted again.
func TestABatchCountsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.new(w.pool)
	batch := placed(w.invoices(50), 0)
	require.NoError(t, s.Write(t.Context(), batch))
	require.NoError(t, s.Write(t.Context(), batch))
	another, _ := w.new(w.pool)
	require.NoError(t, another.Write(t.Context(), batch[20:]))
	require.Equal(t, int64(50), w.present("data.object.amount_paid"))
	require.NoError(t, another.Write(t.Context(), placed(w.invoices(10), 50)))
	require.NoError(t, s.Write(t.Context(), placed(w.invoices(10), 60)), "the other one has changed the totals")
	require.Equal(t, int64(70), w.present("data.object.amount_paid"))
	anew := placed(w.invoices(5), 100)
	for i, rec := range anew {
		rec.Offset = int64(i)
	}
	require.NoError(t, s.Write(t.Context(), anew))
	require.Equal(t, int64(75), w.present("data.object.amount_paid"))

	lost, cancel := contextWithout(t)
	cancel()
	require.Error(t, s.Write(lost, placed(w.invoices(10), 200)))
	require.NoError(t, s.Write(t.Context(), placed(w.invoices(10), 210)))
	require.Equal(t, int64(85), w.present("data.object.amount_paid"))
}

// However many read a batch, its events count in its order: which was first, which
// was last, and which one shows what is odd.
func TestABatchCountsInItsOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.new(w.pool)
	require.NoError(t, s.Write(t.Context(), placed(w.invoices(3000), 0)))
	paid := `,"amount_paid":4200`
	batch := slices.Concat(w.invoices(1500), w.invoices(1, paid, ""), w.invoices(700), w.invoices(800, `"in_`, `7,"was":"in_`))
	require.NoError(t, s.Write(t.Context(), placed(batch, 3000)))
	found, err := w.store.Findings(t.Context(), postgres.FindingQuery{})
	require.NoError(t, err)
	events := map[string]string{}
	for _, f := range found {
		events[f.Path+" "+string(f.Change)] = fmt.Sprint(f.EventID, " ", f.At.Offset)
	}
	require.Equal(t, map[string]string{
		"data.object.amount_paid vanished": "evt_004501 4500", "data.object.id type_changed": "evt_005202 5201", "data.object.was new": "evt_005202 5201",
	}, events)
	paths, err := w.store.Shape(t.Context(), invoice)
	require.NoError(t, err)
	for _, p := range paths {
		switch p.Path.Path {
		case "data.object.was":
			require.Equal(t, []int64{5201, 6001, 800}, []int64{p.FirstAt, p.LastAt, p.Present})
		case "data.object.amount_paid":
			require.Equal(t, []int64{0, 6001, 6000}, []int64{p.FirstAt, p.LastAt, p.Present})
		}
		require.Equal(t, "evt_006001", p.EventID, p.Path.Path)
	}
}

// Pages count as the events that they hold; what is no event, test data, a release or
// of no source counts as none.
func TestABatchOfAllSorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, deps := w.new(w.pool)
	var batch []*kgo.Record
	for range 100 {
		page, release := w.invoices(3), w.invoices(1)[0]
		value := slices.Concat([]byte("["), page[0].Value, []byte(",7,{},"), page[1].Value, []byte(","), page[2].Value, []byte("]"))
		release.Headers[0].Value = []byte("replay")
		batch = append(batch, &kgo.Record{Topic: stream.RawTopic("stripe"), Value: value, Headers: page[0].Headers}, release,
			&kgo.Record{Topic: stream.RawTopic("stripe")}, &kgo.Record{Topic: stream.RawTopic("stripe"), Value: []byte("{")},
			&kgo.Record{Topic: stream.RawTopic("nobody"), Value: []byte("{}")})
		batch = append(batch, w.invoices(1, `"livemode":true`, `"livemode":false`)...)
		batch = append(batch, w.invoices(2)...)
	}
	require.NoError(t, s.Write(t.Context(), placed(batch, 0)))
	require.Equal(t, int64(500), w.present("data.object.amount_paid"))
	count := func(name string) int { return int(servicetest.Metric(t, deps.Runtime.Registry, name)) }
	require.Equal(t, 500, count("throughline_drift_events_total"))
	require.Equal(t, 400, count("throughline_drift_unread_total"))
	require.NoError(t, s.Write(t.Context(), batch[:7]))
	require.Equal(t, 7, count("throughline_drift_again_total"))

	// A batch that failed counts when it comes again, not with the next of another source.
	_, err := w.pool.Exec(t.Context(), "ALTER TABLE payload_shapes RENAME TO away")
	require.NoError(t, err)
	tickets := placed([]*kgo.Record{{Topic: stream.RawTopic("zendesk"), Value: []byte("{}")}}, 0)
	require.Error(t, s.Write(t.Context(), slices.Concat(tickets, placed(w.invoices(1), 1000))))
	_, err = w.pool.Exec(t.Context(), "ALTER TABLE away RENAME TO payload_shapes")
	require.NoError(t, err)
	require.NoError(t, s.Write(t.Context(), placed(w.invoices(1), 1000)))
	require.Equal(t, []int{501, 400}, []int{count("throughline_drift_events_total"), count("throughline_drift_unread_total")})
	require.NoError(t, s.Write(t.Context(), tickets))
	require.Equal(t, []int{501, 401}, []int{count("throughline_drift_events_total"), count("throughline_drift_unread_total")})
}

// An event is plausible by the broker's clock, or by the receiver's where that one is ahead, as it is for the
// normalizer; and the identity that is kept of one is the normalizer's, in a page and by itself.
func TestWhoseClockCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, deps := w.new(w.pool)
	stored := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	at := func(created, received time.Duration) *kgo.Record {
		rec := w.invoices(1, "1760000000", fmt.Sprint(stored.Add(created).Unix()))[0]
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: stream.HeaderReceivedAt, Value: stored.Add(received).AppendFormat(nil, time.RFC3339)})
		return rec
	}
	ahead := at(50*time.Hour, 10*time.Hour)
	ahead.Value = slices.Concat([]byte("["), ahead.Value, []byte("]"))
	batch := placed([]*kgo.Record{at(0, 0), at(50*time.Hour, 0), at(47*time.Hour, -60*time.Hour), ahead, at(50*time.Hour, 10*time.Hour)}, 0)
	require.NoError(t, s.Write(t.Context(), batch))
	require.Equal(t, 4, int(servicetest.Metric(t, deps.Runtime.Registry, "throughline_drift_events_total")))
	require.Equal(t, 1, int(servicetest.Metric(t, deps.Runtime.Registry, "throughline_drift_unread_total")))
	paths, err := w.store.Shape(t.Context(), invoice)
	require.NoError(t, err)
	for _, p := range paths {
		require.Equal(t, "evt_000005", p.EventID, p.Path.Path)
	}
}

// The life of a finding: opened, acknowledged by a person, closed when it is over, and
// found anew.
func TestFindings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.new(w.pool)
	at := int64(0)
	write := func(batch []*kgo.Record) {
		t.Helper()
		require.NoError(t, s.Write(t.Context(), placed(batch, at)))
		at += int64(len(batch))
	}
	const email = `,"customer_email":"billing@acme.example"`
	write(w.invoices(3000))
	write(w.invoices(1, "4200", `"4200"`, `"livemode"`, `"new":{"field":1},"livemode"`))
	require.Equal(t, []string{
		"open invoice.paid new new:  -> object (object)",
		"open invoice.paid data.object.amount_paid type_changed: number (whole number) -> string (text like a number)",
	}, sorted(w.findings()))
	found, err := w.store.Findings(t.Context(), postgres.FindingQuery{Changes: []shape.Change{shape.TypeChanged}})
	require.NoError(t, err)
	f, err := w.store.Decide(t.Context(), found[0].ID, postgres.FindingAcknowledged, "ada", "Stripe said so")
	require.NoError(t, err)
	require.Equal(t, "ada", f.StateBy)
	write(w.invoices(1, email, ""))
	write(w.invoices(30, email, ""))
	require.Contains(t, w.findings(), "open invoice.paid data.object.customer_email vanished: in each of 3001 events -> missing in 1")
	write(w.invoices(5))
	require.Contains(t, w.findings(), "closed invoice.paid data.object.customer_email vanished: in each of 3001 events -> missing in 1")
	_, decisions, err := w.store.Finding(t.Context(), found[0].ID)
	require.NoError(t, err)
	require.Len(t, decisions, 2)

	// Hourly, and then for days not at all.
	silences, err := w.store.FindSilences(t.Context(), time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).Add(time.Duration(at)*time.Minute+100*time.Hour))
	require.NoError(t, err)
	require.Equal(t, int64(1), silences.Opened, w.findings())
	require.Contains(t, w.findings()[0], "open invoice.paid  silent: every minute or more often -> not seen since 2026-03-04")
	silences, err = w.store.FindSilences(t.Context(), time.Now().Add(1000*time.Hour))
	require.NoError(t, err)
	require.Zero(t, silences.Opened, "once")
	_, err = w.store.Decide(t.Context(), 1_000_000, postgres.FindingClosed, "ada", "")
	require.ErrorContains(t, err, "there is no finding 1000000")
}

// A sender that makes names and types up gets a bounded table, list and memory.
func TestHostileSenders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.new(w.pool)
	require.NoError(t, s.Write(t.Context(), placed(w.invoices(500), 0)))
	var batch []*kgo.Record
	for i := range 3000 {
		batch = append(batch, w.invoices(1, `"livemode"`, fmt.Sprintf(`"k%s":{"%[1]s":[{"x":1}]},"livemode"`, letters(i)), "invoice.paid", fmt.Sprintf("invoice.%s", letters(i/40)))...)
	}
	for i := range 300 {
		batch = append(batch, w.invoices(1, `"livemode"`, fmt.Sprintf(`"n%s":1,"livemode"`, letters(i)))...)
	}
	require.NoError(t, s.Write(t.Context(), placed(batch, 500)))
	var types, paths, findings int
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM payload_types), (SELECT max(n) FROM (SELECT count(*) AS n FROM payload_shapes GROUP BY type_id) AS by), (SELECT count(*) FROM shape_findings)").Scan(&types, &paths, &findings))
	require.Equal(t, 21, types, "20, and one for all others")
	require.LessOrEqual(t, paths, 301)
	require.LessOrEqual(t, findings, 100)
	for _, line := range w.findings() {
		require.NotContains(t, line, "@")
	}
}

// What a batch that failed made a map of is none until it comes again: its members stay, with all that was counted.
func TestAMapOfABatchThatFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.new(w.pool)
	named := func(from, to int) []*kgo.Record {
		var members []string
		for n := from; n < to; n++ {
			members = append(members, fmt.Sprintf("%q:1", letters(n)))
		}
		return w.invoices(1, `"customer":"cus_Acme"`, `"names":{`+strings.Join(members, ",")+`}`)
	}
	members := func() (n int) {
		paths, err := w.store.Shape(t.Context(), invoice)
		require.NoError(t, err)
		for _, p := range paths {
			if strings.HasPrefix(p.Path.Path, "data.object.names.") {
				n++
			}
		}
		return n
	}
	require.NoError(t, s.Write(t.Context(), placed(named(0, 200), 0)))
	_, err := w.pool.Exec(t.Context(), "ALTER TABLE payload_shapes RENAME TO away")
	require.NoError(t, err)
	folded := placed(named(200, 260), 10)
	require.Error(t, s.Write(t.Context(), folded))
	_, err = w.pool.Exec(t.Context(), "ALTER TABLE away RENAME TO payload_shapes")
	require.NoError(t, err)
	require.NoError(t, s.Write(t.Context(), placed(w.invoices(1), 5)))
	require.Equal(t, 200, members())
	require.NoError(t, s.Write(t.Context(), folded))
	require.Equal(t, 1, members())
	require.Equal(t, int64(250), w.present("data.object.names.*"), "what the names had that became it")
}
