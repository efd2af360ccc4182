package receiver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
)

func TestADeliveryBecomesItsRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, src := range catalog.Set().Sources() {
		t.Run(src.Name(), func(t *testing.T) {
			name, body := src.Name(), example(t, src.Name())
			before := time.Now()
			got := r.post(name, body)
			require.Equal(t, 200, got.status, got.body)
			require.Equal(t, string(src.(source.Webhook).Reply(nil, nil).Body), got.body)
			require.Equal(t, "application/json", got.header.Get("Content-Type"))

			want := split(t, src, body)
			records := r.records(name, len(want))
			require.Len(t, records, len(want))
			for i, rec := range records {
				require.Equal(t, string(want[i].Value), string(rec.Value))
				require.Equal(t, want[i].Key, rec.Key)
				raw := stream.ReadRaw(rec)
				require.Equal(t, source.ModeWebhook, raw.Mode)
				require.Equal(t, want[i].Tenant, raw.Tenant)
				require.WithinRange(t, raw.ReceivedAt, before.UTC().Add(-time.Second), time.Now())
				require.Equal(t, name, string(stream.Header(rec, stream.HeaderSource)))
				require.Nil(t, stream.Header(rec, stream.HeaderTraceparent))
			}
			require.EqualValues(t, 1, r.metric("deliveries_total", "source", name))
			require.EqualValues(t, len(want), r.metric("events_received_total", "source", name))
			require.EqualValues(t, 1, r.metric("acked_seconds", "source", name))
			require.EqualValues(t, 1, r.metric("key_matched_total", "source", name, "key", "0"))
			require.Zero(t, r.metric("key_matched_total", "source", name, "key", "1"))
		})
	}
}

// A SOAP message is acknowledged in SOAP, whose Ack of false makes Salesforce send it again.
func TestAnOutboundMessageIsAcknowledged(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	body, err := os.ReadFile(filepath.Join("..", "..", "..", "pkg", "source", "salesforce", "testdata", "accounts.xml"))
	require.NoError(t, err)
	for body, want := range map[string]string{string(body): "<Ack>true</Ack>", "<nothing/>": "<Ack>false</Ack>"} {
		req := r.signed("salesforce", []byte(body))
		req.Header.Set("Content-Type", "text/xml; charset=UTF-8")
		got := r.do(req)
		require.Contains(t, got.body, want)
		require.Equal(t, "text/xml; charset=utf-8", got.header.Get("Content-Type"))
	}
	require.Len(t, r.records("salesforce", 3), 3)
}

// split gives a body's records; where a source makes bytes from the day of
// receipt, that is today's.
func split(t *testing.T, src source.Source, body []byte) (records []source.Record) {
	t.Helper()
	d := &source.Delivery{Method: http.MethodPost, URL: publicHost + path(src.Name()), Header: http.Header{}, Body: body, ReceivedAt: time.Now()}
	for p, err := range src.(source.Webhook).Split(d) {
		require.NoError(t, err)
		rec, _, _ := source.Keyed(src, source.Record{Value: p.Value, Object: p.Object, Tenant: p.Tenant, ReceivedAt: d.ReceivedAt})
		records = append(records, rec)
	}
	return records
}

func TestSecretsAreSwappedWhileItRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const next = "the-next-secret-0123456789"
	for _, name := range []string{"stripe", "looker"} {
		require.Equal(t, 401, r.do(r.signedAt(name, next, time.Now())).status, name)
		require.NoError(t, r.receiver.SetSecrets(name, []string{next, secretOf(name), "older-secret-0123456789"}))
		require.Equal(t, 200, r.do(r.signedAt(name, next, time.Now())).status, name)
		require.Equal(t, 200, r.do(r.signedAt(name, "older-secret-0123456789", time.Now())).status, name)
		require.InDelta(t, 1, r.metric("key_matched_total", "source", name, "key", "2"), 0)

		require.ErrorContains(t, r.receiver.SetSecrets(name, []string{next, ""}), "--"+name+"-secrets: secret 2 of 2 is empty")
		require.NoError(t, r.receiver.SetSecrets(name, []string{next}))
		require.Equal(t, 401, r.do(r.signedAt(name, secretOf(name), time.Now())).status, name)
		require.Equal(t, 200, r.do(r.signedAt(name, next, time.Now())).status, name)
	}
	require.ErrorContains(t, r.receiver.SetSecrets("faxes", []string{next}), "faxes")
}

func TestRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, name := range catalog.Set().Names() {
		require.Equal(t, 200, r.do(r.signedAt(name, "older-secret-0123456789", time.Now())).status, name)
		require.EqualValues(t, 1, r.metric("key_matched_total", "source", name, "key", "1"), name)
	}
}

