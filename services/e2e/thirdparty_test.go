package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// strange is a record that somebody else published, and what becomes of it:
// the dead letter's reason, timeline, or ignored.
type strange struct {
	name    string
	record  kgo.Record
	becomes string
}

const (
	timeline = "timeline"
	ignored  = "ignored"
)

func strangeRecords(stripeEvent func(mark, more string) string) []strange {
	value := func(text string) kgo.Record { return kgo.Record{Value: []byte(text)} }
	odd := kgo.Record{Key: []byte{0xff, 0}, Value: []byte(stripeEvent("odd-headers", "")), Headers: []kgo.RecordHeader{
		{Key: stream.HeaderReceivedAt, Value: []byte("yesterday")}, {Key: stream.HeaderDelivery, Value: []byte("pigeon")},
		{Key: stream.HeaderTenant, Value: bytes.Repeat([]byte("t"), 10_000)}, {Key: stream.HeaderTraceparent, Value: []byte("00-zz")},
		{Key: stream.HeaderSource, Value: []byte("marketo")}, {Key: stream.HeaderQuarantineID, Value: []byte("-1")}, {Key: "", Value: nil},
		{Key: stream.HeaderAttempts, Value: []byte("99999999999999999999")}, {Key: stream.HeaderFirstSeen, Value: []byte{0}},
	}}
	foreign := kgo.Record{Value: []byte(stripeEvent("foreign-row", "")), Headers: []kgo.RecordHeader{{Key: stream.HeaderQuarantineID, Value: []byte("4611686018427387904")}}}
	padding := strings.Repeat("x", 900_000)
	return []strange{
		{"only a value", value(stripeEvent("only-a-value", "")), timeline},
		{"garbage", value("\x00\x01\xfe\xff garbage"), "malformed"},
		{"an empty value", kgo.Record{Value: []byte{}}, "malformed"},
		{"a tombstone", kgo.Record{}, ignored},
		{"a tombstone with a key", kgo.Record{Key: []byte("stripe:customer:cus_bad")}, ignored},
		{"a text", value(`"text"`), "malformed"},
		{"an array", value("[" + stripeEvent("in-an-array", "") + "]"), timeline},
		{"Avro instead of JSON", value("\x00\x00\x00\x00\x01abc"), "malformed"},
		{"odd headers", odd, timeline},
		{"a quarantine id of nobody's", foreign, timeline},
		{"900 KB of an event", value(stripeEvent("large-event", `,"x":"`+padding+`"`)), timeline},
		{"900 KB of garbage", value(padding), "malformed"},
		{"an id of 5,000 bytes", value(strings.Replace(stripeEvent("long-id", ""), `"id":"evt_`, `"id":"evt_`+strings.Repeat("i", 5000), 1)), "oversized"},
		{"from the year 2525", value(strings.Replace(stripeEvent("future", ""), `"created":1`, `"created":17`, 1)), "malformed"},
	}
}

// thirdParty publishes them all to one partition, an honest event behind each.
func thirdParty(t *testing.T, p *place, stripeEvent func(mark, more string) string) {
	t.Helper()
	client, err := stream.NewClient(stream.Config{Brokers: p.brokers}, stream.Deps{Name: "third-party"}, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	cases := strangeRecords(stripeEvent)
	var records []*kgo.Record
	for i := range cases {
		cases[i].record.Topic = stream.RawTopic("stripe")
		honest := &kgo.Record{Topic: stream.RawTopic("stripe"), Value: []byte(stripeEvent(fmt.Sprintf("behind-%d", i), ""))}
		records = append(records, &cases[i].record, honest)
	}
	for _, r := range records {
		require.NoError(t, client.ProduceSync(t.Context(), r).FirstErr())
	}
	p.tap.settle(patience)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, 1, p.count("SELECT count(*) FROM account_events WHERE "+markSQL+" = $1", fmt.Sprintf("behind-%d", i)), "the event behind it")
			reasons := p.strings(`SELECT reason FROM quarantine WHERE topic = $1 AND partition = $2 AND "offset" = $3`, c.record.Topic, c.record.Partition, c.record.Offset)
			marked := 0
			if mark := markOf(bytes.Trim(c.record.Value, "[]")); mark != "" {
				marked = p.count("SELECT count(*) FROM account_events WHERE "+markSQL+" = $1", mark)
			}
			switch c.becomes {
			case timeline:
				require.Empty(t, reasons)
				require.Equal(t, 1, marked)
			case ignored:
				require.Empty(t, reasons)
			default:
				require.Equal(t, []string{c.becomes}, reasons)
				require.Zero(t, marked)
			}
		})
	}
	require.Equal(t, string(source.ModeBackfill), p.deliveryOf("only-a-value"), "how an event without headers came")
}

// deliveryOf says how an event came, by what the normalizer made of it.
func (p *place) deliveryOf(mark string) string {
	p.tap.mu.Lock()
	defer p.tap.mu.Unlock()
	return string(p.tap.delivery[mark])
}
