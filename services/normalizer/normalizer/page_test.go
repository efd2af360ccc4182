package normalizer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// elementsOf are the events of pages, and what becomes of each ("" is acme's timeline).
var elementsOf = []struct{ value, reason string }{
	{stripeEvent("evt_0", `"customer":"cus_1"`), ""},
	{`{"id":"evt_1","id":"evt_1"}`, "malformed"},
	{stripeEvent("evt_2", `"customer":"cus_9"`), "unresolved_account"},
	{`7`, "malformed"},
	{"{\"id\":\"\xff\"}", "unstorable"},
	{stripeEvent("evt_5", `"customer":"cus_1","note":"`+strings.Repeat("x", rawjson.MaxRecordBytes)+`"`), "oversized"},
	{`[{}]`, "malformed"},
	{stripeEvent("evt_7", `"customer":"cus_1","n":1e999999`), "unstorable"},
	{stripeEvent("evt_8", `"customer":"cus_1"`), ""},
}

// A page is taken apart: each element is an event or a dead letter of its own, in order, and no other one's trouble.
func TestPages(t *testing.T) {
	t.Parallel()
	values := make([]string, len(elementsOf))
	for i, e := range elementsOf {
		values[i] = e.value
	}
	array := "\t[" + strings.Join(values, " ,\n") + "] "
	for name, page := range map[string]string{
		"an array":          array,
		"the vendor's list": `{"object":"list","has_more":true,"data":` + array + `,"url":"/v1/events"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNormalizer(t)
			n.link(t, "stripe", "customer", "cus_1", acme)
			before, after := newRecord("stripe", []byte(stripeEvent("evt_before", `"customer":"cus_1"`))), newRecord("stripe", []byte("garbage"))
			rec := newRecord("stripe", []byte(page), header(stream.HeaderQuarantineID, "7"))
			rec.Key = []byte("of the page")
			results := n.transform(t, before, rec, after)
			require.Len(t, results, len(elementsOf)+2)
			require.Equal(t, "evt_before", results[0].event.SourceEventID)
			require.EqualValues(t, -1, results[0].event.RawIndex)
			require.EqualValues(t, -1, results[len(results)-1].letter.RawIndex)
			for i, e := range elementsOf {
				got := results[i+1]
				if e.reason == "" {
					require.False(t, got.dead(), "%d: %s", i, got.letter.Error)
					require.Equal(t, e.value, string(got.event.Payload))
					require.Equal(t, []any{rec.Topic, rec.Partition, rec.Offset, int32(i)},
						[]any{got.event.RawTopic, got.event.RawPartition, got.event.RawOffset, got.event.RawIndex})
					require.Equal(t, "stripe:customer:cus_1", got.event.Reference)
					require.Empty(t, got.record.Headers, "it was the page that was released")
					continue
				}
				require.True(t, got.dead(), i)
				require.Equal(t, e.reason, got.letter.Reason, "%d: %s", i, got.letter.Error)
				require.Equal(t, e.value, string(got.letter.Value))
				require.Equal(t, []any{rec.Topic, rec.Partition, rec.Offset, int32(i)},
					[]any{got.letter.Topic, got.letter.Partition, got.letter.Offset, got.letter.RawIndex})
				if e.reason == "unresolved_account" {
					require.Equal(t, "stripe:customer:cus_9", string(got.record.Key), "the key of the record that it would be")
				} else {
					require.Equal(t, "of the page", string(got.record.Key))
				}
			}
			require.Equal(t, 1.0, n.total(t, "throughline_normalizer_pages_total", "source=stripe"))
			require.Zero(t, n.total(t, "throughline_normalizer_empty_pages_total"))
		})
	}
}

// A dead letter of an element is released as a raw record, which is then that event.
func TestAnElementsLetterIsARecordOfItsOwn(t *testing.T) {
	t.Parallel()
	n := newNormalizer(t)
	letter := n.transform(t, newRecord("stripe", []byte("["+stripeEvent("evt_1", `"customer":"cus_1"`)+"]")))[0].letter
	require.Equal(t, "unresolved_account", letter.Reason)
	n.link(t, "stripe", "customer", "cus_1", acme)
	rec := &kgo.Record{Topic: letter.Topic, Offset: 99, Key: letter.Key, Value: letter.Value, Timestamp: stored}
	for _, h := range letter.Headers {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	got := n.transform(t, rec)[0]
	require.False(t, got.dead(), got.letter.Error)
	require.Equal(t, "evt_1", got.event.SourceEventID)
	require.EqualValues(t, -1, got.event.RawIndex)
	require.EqualValues(t, 99, got.event.RawOffset)
}

func TestBoundsOfPages(t *testing.T) {
	t.Parallel()
	list := func(count int, element string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(element+",", count), ",") + "]"
	}
	small := stripeEvent("evt_1", `"customer":"cus_1"`)
	for name, tt := range map[string]struct {
		page    string
		letters int
		says    string
	}{
		"empty":                     {"[ ]", 0, ""},
		"an empty list":             {`{"object":"list","data":[]}`, 0, ""},
		"a hundred of one byte":     {list(100, "1"), 100, "a JSON number"},
		"a hundred and one of them": {list(101, "1"), 1, "the page at raw.stripe/3 offset 41 has 101 elements, the bound is 100 for its 203 bytes"},
		"the most":                  {list(10_000, small), 10_000, "cus_1"},
		"one more":                  {list(10_001, small), 1, "has 10001 elements, the bound is 10000"},
		"too many bytes":            {list(9, `{"x":"`+strings.Repeat("x", 1_000_000)+`"}`), 1, "the bound is 8388608"},
		"not JSON at its end":       {"[" + small + ",{]", 1, "not valid JSON"},
		"another vendor's list":     {`{"results":[` + small + `]}`, 1, "not a Stripe event"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNormalizer(t)
			results := n.transform(t, newRecord("stripe", []byte(tt.page)))
			require.Len(t, results, tt.letters)
			for i, r := range results {
				require.True(t, r.dead())
				require.Contains(t, r.letter.Error, tt.says)
				want := int32(i)
				if tt.letters == 1 {
					want = -1
				}
				require.Equal(t, want, r.letter.RawIndex)
			}
			if tt.letters == 0 {
				require.Equal(t, 1.0, n.total(t, "throughline_normalizer_empty_pages_total", "source=stripe"))
			}
		})
	}
}

// Every vendor's own list, and an array for a source without one.
func TestListsOfEveryVendor(t *testing.T) {
	t.Parallel()
	n := newNormalizer(t)
	for source, page := range map[string]string{
		"stripe":  `{"object":"list","data":[%s]}`,
		"hubspot": `{"results":[%s]}`,
		"marketo": `{"requestId":"1","success":true,"result":[%s]}`,
		"looker":  `[%s]`,
	} {
		file := map[string]string{"stripe": "invoice_paid.json", "hubspot": "records/contact_created.json", "marketo": "records/email_opened.json", "looker": "records/event_row.json"}[source]
		value := string(body(t, source, file))
		alone := n.transform(t, newRecord(source, []byte(value)))[0]
		results := n.transform(t, newRecord(source, fmt.Appendf(nil, page, value)))
		require.Len(t, results, 1, source)
		require.Equal(t, alone.letter.SourceEventID, results[0].letter.SourceEventID)
		require.Equal(t, alone.event.SourceEventID, results[0].event.SourceEventID)
		require.Zero(t, results[0].event.RawIndex+results[0].letter.RawIndex)
	}
}

// Pages go through the broker too: exactly once, with what the other records become.
func TestRunTakesPagesApart(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	n := newNormalizer(t, func(o *options) { o.Kafka = k.config })
	n.link(t, "stripe", "customer", "cus_1", acme)
	out := k.follow(t, n.decoder)
	n.start(t)
	var records []*kgo.Record
	for page := range 20 {
		var values []string
		for i := range 100 {
			at := page*100 + i
			if at%10 == 9 { // what requireExactlyOnce expects
				values = append(values, fmt.Sprintf(`"garbage_%06d"`, at))
			} else {
				values = append(values, stripeEvent(fmt.Sprintf("evt_%06d", at), `"customer":"cus_1"`))
			}
		}
		records = append(records, &kgo.Record{Topic: stream.RawTopic("stripe"), Value: []byte("[" + strings.Join(values, ",") + "]")})
	}
	require.NoError(t, stream.NewPublisher(k.client).Publish(t.Context(), records...))
	out.requireExactlyOnce(t, 2000)
}
