package normalizer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// described is what the timeline's reader sees of one event.
type described struct {
	account                uuid.UUID
	kind, id, tenant       string
	occurred               string
	subject, subjectRef    string // of the payload
	payloadIsTheVendorsOwn bool
}

// One event of each source, each found in another way.
var examples = []struct {
	source, file, rule string
	want               described
}{
	{"stripe", "invoice_paid.json", "links", described{acme, "invoice.paid", "evt_1SAa0001", "", "2025-10-09T08:53:20Z", "", "", true}},
	{"stripe", "checkout_guest.json", "links", described{acme, "checkout.session.completed", "evt_1SAa0007", "", "2025-10-09T08:53:20Z", "", "", true}},
	{"hubspot", "records/contact_created.json", "links", described{globex, "contact.created", "62515|contact.creation||901|1760000000123", "62515", "2025-10-09T08:53:20.123Z", "", "", true}},
	{"zendesk", "ticket_created_charged_twice.json", "links", described{globex, "ticket.created", "12514403:ticket:5159:created", "12514403", "2025-10-09T08:53:20.672717Z", "charged twice", "zen:ticket:5159", false}},
	{"zendesk", "ticket_comment_added.json", "links", described{globex, "ticket.replied", "12514403:comment:9876543210", "12514403", "2025-10-09T08:53:20.672717Z", "", "zen:ticket:5158", false}},
	{"intercom", "conversation_created_subject.json", "email", described{acme, "conversation.created", "a86dr8yl:conversation:137324500000001:created", "a86dr8yl", "2025-10-09T08:53:10Z", "billing question", "", false}},
	{"marketo", "records/email_opened.json", "links", described{globex, "email.opened", "102988", "", "2025-10-09T08:51:02Z", "", "", true}},
	{"looker", "records/event_row.json", "email", described{acme, "dashboard.created", "event:88001", "", "2025-10-09T08:50:01Z", "", "", true}},
}

func TestTransformResolves(t *testing.T) {
	t.Parallel()
	n := newNormalizer(t)
	n.link(t, "stripe", "customer", "cus_Tz1Acme", acme)
	n.link(t, "hubspot", "contact", "901", globex)
	n.link(t, "zendesk", "organization", "8447346622462", globex)
	n.link(t, "marketo", "lead", "5414087", globex)
	n.link(t, "stripe", "payment_intent", "pi_3SAa2", acme)

	var batch []*kgo.Record
	rules := map[string]int{}
	for _, e := range examples {
		batch = append(batch, newRecord(e.source, body(t, e.source, e.file)))
		rules[e.rule]++
	}
	results := n.transform(t, batch...)
	require.Len(t, results, len(batch))
	for i, e := range examples {
		t.Run(e.source+"/"+e.file, func(t *testing.T) {
			got := results[i]
			require.False(t, got.dead(), got.letter.Error)
			require.Equal(t, e.want.account.String(), string(got.record.Key))
			spliced, err := rawjson.WithSubject(got.event.Payload, got.event.Subject) // as the sink does
			require.NoError(t, err)
			var payload struct {
				Subject    string `json:"subject"`
				SubjectRef string `json:"subject_ref"`
			}
			require.NoError(t, json.Unmarshal(spliced, &payload))
			require.Equal(t, e.want, described{
				got.event.AccountID, got.event.Type, got.event.SourceEventID, got.event.Tenant, got.event.OccurredAt.Format(time.RFC3339Nano),
				payload.Subject, payload.SubjectRef,
				string(spliced) == strings.TrimSpace(string(batch[i].Value)),
			})
			require.Equal(t, string(batch[i].Value), string(got.event.Payload), "the vendor's bytes")
			require.Equal(t, e.rule, got.event.Rule)
			require.NotEmpty(t, got.event.Reference)
			require.Equal(t, []any{batch[i].Topic, batch[i].Partition, batch[i].Offset, int32(-1), true},
				[]any{got.event.RawTopic, got.event.RawPartition, got.event.RawOffset, got.event.RawIndex, got.event.Livemode})
			require.Equal(t, e.source, got.event.Source)
			require.Equal(t, stored.Add(-time.Second), got.event.IngestedAt)
			require.Equal(t, source.ModeWebhook, got.event.Delivery)
			require.Empty(t, got.record.Headers)
		})
	}
	for rule, count := range rules {
		require.Equal(t, count, int(n.total(t, "throughline_normalizer_events_total", "rule="+rule)), rule)
	}
}

