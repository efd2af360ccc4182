package cloudevents

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	sdk "github.com/cloudevents/sdk-go/v2"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

const secret = "a-token-of-the-sender-0123456789"

var received = time.Unix(1_760_000_060, 0).UTC()

func newSource(t testing.TB) source.Webhook {
	t.Helper()
	text, err := os.ReadFile("testdata/mapping/orders.yaml")
	require.NoError(t, err)
	s, err := New("orders", text)
	require.NoError(t, err)
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	sourcetest.Run(t, newSource(t), sourcetest.Config{
		Secret: secret, BareToken: true, TypeField: "/type", Handshakes: []*http.Request{handshake("eventemitter.example.com")},
	})
}

func FuzzCloudEvents(f *testing.F) { sourcetest.Fuzz(f, newSource(f)) }

func BenchmarkCloudEvents(b *testing.B) { sourcetest.Bench(b, newSource(b)) }

// FuzzBinary: whatever stands in a header, an event is made that has it once, or
// the delivery is refused.
func FuzzBinary(f *testing.F) {
	s := newSource(f)
	for _, seed := range []string{"A-1", "%20%C3%A9", `"a\"b"`, "100%", "%ff", "%00", `"`, `\`, "é"} {
		f.Add("Subject", seed, []byte(`{"a":1}`))
	}
	f.Add("Data", "x", []byte(`[`))
	f.Fuzz(func(t *testing.T, name, value string, body []byte) {
		d := &source.Delivery{Header: binaryHeader(map[string]string{name: value}), Body: body, ReceivedAt: received}
		for part, err := range s.Split(d) {
			if err != nil {
				require.True(t, fault.IsPermanent(err))
				return
			}
			if _, _, err := source.Keyed(s, source.Record{Value: part.Value, ReceivedAt: received}); err != nil {
				require.True(t, fault.IsPermanent(err))
			}
		}
	})
}

func handshake(origin string) *http.Request {
	r := httptest.NewRequest(http.MethodOptions, "/webhooks/orders", http.NoBody)
	r.Header.Set("WebHook-Request-Origin", origin)
	r.Header.Set("WebHook-Request-Rate", "120")
	r.Header.Set("WebHook-Request-Callback", "http://169.254.169.254/latest")
	return r
}

func binaryHeader(more map[string]string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	for name, value := range map[string]string{"Specversion": "1.0", "Id": "A-1", "Source": "/billing/eu", "Type": "com.example.order.created"} {
		h.Set("ce-"+name, value)
	}
	for name, value := range more {
		h.Set("ce-"+name, value)
	}
	return h
}

func split(s source.Webhook, header http.Header, body string) (values []string, err error) {
	for part, err := range s.Split(&source.Delivery{Header: header, Body: []byte(body), ReceivedAt: received}) {
		if err != nil {
			return values, err
		}
		values = append(values, string(part.Value))
	}
	return values, nil
}

// TestBinary: the event that the headers and the body make.
func TestBinary(t *testing.T) {
	t.Parallel()
	const start, end = `{"datacontenttype":"application/json","id":"A-1","source":"/billing/eu","specversion":"1.0",`, `"type":"com.example.order.created","data":{"total": 1.0}}`
	for name, tt := range map[string]struct {
		more map[string]string
		want string
	}{
		"plain":              {nil, ""},
		"percent-encoded":    {map[string]string{"Subject": "Euro%20%E2%82%AC%20%F0%9F%98%80%22%25"}, `"subject":"Euro € 😀\"%",`},
		"lower case":         {map[string]string{"Subject": "%e2%82%ac"}, `"subject":"€",`},
		"one round only":     {map[string]string{"Subject": "%2541"}, `"subject":"%41",`},
		"quoted":             {map[string]string{"Subject": `"a \"b\" %20\\c"`}, `"subject":"a \"b\"  \\c",`},
		"not encoded at all": {map[string]string{"Subject": "100% é %"}, `"subject":"100% é %",`},
		"an extension":       {map[string]string{"Traceparent": "00-ab"}, `"traceparent":"00-ab",`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values, err := split(newSource(t), binaryHeader(tt.more), ` {"total": 1.0} `)
			require.NoError(t, err)
			require.Equal(t, []string{start + tt.want + end}, values)
		})
	}
	t.Run("no data", func(t *testing.T) {
		t.Parallel()
		header := binaryHeader(nil)
		header.Del("Content-Type")
		values, err := split(newSource(t), header, "")
		require.NoError(t, err)
		require.Equal(t, []string{`{"id":"A-1","source":"/billing/eu","specversion":"1.0","type":"com.example.order.created"}`}, values)
	})
}

func TestBinaryRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		more   map[string]string
		body   string
		reason fault.Reason
	}{
		"data that is not JSON":     {nil, "<a/>", fault.Malformed},
		"data that is cut":          {nil, `{"a":`, fault.Malformed},
		"an attribute named data":   {map[string]string{"Data": "1"}, "{}", fault.Malformed},
		"a second datacontenttype":  {map[string]string{"Datacontenttype": "text/plain"}, "{}", fault.Malformed},
		"a name with a dash":        {map[string]string{"A-B": "1"}, "{}", fault.Malformed},
		"not UTF-8":                 {map[string]string{"Subject": "%ff"}, "{}", fault.Malformed},
		"a long name":               {map[string]string{strings.Repeat("a", 65): "1"}, "{}", fault.Malformed},
		"long values":               {map[string]string{"Subject": strings.Repeat("a", 65<<10)}, "{}", fault.Oversized},
		"data beyond a record":      {nil, `"` + strings.Repeat("a", source.MaxRecordBytes) + `"`, fault.Oversized},
		"structured, in the header": {map[string]string{"Type": ""}, `{}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSource(t)
			values, err := split(s, binaryHeader(tt.more), tt.body)
			if tt.reason != "" {
				require.Equal(t, tt.reason, fault.ReasonOf(err))
				return
			}
			require.NoError(t, err)
			_, err = sourcetest.Describe(s, source.Record{Value: []byte(values[0]), ReceivedAt: received})
			require.Equal(t, fault.Malformed, fault.ReasonOf(err))
		})
	}
	header := binaryHeader(nil)
	header["Ce-Id"] = []string{"A-1", "A-2"}
	_, err := split(newSource(t), header, "{}")
	require.ErrorContains(t, err, `"Ce-Id" is there 2 times`)
}

