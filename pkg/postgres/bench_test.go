package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// benchRows makes distinct events of about 1 KB, of four sources and 5,000 accounts.
func benchRows(from, n int) []postgres.Row {
	rows := make([]postgres.Row, n)
	for i := range rows {
		k := from + i
		random := rand.New(rand.NewPCG(uint64(k), 7))
		customer := random.IntN(5000)
		name := []string{"stripe", "hubspot", "zendesk", "intercom"}[k%4]
		id := fmt.Sprintf("evt_%x", random.Uint64())
		rows[i] = postgres.Row{
			AccountID: uuid.UUID{byte(customer), byte(customer >> 8), 15: 1}, Source: name, SourceEventID: id,
			EventType:  []string{"invoice.paid", "contact.created", "ticket.replied", "conversation.replied"}[k%4],
			OccurredAt: start.Add(time.Duration(k) * time.Second), IngestedAt: start.Add(time.Duration(k+1) * time.Second),
			Origin: postgres.Origin{
				Reference: fmt.Sprintf("%s:customer:cus_%d", name, customer), Rule: "links", Delivery: "webhook",
				RawTopic: "raw." + name, RawPartition: int32(k % 12), RawOffset: int64(k), RawIndex: -1,
			},
			Payload: fmt.Appendf(nil, `{"id":%q,"object":"event","api_version":"2025-08-27.basil","created":%d,"livemode":true,"request":{"id":"req_%x","idempotency_key":"%x-%x"},`+
				`"data":{"object":{"id":"in_%x","object":"invoice","account_country":"US","account_name":"Shop %d","amount_due":%d,"amount_paid":%d,"amount_remaining":0,`+
				`"attempt_count":1,"attempted":true,"auto_advance":false,"billing_reason":"subscription_cycle","collection_method":"charge_automatically","currency":"usd",`+
				`"customer":"cus_%d","customer_email":"billing-%d@account-%d.example","hosted_invoice_url":"https://invoice.stripe.com/i/acct_1/%x","number":"A-%d","status":"paid",`+
				`"subscription":"sub_%x","total":%d,"period_end":%d,"period_start":%d,"lines":{"object":"list","has_more":false,"data":[{"id":"il_%x","amount":%d,"description":"1 × plan %d"}]}}}}`,
				id, k, random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64(), customer, k, k, customer, k, customer, random.Uint64(), k, random.Uint64(), k, k, k+5, random.Uint64(), k, k%50),
		}
	}
	return rows
}

// BenchmarkWriter writes batches of 2,000 by three ways in turn, each to a database of its own with all indexes, and
// compares their rates: COPY into a session's temporary table and an INSERT from there, one INSERT of arrays by hand
// (both without origins), and the Writer. Run it with -benchtime 20x; on a busy machine only the ratios mean much.
func BenchmarkWriter(b *testing.B) {
	const size = 2000
	ways := []struct {
		name  string
		write func(context.Context, *pgxpool.Conn, []postgres.Row) error
		pool  *pgxpool.Pool
		conn  *pgxpool.Conn
		took  time.Duration
	}{{name: "copy", write: copyBatch}, {name: "insert", write: insertByHand}, {name: "writer"}}
	for i := range ways {
		w := &ways[i]
		w.pool = postgrestest.New(b)
		if w.write == nil {
			writer := postgres.NewWriter(w.pool)
			w.write = func(ctx context.Context, _ *pgxpool.Conn, rows []postgres.Row) error {
				_, err := writer.Upsert(ctx, rows)
				return err
			}
		}
		var err error
		w.conn, err = w.pool.Acquire(b.Context())
		require.NoError(b, err)
		defer w.conn.Release()
		_, err = w.conn.Exec(b.Context(), `CREATE TEMPORARY TABLE batch (account_id UUID, event_type TEXT, source TEXT, source_event_id TEXT,
			payload JSONB, occurred_at TIMESTAMPTZ, ingested_at TIMESTAMPTZ) ON COMMIT DELETE ROWS`)
		require.NoError(b, err)
	}
	for n := 0; b.Loop(); n++ {
		rows := benchRows(n*size, size)
		for i := range ways {
			w := &ways[(i+n)%len(ways)]
			began := time.Now()
			require.NoError(b, w.write(b.Context(), w.conn, rows))
			w.took += time.Since(began)
		}
	}
	rate := func(i int) float64 { return float64(b.N*size) / ways[i].took.Seconds() }
	for i := range ways {
		b.ReportMetric(rate(i), ways[i].name+"-rows/s")
	}
	b.ReportMetric(rate(2)/rate(0), "writer/copy")
	b.ReportMetric(rate(2)/rate(1), "writer/insert")
}

func copyBatch(ctx context.Context, conn *pgxpool.Conn, rows []postgres.Row) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"batch"}, []string{"account_id", "event_type", "source", "source_event_id", "payload", "occurred_at", "ingested_at"},
			pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
				r := &rows[i]
				return []any{r.AccountID, r.EventType, r.Source, r.SourceEventID, r.Payload, r.OccurredAt, r.IngestedAt}, nil
			}))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
			SELECT * FROM batch ORDER BY source COLLATE "C", source_event_id COLLATE "C" ON CONFLICT (source, source_event_id) DO NOTHING`)
		return err
	})
}

func insertByHand(ctx context.Context, conn *pgxpool.Conn, rows []postgres.Row) error {
	n := len(rows)
	accounts, types, sources, ids := make([]uuid.UUID, n), make([]string, n), make([]string, n), make([]string, n)
	payloads, occurred, ingested := make([][]byte, n), make([]time.Time, n), make([]time.Time, n)
	for i := range rows {
		r := &rows[i]
		accounts[i], types[i], sources[i], ids[i] = r.AccountID, r.EventType, r.Source, r.SourceEventID
		payloads[i], occurred[i], ingested[i] = r.Payload, r.OccurredAt, r.IngestedAt
	}
	_, err := conn.Exec(ctx, `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[], $7::timestamptz[])
		ON CONFLICT (source, source_event_id) DO NOTHING`, accounts, types, sources, ids, payloads, occurred, ingested)
	return err
}
