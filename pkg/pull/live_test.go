package pull

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Whether webhooks had begun is seen from the newest events of each type, by an index.
func TestMeetsLive(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	store := NewStore(pool)
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := pool.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	met := func(name string) bool {
		t.Helper()
		got, err := store.MeetsLive(t.Context(), Report{Progress: Progress{From: from, To: from.Add(time.Hour)}}, name, "", source.Stream{Name: "events"})
		require.NoError(t, err)
		return got
	}
	require.False(t, met("stripe"), "nothing is here")
	// 20,000 events of four types, a second apart, from a backfill.
	exec(`WITH e AS (INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
			SELECT gen_random_uuid(), 'type.' || n % 4, CASE n % 8 WHEN 0 THEN 'zendesk' ELSE 'stripe' END, 'evt_' || n, '{}', $1::timestamptz + n * interval '1 second' - interval '5 hours', now()
			FROM generate_series(1, 20000) n RETURNING id)
		INSERT INTO account_event_origins SELECT id, '', 'none', 'backfill', 'raw', 0, id, -1 FROM e`, from)
	require.False(t, met("stripe"), "none has come by a webhook")
	webhook := func(id string) {
		exec("UPDATE account_event_origins SET delivery = 'webhook' WHERE event_id = (SELECT id FROM account_events WHERE source_event_id = $1)", id)
	}
	webhook("evt_17999")
	require.False(t, met("stripe"), "before the period")
	webhook("evt_19999") // within the first hour, which evt_18001 begins
	require.True(t, met("stripe"))
	require.False(t, met("zendesk"), "another source's")
	exec(`INSERT INTO quarantine (dedup_key, reason, source, source_event_id, topic, partition, "offset", raw, status_by, first_seen, headers)
		VALUES ('x', 'unresolved_account', 'zendesk', 'x', 'raw.zendesk', 0, 0, '', 'test', $1, '[{"key": "tl-delivery", "value": "d2ViaG9vaw=="}]')`, from.Add(time.Minute))
	require.True(t, met("zendesk"), "in quarantine")

	exec("ANALYZE account_events, account_event_origins")
	rows, err := pool.Query(t.Context(), "EXPLAIN "+meetsLive, "stripe", from, from.Add(time.Hour), "[]", liveEvents, liveRecords)
	require.NoError(t, err)
	var plan strings.Builder
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		plan.WriteString(line + "\n")
	}
	require.NoError(t, rows.Err())
	require.NotContains(t, plan.String(), "Seq Scan on account_event")
}