// What the vendor signed and is JSON is kept as it is, whatever its strings and
// names hold: the normalizer dead-letters it with a reason. A source may refuse
// a shape, but says so.
func TestOddJSONIsKeptOrRefusedButNever500(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	odd := map[string]string{
		"NUL":              `{"id":"evt_\u0000","type":"x"}`,
		"a lone surrogate": `{"id":"evt_1","type":"\ud800"}`,
		"invalid UTF-8":    "{\"id\":\"\xff\"}",
		"2^70 as an id":    `{"id":1180591620717411303424,"created":1180591620717411303424}`,
		"duplicate names":  `{"id":"a","id":"b"}`,
		"a huge exponent":  `{"id":1e400000}`,
		"no fields":        `{}`,
		"an empty array":   `[]`,
		"null":             `null`,
		"a number":         `7`,
		"a text":           `"text"`,
		"mixed elements":   `[null,7,"x",{},[]]`,
	}
	for _, name := range catalog.Set().Names() {
		kept := int64(0)
		for what, body := range odd {
			t.Run(name+"/"+what, func(t *testing.T) {
				before := r.written()
				got := r.post(name, []byte(body))
				require.Contains(t, []int{200, 400, 413}, got.status, got.body)
				require.True(t, json.Valid([]byte(got.body)), got.body)
				if got.status != 200 {
					require.Equal(t, before, r.written())
				}
				if got.status == 200 && strings.HasPrefix(body, "{") && name != "intercom" {
					require.Greater(t, r.written(), before, "lost after a 2xx")
				}
				kept += r.written() - before
			})
		}
		if kept > 0 {
			require.Len(t, r.records(name, int(kept)), int(kept))
		}
	}
}

func TestOneBadElementDoesNotSpoilTheOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var elements []json.RawMessage
	require.NoError(t, json.Unmarshal(example(t, "hubspot"), &elements))
	body := "[" + string(elements[0]) + `,{"garbage":"\u0000"},7,` + string(elements[1]) + "]"
	require.Equal(t, 200, r.post("hubspot", []byte(body)).status)
	var got []string
	for _, rec := range r.records("hubspot", 4) {
		got = append(got, string(rec.Value))
	}
	require.ElementsMatch(t, []string{string(elements[0]), `{"garbage":"\u0000"}`, "7", string(elements[1])}, got)
}

func TestLargeDeliveries(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	array := func(n int, element string) []byte {
		return []byte("[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]")
	}
	t.Run("more events than the source may send", func(t *testing.T) {
		for name, element := range map[string]string{"hubspot": `{"objectId":1}`, "marketo": `{"leadId":1}`} {
			got := r.post(name, array(10_000, element))
			require.Equal(t, 413, got.status, got.body)
			require.Contains(t, got.body, "10000 events, the bound is 1000")
		}
		require.Zero(t, r.written())
	})
	t.Run("10,000 events in parts", func(t *testing.T) {
		got := r.post("looker", array(10_000, `{"accounts.id":"7","n":1}`))
		require.Equal(t, 200, got.status, got.body)
		require.Len(t, r.records("looker", 10_000), 10_000)
		require.EqualValues(t, 10_000, r.metric("events_received_total", "source", "looker"))
	})
	t.Run("an event over its bound refuses the delivery", func(t *testing.T) {
		before := r.written()
		got := r.post("hubspot", []byte(`[{"objectId":1},{"a":"`+strings.Repeat("x", source.MaxRecordBytes)+`"}]`))
		require.Equal(t, 413, got.status, got.body)
		require.Contains(t, got.body, "event 2 of the delivery")
		require.Equal(t, before, r.written())
	})
	t.Run("an event on its bound", func(t *testing.T) {
		event := `{"a":"` + strings.Repeat("x", source.MaxRecordBytes-8) + `"}`
		require.Len(t, event, source.MaxRecordBytes)
		for _, name := range []string{"stripe", "hubspot", "looker"} {
			got := r.post(name, []byte(event))
			require.Equal(t, 200, got.status, "%s: %s", name, got.body)
		}
	})
}

func TestChunkedBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, name := range catalog.Set().Names() {
		req := r.signed(name, example(t, name))
		req.ContentLength = -1
		require.Equal(t, 200, r.do(req).status, name)
	}
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, src := range catalog.Set().Sources() {
		for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodOptions} {
			req, err := http.NewRequestWithContext(t.Context(), method, r.url(src.Name()), nil)
			require.NoError(t, err)
			want := 405
			if shaker, ok := src.(source.Handshaker); ok {
				if resp, ok := shaker.Handshake(req); ok {
					want = resp.Status
				}
			}
			got := r.do(req)
			require.Equal(t, want, got.status, "%s %s", method, src.Name())
			if want == 405 {
				require.Contains(t, got.header.Get("Allow"), http.MethodPost)
			}
		}
	}
}

