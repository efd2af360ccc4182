package segment_test

import (
	"bytes"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/segment"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

const secret = "segment-shared-secret"

var received = time.Unix(1_760_000_060, 0).UTC()

func batchOf(elements [][]byte) []byte {
	return slices.Concat([]byte("["), bytes.Join(elements, []byte(",")), []byte("]"))
}

func TestContract(t *testing.T) {
	t.Parallel()
	sourcetest.Run(t, segment.New(), sourcetest.Config{Secret: secret, TypeField: "/event", Wrap: batchOf})
}

// A batch is proved by its header, so its bytes are not covered.
func TestContractOfBatches(t *testing.T) {
	t.Parallel()
	trusting := segment.Configured(segment.Options{TrustGroups: true})
	sourcetest.Run(t, trusting, sourcetest.Config{Secret: secret, Dir: "testdata/batches", TypeField: "/event", BareToken: true})
}

func FuzzSegment(f *testing.F) { sourcetest.Fuzz(f, segment.New()) }

func BenchmarkSegment(b *testing.B) { sourcetest.Bench(b, segment.New()) }

// BenchmarkDelivery is what verifying, splitting and describing costs an event, alone and in batches; what a request costs besides (HTTP,
// the brokers) a batch pays once. Beyond 1 MiB a body is scanned twice.
func BenchmarkDelivery(b *testing.B) {
	event, err := os.ReadFile("testdata/track.json")
	require.NoError(b, err)
	s := segment.New()
	verifier, err := s.Open([]string{secret})
	require.NoError(b, err)
	for name, body := range map[string][]byte{
		"single": event, "batch of 100": batchOf(slices.Repeat([][]byte{event}, 100)), "batch of 4000": batchOf(slices.Repeat([][]byte{event}, 4000)),
	} {
		b.Run(name, func(b *testing.B) {
			d := &source.Delivery{Header: http.Header{}, Body: body}
			require.NoError(b, source.Sign(s, d, secret, received))
			header, events := d.Header, 0
			b.ReportAllocs()
			for b.Loop() {
				d.Reset()
				d.Header, d.Body, d.ReceivedAt = header, body, received
				if _, err := verifier.Verify(d, received); err != nil {
					b.Fatal(err)
				}
				for part, err := range s.Split(d) {
					if err != nil {
						b.Fatal(err)
					}
					if _, _, err := source.Keyed(s, source.Record{Value: part.Value, Object: part.Object, ReceivedAt: received}); err != nil {
						b.Fatal(err)
					}
					events++
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
		})
	}
}

const vector = `{"version":1,"type":"track","userId":"019mr8mf4r","event":"Order Completed","messageId":"022bb90c-bbac-11e4-8dfc-aa07a5b093db","properties":{"revenue":39.95},"context":{"groupId":"acct-77"},"timestamp":"2025-10-09T08:53:20.276Z"}`

// TestSignature: the signature is what @segment/action-destinations 3.497.0 made of this body, and of a batch that begins
// with it.
func TestSignature(t *testing.T) {
	t.Parallel()
	const signature = "3f6816256672e532cbeff10424e64e458dd2d538"
	verifier, err := segment.New().Open([]string{"another-secret", secret})
	require.NoError(t, err)
	early := verifier.(source.HeaderVerifier)
	for name, tt := range map[string]struct {
		header   http.Header
		body     string
		says     string
		complete bool
	}{
		"single":                        {header: http.Header{"X-Signature": {signature}}, body: vector},
		"single with a token":           {header: http.Header{"X-Throughline-Token": {secret}}, body: vector, complete: true},
		"a wrong token counts alone":    {header: http.Header{"X-Throughline-Token": {"no"}, "X-Signature": {signature}}, body: vector, says: "none of the configured", complete: true},
		"a batch of it":                 {header: http.Header{"X-Signature": {signature}}, body: "[" + vector + "]", says: "first event only"},
		"a batch that a stranger wrote": {header: http.Header{"X-Signature": {signature}}, body: " \n[" + vector + `,{"type":"track"}]`, says: "first event only"},
		"a batch with a token":          {header: http.Header{"X-Signature": {signature}, "X-Throughline-Token": {secret}}, body: "[" + vector + `,{}]`, complete: true},
		"in upper case":                 {header: http.Header{"X-Signature": {strings.ToUpper(signature)}}, body: vector, says: "hex of a SHA-1"},
		"nothing":                       {header: http.Header{}, body: vector, says: "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &source.Delivery{Header: tt.header, Body: []byte(tt.body)}
			key, err := verifier.Verify(d, received)
			complete, earlyErr := early.VerifyHeader(d, received)
			require.Equal(t, tt.complete, complete)
			if tt.says == "" {
				require.NoError(t, err)
				require.NoError(t, earlyErr)
				require.Equal(t, 1, key)
				return
			}
			require.ErrorContains(t, err, tt.says)
			require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
		})
	}
}

func references(t *testing.T, s source.Source, value string) string {
	t.Helper()
	event, err := sourcetest.Describe(s, source.Record{Value: []byte(value), ReceivedAt: received})
	require.NoError(t, err, value)
	var keys []string
	for _, ref := range event.References {
		keys = append(keys, strings.TrimPrefix(ref.Key(), "segment:"))
	}
	return strings.Join(keys, " ")
}

// TestReferences: a group counts only where no visitor can write it, whatever library an event says it is of.
func TestReferences(t *testing.T) {
	t.Parallel()
	const account = "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"
	for name, tt := range map[string]struct{ rest, public, secret string }{
		"context.groupId":           {`"userId":"u-1","context":{"groupId":"g-1","library":{"name":"analytics-node"}}`, "user:u-1", "group:g-1 user:u-1"},
		"an account's id":           {`"userId":"u-1","context":{"groupId":"` + account + `"}`, "user:u-1", "account_uuid:" + account + " group:" + account + " user:u-1"},
		"typed into a form":         {`"anonymousId":"a-1","properties":{"email":"a@victim.example","groupId":"g-1","account_uuid":"` + account + `"}`, "anonymous:a-1", "anonymous:a-1"},
		"an address for an id":      {`"userId":"Kim@Acme.example"`, "user:Kim@Acme.example email:kim@acme.example", "user:Kim@Acme.example email:kim@acme.example"},
		"numbers":                   {`"userId":42,"groupId":7`, "user:42", "group:7 user:42"},
		"what is nobody":            {`"userId":"[object Object]","anonymousId":"00000000-0000-0000-0000-000000000000","groupId":"undefined"`, "", ""},
		"null and empty":            {`"userId":null,"anonymousId":"","groupId":"null"`, "", ""},
		"traits that a page knows":  {`"anonymousId":"a-1","context":{"traits":{"email":"kim@acme.example"}}`, "email:kim@acme.example anonymous:a-1", "email:kim@acme.example anonymous:a-1"},
		"objects in place of an id": {`"userId":{"id":"u-1"},"groupId":["g-1"]`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			value := `{"type":"track","event":"A","messageId":"1",` + tt.rest + `}`
			require.Equal(t, tt.public, references(t, segment.New(), value))
			require.Equal(t, tt.secret, references(t, segment.Configured(segment.Options{TrustGroups: true}), value))
		})
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	const got = `,"receivedAt":"2025-10-09T08:53:20Z"`
	for times, want := range map[string]string{
		`"timestamp":"2025-10-09T08:00:00Z"` + got:                                   "2025-10-09T08:00:00Z",
		`"timestamp":"1970-01-01T00:00:05Z"` + got:                                   "2025-10-09T08:53:20Z",
		`"timestamp":"2042-01-01T00:00:00Z"` + got:                                   "2025-10-09T08:53:20Z",
		`"originalTimestamp":"2025-10-09T07:00:00Z","sentAt":"2025-10-09T07:00:01Z"`: "2025-10-09T07:00:00Z",
		`"sentAt":"2025-10-09T07:00:01Z"`:                                            "2025-10-09T08:54:20Z",
		`"messageId2":0`:                                                             "2025-10-09T08:54:20Z",
		`"timestamp":"soon"` + got:                                                   "reading timestamp",
		`"timestamp":"2042-01-01T00:00:00Z"`:                                         "2042-01-01T00:00:00Z",
		`"timestamp":null,"originalTimestamp":null,"receivedAt":"2025-10-09T08:53:20Z","sentAt":1`: "2025-10-09T08:53:20Z",
	} {
		event, err := sourcetest.Describe(segment.New(), source.Record{Value: []byte(`{"type":"track","event":"A","messageId":"1",` + times + `}`), ReceivedAt: received})
		if err != nil {
			require.ErrorContains(t, err, want, times)
			continue
		}
		require.Equal(t, want, event.OccurredAt.UTC().Format(time.RFC3339), times)
	}
}

// A library that sends again is told nothing new.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	set, err := source.NewSet(segment.New())
	require.NoError(t, err)
	first, err := os.ReadFile("testdata/track.json")
	require.NoError(t, err)
	again := strings.NewReplacer("20.276Z", "29.276Z", "20.176Z", "29.176Z", "20.000Z", "29.000Z").Replace(string(first))
	require.Equal(t, set.Digest("segment", parse(t, string(first))), set.Digest("segment", parse(t, again)))
	other := strings.Replace(string(first), "39.95", "40", 1)
	require.NotEqual(t, set.Digest("segment", parse(t, string(first))), set.Digest("segment", parse(t, other)))
}

func parse(t *testing.T, text string) rawjson.Value {
	t.Helper()
	object, err := new(rawjson.Doc).Parse([]byte(text))
	require.NoError(t, err)
	return object
}