// A content type of an event format wins over headers, which a gateway may add.
func TestStructuredBesideHeaders(t *testing.T) {
	t.Parallel()
	header := binaryHeader(nil)
	header.Set("Content-Type", "application/CloudEvents+json; charset=UTF-8")
	values, err := split(newSource(t), header, `{"id":"1"}`)
	require.NoError(t, err)
	require.Equal(t, []string{`{"id":"1"}`}, values)
	values, err = split(newSource(t), http.Header{"Content-Type": {"application/cloudevents-batch+json"}}, `[]`)
	require.NoError(t, err)
	require.Empty(t, values, "a batch may be empty")
}

// TestWithTheSDK: what sdk-go sends is read, and one event has one identity and one
// content in all three modes.
func TestWithTheSDK(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	var told []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Authorization") != "Bearer "+secret {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		values, err := split(s, r.Header, string(body))
		if err == nil {
			told = append(told, values...)
		}
		resp := s.Reply(nil, err)
		w.WriteHeader(resp.Status)
	}))
	t.Cleanup(server.Close)
	client, err := sdk.NewClientHTTP(sdk.WithTarget(server.URL), sdk.WithHeader("Authorization", "Bearer "+secret))
	require.NoError(t, err)
	event := sdk.NewEvent()
	event.SetID("A-1")
	event.SetSource("/billing/eu")
	event.SetType("com.example.order.created")
	event.SetTime(time.Unix(1_760_000_000, 0))
	event.SetSubject("Euro € 100%") // which the SDK does not encode
	event.SetExtension("accountid", "acct-77")
	require.NoError(t, event.SetData(sdk.ApplicationJSON, map[string]any{"order/id": 9}))
	for _, mode := range []func(context.Context) context.Context{sdk.WithEncodingStructured, sdk.WithEncodingBinary} {
		require.True(t, sdk.IsACK(client.Send(mode(t.Context()), event)))
	}
	require.Len(t, told, 2)
	set, err := source.NewSet(s)
	require.NoError(t, err)
	var events []source.Event
	var docs [2]rawjson.Doc
	var objects []rawjson.Value
	for i, value := range told {
		described, err := sourcetest.Describe(s, source.Record{Value: []byte(value), ReceivedAt: received})
		require.NoError(t, err, value)
		events = append(events, described)
		object, err := docs[i].Parse([]byte(value))
		require.NoError(t, err)
		objects = append(objects, object)
	}
	require.Equal(t, events[0], events[1])
	require.Equal(t, "orders:customer:acct-77", events[0].References[0].Key())
	relation, pointer := set.Compare("orders", objects[0], objects[1])
	require.Equal(t, source.Same, relation, pointer)
}