func TestTransformOfABatchWithOneBadRecord(t *testing.T) {
	t.Parallel()
	n := newNormalizer(t)
	n.link(t, "stripe", "customer", "cus_Tz1Acme", acme)
	// Enough to be shared between processors.
	var batch []*kgo.Record
	for i := range 500 {
		value := strings.Replace(string(body(t, "stripe", "invoice_paid.json")), "evt_1SAa0001", fmt.Sprint("evt_", i), 1)
		batch = append(batch, newRecord("stripe", []byte(value)))
	}
	batch[137].Value = []byte("not JSON")
	batch[138].Value = nil // a tombstone
	results := n.transform(t, batch...)
	require.Len(t, results, len(batch)-1)
	for i, got := range results {
		switch {
		case i == 137:
			require.True(t, got.dead())
			require.Equal(t, "malformed", got.letter.Reason)
		case i < 137:
			require.Equal(t, fmt.Sprint("evt_", i), got.event.SourceEventID)
		default:
			require.Equal(t, fmt.Sprint("evt_", i+1), got.event.SourceEventID, "the order is the batch's")
		}
	}
	require.Equal(t, 1.0, n.total(t, "throughline_normalizer_tombstones_total"))
	require.Equal(t, 1.0, n.total(t, "throughline_normalizer_dead_letters_total", "reason=malformed"))
}

func TestTransformIsPure(t *testing.T) {
	t.Parallel()
	n := newNormalizer(t)
	n.link(t, "stripe", "customer", "cus_Tz1Acme", acme)
	var batch []*kgo.Record
	for i := range 300 {
		for _, e := range examples[:4] {
			rec := newRecord(e.source, body(t, e.source, e.file), header(stream.HeaderQuarantineID, "7"), header(stream.HeaderTraceparent, sampled))
			rec.Offset = int64(i)
			batch = append(batch, rec)
		}
		batch = append(batch, newRecord("stripe", fmt.Appendf(nil, "garbage %d", i)))
	}
	first, err := n.Transform(t.Context(), batch)
	require.NoError(t, err)
	second, err := n.Transform(t.Context(), batch)
	require.NoError(t, err)
	require.Equal(t, first, second)
}

func TestTransformHandsOn(t *testing.T) {
	t.Parallel()
	n := newNormalizer(t)
	n.link(t, "stripe", "customer", "cus_Tz1Acme", acme)
	value := body(t, "stripe", "invoice_paid.json")
	t.Run("what a release says of itself", func(t *testing.T) {
		got := n.transform(t, newRecord("stripe", value, header(stream.HeaderQuarantineID, "42"), header(stream.HeaderAttempts, "3"),
			header(stream.HeaderFirstSeen, "2025-10-01T00:00:00Z"), header("x-other", "y")))[0]
		require.Equal(t, []kgo.RecordHeader{header(stream.HeaderQuarantineID, "42"), header(stream.HeaderAttempts, "3"),
			header(stream.HeaderFirstSeen, "2025-10-01T00:00:00Z")}, got.record.Headers)
	})
	t.Run("the trace", func(t *testing.T) {
		got := n.transform(t, newRecord("stripe", value, header(stream.HeaderTraceparent, sampled)))[0]
		require.Equal(t, []kgo.RecordHeader{header(stream.HeaderTraceparent, sampled)}, got.record.Headers)
	})
	t.Run("not what is odd", func(t *testing.T) {
		got := n.transform(t, newRecord("stripe", value, header(stream.HeaderQuarantineID, "many"), header(stream.HeaderAttempts, "3")))[0]
		require.Empty(t, got.record.Headers)
	})
	t.Run("nothing of any size that somebody wrote", func(t *testing.T) {
		huge := strings.Repeat("0", 5<<20) + "3"
		got := n.transform(t, newRecord("stripe", value, header(stream.HeaderQuarantineID, "42"), header(stream.HeaderAttempts, huge),
			header(stream.HeaderFirstSeen, huge), header(stream.HeaderTraceparent, huge), header(huge, "x")))[0]
		require.Equal(t, []kgo.RecordHeader{header(stream.HeaderQuarantineID, "42")}, got.record.Headers)
	})
	t.Run("the tenant that the operator names for events that do not say theirs", func(t *testing.T) {
		n := newNormalizer(t, func(o *options) {
			o.Tenants = map[string]string{"marketo": "123-ABC-456"}
		})
		n.link(t, "marketo", "lead", "5414087", globex)
		own := newRecord("marketo", body(t, "marketo", "records/email_opened.json"), header(stream.HeaderTenant, "777-AAA-777"))
		got := n.transform(t, newRecord("marketo", own.Value), own)
		require.Equal(t, "123-ABC-456", got[0].event.Tenant)
		require.Equal(t, "123-ABC-456:102988", got[0].event.SourceEventID)
		require.Equal(t, "777-AAA-777", got[1].event.Tenant)
	})
}

