package resolve_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// fill makes n accounts, each with a domain and a link of a Stripe and a HubSpot id.
func fill(tb testing.TB, pool *pgxpool.Pool, n int) {
	tb.Helper()
	_, err := pool.Exec(tb.Context(), `WITH made AS (
		INSERT INTO accounts (id, name, domain)
		SELECT gen_random_uuid(), 'Account ' || i, 'company' || i || '.example' FROM generate_series(1, $1::int) AS i RETURNING id, name)
		INSERT INTO account_links (source, tenant, kind, external_id, account_id, learned, created_by)
		SELECT s.source, s.tenant, s.kind, split_part(name, ' ', 2), id, 'operator', 'test'
		FROM made, (VALUES ('stripe', '', 'customer'), ('hubspot', '62515', 'contact')) AS s (source, tenant, kind)`, n)
	require.NoError(tb, err)
}

// mixed makes n events as a normalizer meets them: three references each, of which one leads somewhere.
func mixed(n, accounts int) [][]source.Reference {
	batch := make([][]source.Reference, n)
	for i := range batch {
		id := fmt.Sprint(i*7919%accounts + 1)
		batch[i] = []source.Reference{
			{Source: "stripe", Kind: "invoice", ID: "in_" + id},
			{Source: "stripe", Kind: "customer", ID: id},
			{Source: "stripe", Kind: source.KindEmail, ID: "kim@company" + id + ".example"},
		}
		if i%2 == 0 {
			batch[i] = []source.Reference{
				{Source: "hubspot", Tenant: "62515", Kind: "deal", ID: id},
				{Source: "hubspot", Tenant: "62515", Kind: "contact", ID: id},
				{Source: "hubspot", Kind: source.KindEmail, ID: "kim@company" + id + ".example"},
			}
		}
	}
	return batch
}

func BenchmarkResolve(b *testing.B) {
	for _, analyzed := range []bool{false, true} {
		b.Run(fmt.Sprintf("analyzed=%v", analyzed), func(b *testing.B) {
			const accounts = 100_000
			pool := postgrestest.New(b)
			fill(b, pool, accounts)
			if analyzed {
				_, err := pool.Exec(b.Context(), "VACUUM ANALYZE accounts, account_links")
				require.NoError(b, err)
			}
			r := resolve.Default(pool)
			for _, size := range []int{500, 5_000} {
				batch := mixed(size, accounts)
				b.Run(fmt.Sprint(size), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						out, err := r.Resolve(b.Context(), batch)
						require.NoError(b, err)
						require.True(b, out[0].Found)
					}
				})
			}
		})
	}
}
