package erase

import (
	"flag"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

var benchEvents = flag.Int("erase.events", 20_000, "events of the account that BenchmarkErasing erases")

// BenchmarkErasing erases an account of many events, of which each 50th has another reference, among as many of others,
// and a person of whom each of these events tells:
//
//	go test ./pkg/erase -run '^$' -bench Erasing -benchtime 1x -erase.events 1000000
func BenchmarkErasing(b *testing.B) {
	for _, what := range []string{"account", "person"} {
		b.Run(what, func(b *testing.B) {
			pool := postgrestest.New(b)
			acme, other := uuid.New(), uuid.New()
			exec := func(sql string, args ...any) {
				b.Helper()
				_, err := pool.Exec(b.Context(), sql, args...)
				require.NoError(b, err)
			}
			exec("INSERT INTO accounts (id, name, domain) VALUES ($1, 'Acme', 'acme.example'), ($2, 'Other', 'other.example')", acme, other)
			exec(`WITH e AS (INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
				SELECT CASE n % 2 WHEN 0 THEN $1::uuid ELSE $2 END, 'invoice.paid', 'stripe', 'evt_' || n, jsonb_build_object('id', 'evt_' || n, 'type', 'invoice.paid', 'object', 'event',
					'data', jsonb_build_object('object', jsonb_build_object('id', 'in_' || n, 'customer', 'cus_' || n % 2 || '_' || n / 100, 'amount_paid', n, 'customer_email',
						CASE n % 2 WHEN 0 THEN 'kim@acme.example' ELSE 'bob@other.example' END, 'lines', repeat('a line of an invoice ', 20)))), now() - n * interval '1 second', now()
				FROM generate_series(0, 2 * $3::int - 1) AS n RETURNING id, source_event_id)
				INSERT INTO account_event_origins SELECT id, 'stripe:customer:cus_' || n % 2 || '_' || n / 100, 'links', 'webhook', 'raw.stripe', 0, n, -1
				FROM (SELECT id, substr(source_event_id, 5)::int AS n FROM e) AS x`, acme, other, *benchEvents)
			exec("VACUUM ANALYZE account_events, account_event_origins")
			target := Target{Account: acme}
			if what == "person" {
				target = Target{References: []source.Reference{{Source: "email", Kind: "email", ID: "kim@acme.example"}}}
			}
			e := New(pool, catalog.Set())
			b.ResetTimer()
			_, err := e.Begin(b.Context(), target, "bench", "")
			require.NoError(b, err)
			begun := b.Elapsed()
			require.NoError(b, e.Run(b.Context(), nil))
			b.ReportMetric(float64(*benchEvents)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(begun.Seconds(), "s/begin")
			var left int
			require.NoError(b, pool.QueryRow(b.Context(), "SELECT count(*) FROM account_events").Scan(&left))
			require.Equal(b, *benchEvents, left, fmt.Sprint(what))
		})
	}
}
