package cli_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/shape"
)

// The daily check names the view and the dashboard that read a field which is gone, and
// is content when that is acknowledged.
func TestDrift(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	_, err := sh.pool().Exec(t.Context(), `CREATE VIEW revenue AS SELECT account_id, (payload->'data'->'object'->>'amount_paid')::numeric AS amount FROM account_events WHERE source = 'stripe' AND event_type = 'invoice.paid'`)
	require.NoError(t, err)
	store, invoice := postgres.NewDrift(sh.pool()), postgres.PayloadType{Source: "stripe", EventType: "invoice.paid"}
	learned := shape.New(shape.Limits{})
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	write := func(body string, times int) {
		t.Helper()
		var doc rawjson.Doc
		event, err := doc.Parse([]byte(body))
		require.NoError(t, err)
		_, err = store.Settle(t.Context(), postgres.ShapeWork{
			Observe: func(map[postgres.Partition]postgres.RawProgress) ([]postgres.PayloadType, map[postgres.Partition]postgres.RawProgress) {
				for range times {
					at = at.Add(time.Minute)
					learned.Observe(event, at, 0)
				}
				return []postgres.PayloadType{invoice}, nil
			},
			Version: func(postgres.PayloadType) int64 { return 0 },
			Load:    func(_ postgres.PayloadType, stored []shape.Path) error { return learned.Load(stored) },
			Settle: func(postgres.PayloadType, int64) postgres.ShapeUpdate {
				s := learned.Settle(shape.Rules{})
				u := postgres.ShapeUpdate{Changed: s.Changed, Gone: s.Gone, Events: make([]string, len(s.Changed))}
				for _, odd := range s.Odd {
					u.Found = append(u.Found, postgres.NewFinding{Odd: odd, EventID: "evt_odd", At: postgres.RawPosition{Topic: "raw.stripe", Partition: 1, Offset: 77}})
				}
				return u
			},
		})
		require.NoError(t, err)
	}
	write(`{"id":"evt_1","data":{"object":{"amount_paid":4200,"customer_email":"kim@acme.com"}}}`, 2000)
	file := filepath.Join(t.TempDir(), "dashboards.yaml")
	require.NoError(t, os.WriteFile(file, []byte("dashboards:\n  - name: Churn risk\n    source: stripe\n    fields: {data.object.amount_paid: number}\n"), 0o600))
	sh.must("drift", "expect", file, "--by", "sam")
	sh.must("drift", "diff")
	write(`{"id":"evt_2","data":{"object":{"customer_email":"kim@acme.com"}}}`, 1)
	sh.golden("drift", scrubTimes,
		[]string{"drift", "diff"},
		[]string{"drift"},
		[]string{"drift", "--json"},
		[]string{"drift", "shape", "stripe", "invoice.paid"},
		[]string{"drift", "shape", "stripe", "invoice.piad"},
		[]string{"drift", "ack", "7"},
		[]string{"drift", "ack", "1", "--by", "sam", "--note", "Stripe said so"},
		[]string{"drift", "diff", "--no-learn"},
		[]string{"drift", "--state", "all"},
		[]string{"drift", "ack", "1", "--close", "--by", "sam", "--json"},
		[]string{"drift", "ack", "1", "--by", "sam"},
	)
}