// sampled is a traceparent whose sender wants the trace recorded.
const sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// A third party needs to publish a value and nothing else.
func TestTransformWithMissingOrOddHeaders(t *testing.T) {
	t.Parallel()
	n := newNormalizer(t)
	n.link(t, "stripe", "customer", "cus_Tz1Acme", acme)
	tests := map[string]struct {
		headers  []kgo.RecordHeader
		ingested time.Time
		delivery source.Mode
		tenant   string
	}{
		"none":                    {nil, stored, source.ModeBackfill, ""},
		"bytes that are no text":  {all("\xff\x00\xfe"), stored, source.ModeBackfill, ""},
		"empty":                   {all(""), stored, source.ModeBackfill, ""},
		"control characters":      {all("a\nb"), stored, source.ModeBackfill, ""},
		"far too long":            {all(strings.Repeat("x", 100_000)), stored, source.ModeBackfill, ""},
		"a receipt in the future": {[]kgo.RecordHeader{header(stream.HeaderReceivedAt, "2031-01-01T00:00:00Z")}, stored, source.ModeBackfill, ""},
		"a receipt years ago":     {[]kgo.RecordHeader{header(stream.HeaderReceivedAt, "2020-01-01T00:00:00Z")}, stored, source.ModeBackfill, ""},
		"a receipt before it happened": {[]kgo.RecordHeader{header(stream.HeaderReceivedAt, "2025-09-01T00:00:00Z"), header(stream.HeaderDelivery, "webhook")},
			stored, source.ModeWebhook, ""},
		"a receipt before it happened, released": {[]kgo.RecordHeader{header(stream.HeaderReceivedAt, "2020-01-01T00:00:00Z"), header(stream.HeaderDelivery, "replay")},
			stored, source.ModeReplay, ""},
		"another source's name": {[]kgo.RecordHeader{header(stream.HeaderSource, "zendesk")}, stored, source.ModeBackfill, ""},
		"all right": {[]kgo.RecordHeader{header(stream.HeaderReceivedAt, "2025-10-09T08:59:00.5Z"), header(stream.HeaderDelivery, "poll"), header(stream.HeaderTenant, "acct_1")},
			time.Date(2025, 10, 9, 8, 59, 0, 500_000_000, time.UTC), source.ModePoll, "acct_1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			rec := newRecord("stripe", body(t, "stripe", "invoice_paid.json"))
			rec.Headers, rec.Key = tt.headers, nil
			got := n.transform(t, rec)[0]
			require.False(t, got.dead(), got.letter.Error)
			require.Equal(t, tt.ingested, got.event.IngestedAt)
			require.Equal(t, tt.delivery, got.event.Delivery)
			require.Equal(t, tt.tenant, got.event.Tenant)
			require.Equal(t, acme, got.event.AccountID)
		})
	}
}

// all is every header of ours with this value.
func all(value string) (headers []kgo.RecordHeader) {
	for _, key := range []string{stream.HeaderSource, stream.HeaderReceivedAt, stream.HeaderDelivery, stream.HeaderTenant,
		stream.HeaderQuarantineID, stream.HeaderAttempts, stream.HeaderFirstSeen} {
		headers = append(headers, header(key, value))
	}
	return headers
}

// Every rate exists before its first event, or an alert on it would not fire.
func TestMetricsExistFromTheStart(t *testing.T) {
	t.Parallel()
	n := newNormalizer(t)
	count, err := testutil.GatherAndCount(n.runtime.Registry, "throughline_normalizer_events_total", "throughline_normalizer_dead_letters_total")
	require.NoError(t, err)
	require.Equal(t, len(catalog.Set().Names())*(4+7), count)
}

