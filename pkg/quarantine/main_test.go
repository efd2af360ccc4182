package quarantine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

func newStore(t *testing.T) (*quarantine.Store, *pgxpool.Pool) {
	t.Helper()
	pool := postgrestest.New(t)
	return quarantine.NewStore(pool).WithSources(catalog.Set()), pool
}

var seen = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// letter is the dead letter of event n of an unknown customer, failed at this offset.
func letter(n int, offset int64) quarantine.Letter {
	return quarantine.Letter{
		DeadLetter: event.DeadLetter{
			Value: fmt.Appendf(nil, `{"id": "evt_%d"}`, n), Topic: "raw.stripe", Partition: 1, Offset: offset, Key: fmt.Appendf(nil, "stripe:customer:cus_%d", n),
			Headers: []event.Header{{Key: "tl-tenant", Value: []byte("acct_1")}, {Key: "odd\x00", Value: []byte{0xff}}},
			Reason:  "unresolved_account", Error: "no account", Attempts: 1, FirstSeen: seen,
			References: []source.Reference{{Source: "stripe", Kind: "customer", ID: fmt.Sprintf("cus_%d", n)}},
			Source:     "stripe", Tenant: "acct_1", Type: "invoice.paid", SourceEventID: fmt.Sprintf("evt_%d", n),
		},
		At: seen.Add(time.Duration(offset) * time.Second),
	}
}

func put(t *testing.T, s *quarantine.Store, letters ...quarantine.Letter) quarantine.PutResult {
	t.Helper()
	result, err := s.Put(t.Context(), letters)
	require.NoError(t, err)
	return result
}

func only(t *testing.T, s *quarantine.Store) quarantine.Record {
	t.Helper()
	list, err := s.List(t.Context(), quarantine.Filter{})
	require.NoError(t, err)
	require.Len(t, list, 1)
	return list[0]
}

func show(t *testing.T, s *quarantine.Store, id int64) quarantine.Detail {
	t.Helper()
	d, err := s.Show(t.Context(), id)
	require.NoError(t, err)
	return d
}

// setStatus does what the sink does.
func setStatus(t *testing.T, pool *pgxpool.Pool, id int64, status quarantine.Status) {
	t.Helper()
	_, err := pool.Exec(t.Context(), "UPDATE quarantine SET status = $2, status_by = 'sink' WHERE id = $1", id, string(status))
	require.NoError(t, err)
}
