package normalizer_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/normalizer/normalizer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

const patience = servicetest.Patience

// stored is the broker's time of every record that newRecord makes.
var stored = time.Date(2025, 10, 9, 9, 0, 0, 0, time.UTC)

// The accounts of every test.
var (
	acme   = uuid.MustParse("7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01")
	globex = uuid.MustParse("7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a02")
)

// allRules are the resolution rules as a service has them by default.
var allRules = resolve.Config{RuleList: resolve.RuleNames()}

// testNormalizer is one under test, with what reads its output.
type testNormalizer struct {
	*normalizer.Normalizer
	deps    stage.Deps
	pool    *pgxpool.Pool
	runtime *service.Runtime
	decoder *event.Decoder
}

// options are what a test may change.
type options struct {
	stage.Deps
	normalizer.Options
}

// newNormalizer makes one on a fresh database with the accounts acme and globex.
func newNormalizer(t testing.TB, change ...func(*options)) *testNormalizer {
	t.Helper()
	registry, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(streamtest.Registry(t))})
	require.NoError(t, err)
	o := options{
		stage.Deps{Pool: newDatabase(t), Registry: registry, Sources: catalog.Set(), Runtime: service.NewRuntime(service.Options{Name: "normalizer"})},
		normalizer.Options{Resolve: allRules},
	}
	for _, c := range change {
		c(&o)
	}
	n, err := normalizer.New(t.Context(), o.Deps, o.Options)
	require.NoError(t, err)
	decoder, err := event.NewDecoder(o.Registry)
	require.NoError(t, err)
	return &testNormalizer{Normalizer: n, deps: o.Deps, pool: o.Pool, runtime: o.Runtime, decoder: decoder}
}

// start runs a normalizer and gives what stops it and waits.
func (n *testNormalizer) start(t *testing.T) (stop func()) {
	t.Helper()
	return servicetest.Run(t, n.deps.Group(n).Run)
}

// total adds up a metric over the series with these labels.
func (n *testNormalizer) total(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	return servicetest.Metric(t, n.runtime.Registry, name, labels...)
}

func newDatabase(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool := postgrestest.New(t)
	_, err := pool.Exec(t.Context(), "INSERT INTO accounts (id, name, domain) VALUES ($1, 'Acme Robotics', 'acme-robotics.example'), ($2, 'Globex', 'globex.example')", acme, globex)
	require.NoError(t, err)
	return pool
}

// link makes a link for any tenant.
func (n *testNormalizer) link(t testing.TB, source, kind, id string, account uuid.UUID) {
	t.Helper()
	_, err := n.pool.Exec(t.Context(), `INSERT INTO account_links (source, kind, external_id, account_id, learned, created_by)
		VALUES ($1, $2, $3, $4, 'operator', 'test')`, source, kind, id, account)
	require.NoError(t, err)
}

// result is one record of the output, decoded.
type result struct {
	record *kgo.Record
	event  event.AccountEvent // of account-events
	letter event.DeadLetter   // of the dead letter topic
}

func (r result) dead() bool { return r.record.Topic == stream.DeadLetters }

// transform runs one batch. What becomes of nothing is left out.
func (n *testNormalizer) transform(t testing.TB, batch ...*kgo.Record) []result {
	t.Helper()
	out, err := n.Transform(t.Context(), batch)
	require.NoError(t, err)
	return n.decode(t, slices.DeleteFunc(out, func(r *kgo.Record) bool { return r == nil }))
}

func (n *testNormalizer) decode(t testing.TB, records []*kgo.Record) []result {
	t.Helper()
	results := make([]result, len(records))
	for i, rec := range records {
		results[i].record = rec
		switch rec.Topic {
		case stream.AccountEvents:
			require.NoError(t, n.decoder.AccountEvent(context.Background(), rec.Value, &results[i].event))
		case stream.DeadLetters:
			require.NoError(t, n.decoder.DeadLetter(context.Background(), rec.Value, &results[i].letter))
		default:
			require.Fail(t, "a record for topic "+rec.Topic)
		}
	}
	return results
}

// newRecord is a raw record as a broker gives it, with the receiver's headers.
func newRecord(name string, value []byte, headers ...kgo.RecordHeader) *kgo.Record {
	return &kgo.Record{
		Topic: stream.RawTopic(name), Partition: 3, Offset: 41, Timestamp: stored, Key: []byte("key of " + name), Value: value,
		Headers: append([]kgo.RecordHeader{
			header(stream.HeaderSource, name),
			header(stream.HeaderReceivedAt, stored.Add(-time.Second).Format(time.RFC3339Nano)),
			header(stream.HeaderDelivery, "webhook"),
		}, headers...),
	}
}

func header(key, value string) kgo.RecordHeader {
	return kgo.RecordHeader{Key: key, Value: []byte(value)}
}

// body reads an example delivery of a source.
func body(t testing.TB, source, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "pkg", "source", source, "testdata", name))
	require.NoError(t, err)
	return text
}