func TestToken(t *testing.T) {
	t.Parallel()
	verifier, err := newSource(t).Open([]string{"another-token", secret})
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		header http.Header
		url    string
		says   string
	}{
		"bearer":                    {header: http.Header{"Authorization": {"Bearer " + secret}}},
		"the scheme in lower case":  {header: http.Header{"Authorization": {"bearer " + secret}}},
		"bearer beside the address": {header: http.Header{"Authorization": {"Bearer " + secret}}, url: "/webhooks/orders?access_token=x"},
		"basic":                     {header: http.Header{"Authorization": {"Basic " + secret}}, says: "missing or empty"},
		"no scheme":                 {header: http.Header{"Authorization": {secret}}, says: "missing or empty"},
		"two blanks":                {header: http.Header{"Authorization": {"Bearer  " + secret}}, says: "none of the configured"},
		"the header counts first":   {header: http.Header{"Authorization": {"Bearer " + secret}, "X-Throughline-Token": {"no"}}, says: "none of the configured"},
		"the address":               {url: "/webhooks/orders?a=b&access_token=" + secret, says: "proxies log"},
		"nothing":                   {says: "missing or empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, err := verifier.Verify(&source.Delivery{Header: tt.header, URL: tt.url}, received)
			if tt.says == "" {
				require.NoError(t, err)
				require.Equal(t, 1, key)
				return
			}
			require.ErrorContains(t, err, tt.says)
			require.NotContains(t, err.Error(), secret)
			require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
		})
	}
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	shaker := newSource(t).(source.Handshaker)
	resp, ok := shaker.Handshake(handshake("eventgrid.azure.net"))
	require.True(t, ok)
	require.Equal(t, 200, resp.Status)
	require.Equal(t, "eventgrid.azure.net", resp.Header.Get("WebHook-Allowed-Origin"))
	require.Equal(t, "*", resp.Header.Get("WebHook-Allowed-Rate"))
	require.Equal(t, "POST", resp.Header.Get("Allow"))
	for _, origin := range []string{"<script>", "a b", "a\r\nSet-Cookie: b", strings.Repeat("a", 254)} {
		r := handshake("")
		r.Header["Webhook-Request-Origin"] = []string{origin}
		resp, ok := shaker.Handshake(r)
		require.True(t, ok)
		require.Equal(t, 400, resp.Status, origin)
		require.Empty(t, resp.Header)
		require.NotContains(t, string(resp.Body), origin)
	}
	_, ok = shaker.Handshake(httptest.NewRequest(http.MethodOptions, "/", http.NoBody))
	require.False(t, ok, "CORS is none of it")
}

func TestBase64(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	const start = `{"specversion":"1.0","id":"1","source":"/a","type":"b","time":"2025-10-09T08:53:20Z",`
	for name, tt := range map[string]struct {
		rest string
		want string // the reference, or what the error says
	}{
		"JSON":           {`"data_base64":"eyJvcmRlci9pZCI6MTB9"}`, "orders:order:10"},
		"another type":   {`"datacontenttype":"text/plain","data_base64":"eyJvcmRlci9pZCI6MTB9"}`, ""},
		"JSON that lies": {`"data_base64":"eyJ"}`, "not base64"},
		"a number":       {`"data_base64":7}`, "not base64"},
		"no JSON":        {`"data_base64":"AAEC"}`, ""},
		"both":           {`"data":{},"data_base64":""}`, "both data and data_base64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, err := sourcetest.Describe(s, source.Record{Value: []byte(start + tt.rest), ReceivedAt: received})
			if err != nil {
				require.ErrorContains(t, err, tt.want)
				return
			}
			got := ""
			for _, ref := range event.References {
				got += ref.Key()
			}
			require.Equal(t, tt.want, got)
		})
	}
}

// Two pairs of source and id are never one identity.
func TestIdentity(t *testing.T) {
	t.Parallel()
	id := func(origin, id string) string {
		event, err := sourcetest.Describe(newSource(t), source.Record{Value: []byte(`{"specversion":"1.0","type":"a","source":"` + origin + `","id":"` + id + `"}`), ReceivedAt: received})
		require.NoError(t, err)
		return event.ID
	}
	require.NotEqual(t, id("a:b", "c"), id("a", "b:c"))
	require.NotEqual(t, id("a", "b"), id("b", "a"))
	_, err := New("orders", []byte("id: /data/id"))
	require.ErrorContains(t, err, "id: the format says where it is")
}
