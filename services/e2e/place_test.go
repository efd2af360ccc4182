package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/throughline/cli"
)

// publicURL is what the vendors believe the receivers' address to be.
const publicURL = "https://hooks.example.com"

// secretOf is what a vendor signs with.
func secretOf(source string) string {
	if source == "billing" { // of Standard Webhooks, whose secrets have a form
		return "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
	}
	return "secret-of-" + source + "-0123456789abcdef"
}

func secrets() map[string]string {
	all := map[string]string{}
	for _, name := range catalog.Set().Names() {
		all[name] = secretOf(name)
	}
	return all
}

// secrets are what the senders of the place's sources sign with.
func (p *place) secrets() map[string]string {
	all := map[string]string{}
	for _, name := range p.sources.Names() {
		all[name] = secretOf(name)
	}
	return all
}

// place is what a system runs on, all of it the test's own.
type place struct {
	t        *testing.T
	brokers  []string
	sources  source.Set
	tenants  map[string]string // by source: the setting
	registry string
	refresh  time.Duration // of the schemas; 0: as it is by default
	postgres string        // URL
	direct   string        // URL past a pooler; "": there is none
	pool     *pgxpool.Pool
	kafka    *kgo.Client
	tap      *tap
	runtime  *service.Runtime // of the services in this process
}

// newPlace has topics and a schema, but no accounts yet.
func newPlace(t *testing.T, brokers []string) *place {
	t.Helper()
	return newPlaceOn(t, brokers, postgrestest.URL(t))
}

// newPlaceOn is newPlace on a database that is there already.
func newPlaceOn(t *testing.T, brokers []string, url string) *place {
	t.Helper()
	return newPlaceOf(t, brokers, url, catalog.Set())
}

// newPlaceOf is newPlaceOn for these sources.
func newPlaceOf(t *testing.T, brokers []string, url string, sources source.Set) *place {
	t.Helper()
	p := newBarePlace(t, brokers, url)
	p.sources = sources
	_, err := stream.ApplyTopics(t.Context(), p.kafka, stream.Names{}, sources.Names(), stream.TopicOptions{
		Partitions: 3, ReplicationFactor: -1, RawRetention: time.Hour, EventRetention: time.Hour,
	})
	require.NoError(t, err)
	p.tap = newTap(t, p)
	return p
}

// newBarePlace has neither topics nor a tap.
func newBarePlace(t *testing.T, brokers []string, url string) *place {
	t.Helper()
	p := &place{t: t, brokers: brokers, sources: catalog.Set(), tenants: map[string]string{}, registry: streamtest.Registry(t), postgres: url}
	p.pool = openPool(t, url)
	var err error
	p.kafka, err = stream.NewClient(stream.Config{Brokers: brokers}, stream.Deps{Name: "e2e"})
	require.NoError(t, err)
	t.Cleanup(p.kafka.Close)
	return p
}

func (p *place) store() *accounts.Store { return accounts.NewStore(p.pool, p.sources.Kinds) }

// openPool connects as the services do.
func openPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: settings.URL(url), MaxConns: 8}, "e2e")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// account adds one.
func (p *place) account(name, domain string) uuid.UUID {
	p.t.Helper()
	added, err := p.store().AddAccount(p.t.Context(), accounts.Account{Name: name, Domain: domain}, "e2e")
	require.NoError(p.t, err)
	return added.ID
}

// throughline runs a command line of the operator's, and gives what it printed.
func (p *place) throughline(args ...string) string {
	p.t.Helper()
	return p.throughlineExits(0, args...)
}

// throughlineExits is throughline for a command that ends with this exit code.
func (p *place) throughlineExits(exit int, args ...string) string {
	p.t.Helper()
	var out, errs bytes.Buffer
	code := cli.Run(p.t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(name string) (string, bool) {
		value, ok := map[string]string{
			"THROUGHLINE_POSTGRES_URL": p.postgres, "THROUGHLINE_KAFKA_BROKERS": strings.Join(p.brokers, ","), "THROUGHLINE_BY": "e2e",
			"THROUGHLINE_POSTGRES_DIRECT_URL": p.direct,
		}[name]
		return value, ok && value != ""
	}})
	require.Equal(p.t, exit, code, "throughline %s: %s", strings.Join(args, " "), errs.String())
	return out.String()
}

// strings gives the first column of a query as texts.
func (p *place) strings(sql string, args ...any) []string {
	p.t.Helper()
	got, err := p.queryStrings(p.t.Context(), sql, args...)
	require.NoError(p.t, err)
	return got
}

func (p *place) queryStrings(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := p.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// count gives the number that a query counts; -1 while the database is away.
func (p *place) count(sql string, args ...any) int {
	n := -1
	if err := p.pool.QueryRow(p.t.Context(), sql, args...).Scan(&n); err != nil {
		return -1
	}
	return n
}

// onTimelines is how many rows all timelines have.
func (p *place) onTimelines() int { return p.count("SELECT count(*) FROM account_events") }

// onTimelinesBecome waits until all timelines together have n rows.
func (p *place) onTimelinesBecome(n int) {
	p.t.Helper()
	await(p.t, patience, fmt.Sprintf("%d rows on the timelines", n), func() (bool, string) {
		got := p.onTimelines()
		return got == n, fmt.Sprint(got)
	})
}

// openBecomes waits until n records wait in quarantine.
func (p *place) openBecomes(n int) {
	p.t.Helper()
	await(p.t, patience, fmt.Sprintf("%d records in quarantine", n), func() (bool, string) {
		got := p.open()
		return got == n, fmt.Sprint(got)
	})
}

// open is how many records wait in quarantine.
func (p *place) open() int { return p.count("SELECT count(*) FROM quarantine WHERE status = 'open'") }

// publish writes values alone to a raw topic, as a third party's job would.
func (p *place) publish(source string, values ...[]byte) {
	p.t.Helper()
	var records []*kgo.Record
	for _, value := range values {
		records = append(records, &kgo.Record{Topic: stream.RawTopic(source), Value: value})
	}
	require.NoError(p.t, stream.NewPublisher(p.kafka).Publish(p.t.Context(), records...))
}

// sum is a metric's value over all its labels.
func (p *place) sum(name string) (total float64) {
	p.t.Helper()
	families, err := p.runtime.Registry.Gather()
	require.NoError(p.t, err)
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return total
}

// difference says how two sets of names differ, briefly; "" when they do not.
func difference(want, got map[string]int) string {
	var lines []string
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if want[name] != got[name] {
			lines = append(lines, fmt.Sprintf("%s: want %d, got %d", name, want[name], got[name]))
		}
	}
	if most := 20; len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("… and %d more", len(lines)-most))
	}
	return strings.Join(lines, "\n")
}
