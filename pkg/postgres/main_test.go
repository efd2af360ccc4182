package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

// start is when the first of eventRows occurred.
var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// eventRows makes rows from to to-1, each a second after the one before, of one account.
func eventRows(from, to int) []postgres.Row {
	rows := make([]postgres.Row, 0, to-from)
	for i := from; i < to; i++ {
		rows = append(rows, postgres.Row{
			AccountID:     account(1),
			EventType:     "invoice.paid",
			Source:        "stripe",
			SourceEventID: fmt.Sprintf("evt_%06d", i),
			Payload:       fmt.Appendf(nil, `{"id": "evt_%06d", "amount": %d, "text": "payload of some length %d"}`, i, i, i*7919),
			OccurredAt:    start.Add(time.Duration(i) * time.Second),
			IngestedAt:    start.Add(time.Duration(i)*time.Second + 300*time.Millisecond),
			Origin: postgres.Origin{
				Reference: fmt.Sprintf("stripe:customer:cus_%d", i%10), Rule: "links", Delivery: "webhook",
				RawTopic: "raw.stripe", RawPartition: int32(i % 4), RawOffset: int64(i), RawIndex: -1,
			},
		})
	}
	return rows
}

func account(n byte) uuid.UUID { return uuid.UUID{15: n, 6: 0x40, 8: 0x80} }

func upsert(t *testing.T, w *postgres.Writer, rows []postgres.Row) postgres.Result {
	t.Helper()
	result, err := w.Upsert(t.Context(), rows)
	require.NoError(t, err)
	return result
}

// setting gives a setting of the session that answers.
func setting(t *testing.T, pool *pgxpool.Pool, name string) (value string) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&value))
	return value
}
