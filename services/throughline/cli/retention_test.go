package cli_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

func TestRetention(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = streamtest.Embedded(t)[0]
	client, err := kgo.NewClient(kgo.SeedBrokers(sh.env["THROUGHLINE_KAFKA_BROKERS"]))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	sh.must("topics", "apply", "--sources", "stripe", "--raw-retention", "24h")
	require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "raw.stripe", Value: []byte("{}")}).FirstErr())
	_, err = sh.pool().Exec(t.Context(), `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		SELECT '00000000-0000-0000-0000-000000000001', 'invoice.paid', 'stripe', 'evt_' || n, '{}', now() - n * interval '1 year', now() FROM generate_series(1, 5) AS n`)
	require.NoError(t, err)
	sh.golden("retention", scrubTimes,
		[]string{"retention", "plan"},
		[]string{"retention", "plan", "--timeline-retention", "26280h", "--raw-retention", "24h", "--json"},
		[]string{"retention", "apply", "--timeline-retention", "1h", "--audit-retention", "24h"},
		[]string{"retention", "apply", "--timeline-retention", "26281h"},
		[]string{"retention", "apply", "--timeline-retention", "26281h", "--dry-run"},
		[]string{"retention", "apply", "--timeline-retention", "26281h", "--yes"},
		[]string{"retention", "apply", "--timeline-retention", "26281h", "--yes", "--json"},
	)
	// What is advised does it.
	wanted := []string{"retention", "plan", "--raw-retention", "48h", "--event-retention", "1000h"}
	advice := regexp.MustCompile("differs: `throughline ([^`]+)`").FindStringSubmatch(sh.must(wanted...))
	require.NotNil(t, advice)
	sh.must(append(words(advice[1]), "--sources", "stripe")...)
	require.NotContains(t, sh.must(wanted...), "differs")
}