func TestTransformGivesDeadLettersThatAreRead(t *testing.T) {
	t.Parallel()
	n := newNormalizer(t)
	tests := map[string]struct {
		value  string
		reason string
		says   string
	}{
		"garbage":          {"\x00\x01\xff garbage", "malformed", "not valid JSON"},
		"no bytes":         {"", "malformed", "empty"},
		"an array cut off": {`[{"id":"evt_1"},`, "malformed", "not valid JSON"},
		"a text":           {`"text"`, "malformed", "string"},
		"NUL":              {`{"id":"a\u0000"}`, "unstorable", "NUL"},
		"a NUL in a name":  {`{"\u0000":"\u0000"}`, "unstorable", "NUL"},
		"a lone surrogate": {`{"id":"\ud83d"}`, "unstorable", "surrogate"},
		"bad UTF-8":        {"{\"id\":\"\xff\"}", "unstorable", "UTF-8"},
		"duplicate keys":   {`{"id":"evt_1","id":"evt_2"}`, "malformed", "duplicate"},
		"too deep":         {strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200), "malformed", "deep"},
		"a number beyond":  {`{"id":1e999999}`, "unstorable", "number"},
		"too large":        {`{"id":"` + strings.Repeat("x", source.MaxRecordBytes) + `"}`, "oversized", "bound"},
		"far too large":    {`{"id":"` + strings.Repeat("x", 5<<20) + `"}`, "oversized", "left out of the dead letter"},
		"another's event":  {`{"hello":"world"}`, "malformed", "not a Stripe event"},
		"a long id":        {stripeEvent(strings.Repeat("i", 2000), `"customer":"cus_1"`), "oversized", "source_event_id"},
		"a time to come":   {`{"id":"evt_1","object":"event","type":"a.b","created":4102444800}`, "malformed", "not plausible"},
		"no time":          {`{"id":"evt_1","object":"event","type":"a.b"}`, "malformed", "created"},
		"nobody":           {stripeEvent("evt_1", `"x":1`), "unresolved_account", "no reference to a customer"},
		"nobody we know":   {stripeEvent("evt_1", `"customer":"cus_9"`), "unresolved_account", "stripe:customer:cus_9"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := n.transform(t, newRecord("stripe", []byte(tt.value)))[0]
			require.True(t, got.dead())
			require.Equal(t, tt.reason, got.letter.Reason, got.letter.Error)
			require.Contains(t, got.letter.Error, tt.says)
			if len(tt.value) < 3<<20 {
				require.Equal(t, tt.value, string(got.letter.Value), "byte for byte")
			} else {
				require.Empty(t, got.letter.Value)
			}
		})
	}
	t.Run("a large value that is all right", func(t *testing.T) {
		t.Parallel()
		n := newNormalizer(t)
		n.link(t, "stripe", "customer", "cus_1", acme)
		value := stripeEvent("evt_1", `"customer":"cus_1","note":"`+strings.Repeat("x", 900_000)+`","big":1180591620717411303424`)
		got := n.transform(t, newRecord("stripe", []byte(value)))[0]
		require.False(t, got.dead(), got.letter.Error)
		require.Equal(t, value, string(got.event.Payload))
	})
	t.Run("2^70 as an id", func(t *testing.T) {
		t.Parallel()
		value := `{"portalId":62515,"occurredAt":1760000000123,"subscriptionType":"contact.creation","objectId":1180591620717411303424}`
		got := n.transform(t, newRecord("hubspot", []byte(value)))[0]
		require.Equal(t, "unresolved_account", got.letter.Reason)
		require.Equal(t, "hubspot/62515:contact:1180591620717411303424", got.letter.References[0].Key())
	})
	t.Run("a topic of no source", func(t *testing.T) {
		t.Parallel()
		got := n.transform(t, newRecord("fax", []byte(`{}`)))[0]
		require.Equal(t, "unsupported", got.letter.Reason)
		require.Contains(t, got.letter.Error, `"fax"`)
		require.Equal(t, "fax", got.letter.Source)
	})
}

// stripeEvent makes an event whose object has these fields.
func stripeEvent(id, fields string) string {
	return fmt.Sprintf(`{"id":%q,"object":"event","type":"invoice.paid","created":1760000000,"data":{"object":{"object":"invoice",%s}}}`, id, fields)
}

