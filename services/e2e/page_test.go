package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// A backfill job publishes a page of 5,000 events as one record, on Apache Kafka.
// Half of them are on the timeline already, and one is not an event.
func TestPage(t *testing.T) {
	t.Parallel()
	const elements, bad = 5000, 4321 // an odd place: it is none of the known ones
	p := newPlace(t, streamtest.Kafka(t, 1).Brokers())
	startEmbedded(t, p)
	account := p.account("Acme", "acme.example")
	p.link("stripe:customer:cus_bad", account)

	stripeEvent := stripeEvents(t)
	values := make([]string, elements)
	var known [][]byte
	for i := range values {
		values[i] = stripeEvent(fmt.Sprintf("page-%d", i), "")
		if i%2 == 0 {
			known = append(known, []byte(values[i]))
		}
	}
	values[bad] = `{"id":"evt_bad","object":"event","e2e":"page-bad"}`
	p.publish("stripe", known...)
	p.tap.settle(patience)
	require.Equal(t, len(known), p.onTimelines())
	before := p.strings("SELECT id || ' ' || source_event_id FROM account_events ORDER BY id")

	// Any client: ours would not make such a batch.
	job, err := kgo.NewClient(kgo.SeedBrokers(p.brokers...), kgo.ProducerBatchMaxBytes(9<<20))
	require.NoError(t, err)
	defer job.Close()
	page := &kgo.Record{Topic: stream.RawTopic("stripe"), Value: []byte(`{"object":"list","has_more":true,"data":[` + strings.Join(values, ",") + "]}")}
	require.NoError(t, job.ProduceSync(t.Context(), page).FirstErr())
	p.tap.settle(patience)

	require.Equal(t, elements-1, p.onTimelines())
	require.Equal(t, elements-1, p.count("SELECT count(DISTINCT "+markSQL+") FROM account_events WHERE account_id = $1", account))
	require.Equal(t, before, p.strings("SELECT id || ' ' || source_event_id FROM account_events ORDER BY id")[:len(before)], "what was there stays")
	require.Equal(t, elements-1-len(known), p.count(`SELECT count(*) FROM account_event_origins
		WHERE raw_topic = $1 AND raw_partition = $2 AND raw_offset = $3 AND raw_index % 2 = 1`, page.Topic, page.Partition, page.Offset), "each new event says its place")
	require.Equal(t, []string{fmt.Sprintf("malformed %d/%d/%d %s", page.Partition, page.Offset, bad, values[bad])},
		p.strings(`SELECT reason || ' ' || partition || '/' || "offset" || '/' || raw_index || ' ' || convert_from(raw, 'UTF8') FROM quarantine`))
}