func TestOtherPaths(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Endpoints = o.Endpoints[:1] })
	for _, other := range []string{"/", "/webhooks/", "/webhooks/hubspot", "/webhooks/stripe/more", "/webhooks//stripe", "/webhooks/../webhooks/stripe", "/metrics"} {
		req := r.signed("stripe", example(t, "stripe"))
		req.URL.Path = other
		got := r.do(req)
		require.Equal(t, 404, got.status, other)
		require.True(t, json.Valid([]byte(got.body)), got.body)
	}
	require.Zero(t, r.written())
}

func TestTheSignedURLIsThePublicOne(t *testing.T) {
	t.Parallel()
	for configured, called := range map[string]string{
		"https://hooks.example.com":                                  "https://hooks.example.com/webhooks/hubspot",
		"https://hooks.example.com/":                                 "https://hooks.example.com/webhooks/hubspot",
		"https://hooks.example.com/webhooks/hubspot":                 "https://hooks.example.com/webhooks/hubspot",
		"https://example.com/in%2Fner/hubspot?was=in&the=setting#so": "https://example.com/in%2Fner/hubspot",
	} {
		address, err := settings.CalledURL(configured, "hubspot")
		require.NoError(t, err)
		require.Equal(t, called, address)
		for query, suffix := range map[string]string{"": "", "?": "?", "?a=%3A%20b&c": "?a=%3A%20b&c"} {
			u, err := url.Parse("/webhooks/hubspot" + query)
			require.NoError(t, err)
			require.Equal(t, called+suffix, (&handler{address: address}).calledURL(&http.Request{URL: u}))
		}
	}
	_, err := settings.CalledURL("hooks.example.com/secret-path", "hubspot")
	require.ErrorContains(t, err, "--hubspot-public-url")
	require.NotContains(t, err.Error(), "secret-path")
}

func TestTheConfiguredTenantFillsIn(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		for i := range o.Endpoints {
			o.Endpoints[i].Tenant = "acct-1"
		}
	})
	require.Equal(t, 200, r.post("marketo", example(t, "marketo")).status)
	rec := r.records("marketo", 1)[0]
	require.Equal(t, "acct-1", stream.ReadRaw(rec).Tenant)
	require.Contains(t, string(rec.Key), "marketo/acct-1:")
	require.Equal(t, 200, r.post("hubspot", example(t, "hubspot")).status)
	require.NotEqual(t, "acct-1", stream.ReadRaw(r.records("hubspot", 1)[0]).Tenant, "the event says its own")
}

func TestTraceparentTravels(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for given, want := range map[string]string{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"garbage": "", "00-00000000000000000000000000000000-b7ad6b7169203331-01": "",
	} {
		req := r.signed("stripe", example(t, "stripe"))
		req.Header.Set("Traceparent", given)
		before := int(r.written())
		require.Equal(t, 200, r.do(req).status)
		rec := last(r.records("stripe", before+1))
		require.Equal(t, want, string(stream.Header(rec, stream.HeaderTraceparent)), given)
	}
}

func last(records []*kgo.Record) *kgo.Record { return records[len(records)-1] }

// panicking is a source with a bug in each of its methods.
type panicking struct {
	source.Webhook
	in string
}

func (p panicking) Open([]string) (source.Verifier, error) { return p, nil }

func (p panicking) Verify(*source.Delivery, time.Time) (int, error) {
	if p.in == "verify" {
		panic("a bug")
	}
	return 0, nil
}

func (p panicking) Reply(d *source.Delivery, outcome error) source.Response {
	switch {
	case p.in == "reply" && outcome != nil:
		panic("another bug")
	case p.in == "status":
		return source.Response{Status: 42}
	}
	return p.Webhook.Reply(d, outcome)
}

func TestABugIsATransientReply(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{"verify": 429, "reply": 503, "status": 503} {
		t.Run(in, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *Options) {
				for i := range o.Endpoints {
					o.Endpoints[i].Source = panicking{Webhook: o.Endpoints[i].Source, in: in}
				}
			})
			body := example(t, "intercom")
			if in == "reply" {
				body = []byte("{")
			}
			got := r.post("intercom", body)
			require.Equal(t, want, got.status, got.body)
			if in != "status" {
				require.EqualValues(t, 1, r.metric("rejected_total", "source", "intercom", "reason", "internal"))
			}
			require.Zero(t, r.metric("in_flight_requests"))
			require.Zero(t, r.metric("in_flight_bytes"))
		})
	}
}

func ExampleEndpoints() {
	_, err := Endpoints(catalog.Set(), []string{"hubspot", "faxes"}, noSettings)
	fmt.Println(err)
	// Output:
	// --hubspot-secrets: no secret is set
	// --hubspot-public-url is not set: HubSpot signs the address that it posts to, like https://hooks.example.com/webhooks/hubspot
	// --sources names "faxes": the sources are stripe, hubspot, zendesk, intercom, marketo, looker, segment, salesforce
}
