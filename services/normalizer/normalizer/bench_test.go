package normalizer_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// benchCustomers is how many accounts the benchmarks' database has, each with a
// link of a Stripe customer and of a Zendesk organization, and half of them
// with one of a HubSpot contact.
const benchCustomers = 4_000

// BenchmarkTransform is what a normalizer does for one full batch of 5,000
// events between polling and producing.
func BenchmarkTransform(b *testing.B) {
	n := newNormalizer(b)
	benchLinks(b, n.pool)
	batch := benchBatch(b, 5_000)
	b.ReportAllocs()
	b.SetBytes(int64(bytesOf(batch) / len(batch)))
	for b.Loop() {
		out, err := n.Transform(b.Context(), batch)
		require.NoError(b, err)
		require.Len(b, out, len(batch))
	}
	perRecord := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / float64(len(batch))
	b.ReportMetric(perRecord, "ns/record")
	b.ReportMetric(1e9/perRecord, "records/s")
}

// BenchmarkDescribe is the part of Transform that one record costs alone: check
// and describe.
func BenchmarkDescribe(b *testing.B) {
	for _, name := range []string{"stripe", "hubspot", "zendesk"} {
		src, _ := catalog.Set().Find(name)
		var values [][]byte
		for _, rec := range benchBatch(b, 600) {
			if rec.Topic == stream.RawTopic(name) {
				values = append(values, rec.Value)
			}
		}
		b.Run("check/"+name, func(b *testing.B) {
			b.ReportAllocs()
			var doc rawjson.Doc
			for i := 0; b.Loop(); i++ {
				_, err := doc.Parse(values[i%len(values)])
				require.NoError(b, err)
			}
		})
		b.Run("describe/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, _, err := source.Keyed(src, source.Record{Value: values[i%len(values)], ReceivedAt: time.Now()})
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkResolve is the one query of a batch without all else.
func BenchmarkResolve(b *testing.B) {
	n := newNormalizer(b)
	benchLinks(b, n.pool)
	r, err := resolve.New(n.pool, allRules)
	require.NoError(b, err)
	var references [][]source.Reference
	for _, rec := range benchBatch(b, 5_000) {
		name, _ := stream.SourceOfTopic(rec.Topic)
		src, _ := catalog.Set().Find(name)
		_, ev, err := source.Keyed(src, source.Record{Value: rec.Value, ReceivedAt: time.Now()})
		require.NoError(b, err)
		references = append(references, ev.References)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, err := r.Resolve(b.Context(), references)
		require.NoError(b, err)
	}
}

func benchLinks(b *testing.B, pool *pgxpool.Pool) {
	b.Helper()
	_, err := pool.Exec(b.Context(), `WITH made AS (
		INSERT INTO accounts (id, name, domain)
		SELECT gen_random_uuid(), 'Account ' || i, 'company' || i || '.example' FROM generate_series(1, $1::int) AS i RETURNING id, split_part(name, ' ', 2) AS i)
		INSERT INTO account_links (source, tenant, kind, external_id, account_id, learned, created_by)
		SELECT s.source, s.tenant, s.kind, s.prefix || i, id, 'operator', 'test'
		FROM made, (VALUES ('stripe', '', 'customer', 'cus_'), ('hubspot', '62515', 'contact', ''), ('zendesk', '12514403', 'organization', '')) AS s (source, tenant, kind, prefix)
		WHERE s.source <> 'hubspot' OR i::int % 2 = 0`, benchCustomers)
	require.NoError(b, err)
	_, err = pool.Exec(b.Context(), "VACUUM ANALYZE accounts, account_links")
	require.NoError(b, err)
}

// benchBatch makes n raw records of Stripe, HubSpot and Zendesk in turn, in the
// vendors' own form, about 1 KB each but for HubSpot's.
func benchBatch(b *testing.B, n int) []*kgo.Record {
	b.Helper()
	stripe := body(b, "stripe", "invoice_paid.json")
	zendesk := body(b, "zendesk", "ticket_created.json")
	batch := make([]*kgo.Record, 0, n)
	for i := range n {
		customer := i*7919%benchCustomers + 1
		switch i % 3 {
		case 0:
			value := bytes.ReplaceAll(stripe, []byte("cus_Tz1Acme"), fmt.Appendf(nil, "cus_%d", customer))
			batch = append(batch, newRecord("stripe", bytes.ReplaceAll(value, []byte("evt_1SAa0001"), fmt.Appendf(nil, "evt_%09d", i))))
		case 1:
			batch = append(batch, newRecord("hubspot", fmt.Appendf(nil, `{"eventId":%d,"subscriptionId":138,"portalId":62515,"appId":54,"occurredAt":%d,"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":%d,"changeSource":"CRM","propertyName":"lifecyclestage","propertyValue":"customer","isSensitive":false}`,
				i, 1760000000000+i, customer)))
		default:
			value := bytes.ReplaceAll(zendesk, []byte("8447346622462"), fmt.Append(nil, customer))
			batch = append(batch, newRecord("zendesk", bytes.ReplaceAll(value, []byte("5158"), fmt.Append(nil, i))))
		}
	}
	return slices.Clip(batch)
}

func bytesOf(batch []*kgo.Record) (n int) {
	for _, rec := range batch {
		n += len(rec.Value)
	}
	return n
}