func TestDeadLetterHoldsAllThatIsKnown(t *testing.T) {
	t.Parallel()
	n := newNormalizer(t)
	value := stripeEvent("evt_7", `"customer":"cus_9","customer_email":"kim@gmail.com"`)
	t.Run("of a first failure", func(t *testing.T) {
		t.Parallel()
		rec := newRecord("stripe", []byte(value), header("x", "\x00"), header(stream.HeaderTenant, "acct_1"), header(stream.HeaderTraceparent, sampled))
		got := n.transform(t, rec)[0]
		require.Equal(t, rec.Key, got.record.Key)
		require.Equal(t, event.DeadLetter{
			Value: []byte(value), Topic: "raw.stripe", Partition: 3, Offset: 41, Key: []byte("key of stripe"),
			Headers: []event.Header{
				{Key: stream.HeaderSource, Value: []byte("stripe")}, {Key: stream.HeaderReceivedAt, Value: []byte("2025-10-09T08:59:59Z")},
				{Key: stream.HeaderDelivery, Value: []byte("webhook")},
				{Key: stream.HeaderTenant, Value: []byte("acct_1")}, {Key: stream.HeaderTraceparent, Value: []byte(sampled)},
			},
			Reason: "unresolved_account",
			Error:  "no account: gmail.com is a free-mail domain; no link or account for stripe/acct_1:customer:cus_9, stripe:email:kim@gmail.com",
			References: []source.Reference{
				{Source: "stripe", Tenant: "acct_1", Kind: "customer", ID: "cus_9"}, {Source: "stripe", Kind: "email", ID: "kim@gmail.com"},
			},
			FirstSeen: stored, Attempts: 1, Source: "stripe", Tenant: "acct_1", Type: "invoice.paid", SourceEventID: "evt_7", RawIndex: -1,
		}, got.letter)
	})
	t.Run("of a bare value", func(t *testing.T) {
		t.Parallel()
		rec := newRecord("stripe", []byte(value))
		rec.Headers, rec.Key = nil, nil
		got := n.transform(t, rec)[0]
		require.Nil(t, got.record.Key)
		require.Nil(t, got.letter.Key)
		require.Contains(t, got.letter.Headers, event.Header{Key: stream.HeaderReceivedAt, Value: []byte("2025-10-09T09:00:00Z")},
			"a release must not move the receipt")
	})
	t.Run("of a release", func(t *testing.T) {
		t.Parallel()
		got := n.transform(t, newRecord("stripe", []byte(value), header(stream.HeaderQuarantineID, "42"), header(stream.HeaderAttempts, "3"),
			header(stream.HeaderFirstSeen, "2025-10-01T00:00:00.25Z")))[0]
		require.Equal(t, int32(4), got.letter.Attempts)
		require.Equal(t, time.Date(2025, 10, 1, 0, 0, 0, 250_000_000, time.UTC), got.letter.FirstSeen)
		require.Contains(t, got.letter.Headers, event.Header{Key: stream.HeaderQuarantineID, Value: []byte("42")})
	})
	t.Run("of a record that cannot be counted on", func(t *testing.T) {
		t.Parallel()
		got := n.transform(t, newRecord("stripe", []byte("{"), header(stream.HeaderAttempts, "2147483647"), header(stream.HeaderTenant, "a\x00b")))[0]
		require.Equal(t, int32(2147483647), got.letter.Attempts)
		require.Empty(t, got.letter.Tenant, "Postgres would not take it")
	})
}

// A vendor's test data waits in quarantine under a reason of its own, whoever it
// is of, unless the source's setting takes it.
func TestTransformTestData(t *testing.T) {
	t.Parallel()
	test := []byte(`{"id":"evt_t","object":"event","created":1760000000,"livemode":false,"type":"invoice.paid","data":{"object":{"object":"invoice","id":"in_1","customer":"cus_1"}}}`)
	live := bytes.Replace(test, []byte("false"), []byte("true"), 1)
	unsaid := bytes.Replace(test, []byte(`"livemode":false,`), nil, 1)
	page := slices.Concat([]byte(`{"object":"list","data":[`), test, []byte(","), bytes.Replace(live, []byte("evt_t"), []byte("evt_l"), 1), []byte("]}"))
	tests := map[string]struct {
		accept map[string]bool
		body   []byte
		want   []fault.Reason // "" is on the timeline
	}{
		"test":                    {nil, test, []fault.Reason{fault.TestData}},
		"live":                    {nil, live, []fault.Reason{""}},
		"not said":                {nil, unsaid, []fault.Reason{""}},
		"accepted":                {map[string]bool{"stripe": true}, test, []fault.Reason{""}},
		"accepted of another":     {map[string]bool{"hubspot": true}, test, []fault.Reason{fault.TestData}},
		"one of a page of Stripe": {nil, page, []fault.Reason{fault.TestData, ""}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNormalizer(t, func(o *options) { o.TestData = tt.accept })
			n.link(t, "stripe", "customer", "cus_1", acme)
			results := n.transform(t, newRecord("stripe", tt.body))
			require.Len(t, results, len(tt.want))
			for i, want := range tt.want {
				if want == "" {
					require.False(t, results[i].dead(), results[i].letter.Error)
					require.Equal(t, !bytes.Equal(results[i].event.Payload, test), results[i].event.Livemode)
					continue
				}
				require.Equal(t, string(want), results[i].letter.Reason)
				require.Equal(t, "evt_t", results[i].letter.SourceEventID)
				require.Contains(t, results[i].letter.Error, "THROUGHLINE_STRIPE_TEST_DATA")
			}
		})
	}
}
