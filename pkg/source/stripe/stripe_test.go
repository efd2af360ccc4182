package stripe

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85/webhook"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

const (
	vectorSecret    = "whsec_vector_stripe_0001"
	vectorSignature = "cf0700ecc5d8bf676fed3fcc93b7e9c16feb5305e472c8b3aaab4a8e93549e0c"
)

var vectorTime = time.Unix(1_760_000_000, 0)

func TestContract(t *testing.T) {
	t.Parallel()
	sourcetest.Run(t, New(), sourcetest.Config{Secret: vectorSecret, TypeField: "/type"})
}

func FuzzStripe(f *testing.F) { sourcetest.Fuzz(f, New()) }

func read(t testing.TB, path string) []byte {
	t.Helper()
	body, err := os.ReadFile(path)
	require.NoError(t, err)
	return body
}

func verify(t *testing.T, body []byte, header, secret string, now time.Time) error {
	t.Helper()
	keys, err := New().Open([]string{secret})
	require.NoError(t, err)
	d := &source.Delivery{Header: http.Header{signatureHeader: {header}}, Body: body}
	_, err = keys.Verify(d, now)
	return err
}

func TestHeaderForms(t *testing.T) {
	t.Parallel()
	body := read(t, "testdata/vector.json")
	zeros := strings.Repeat("0", 64)
	tests := map[string]struct {
		header string
		now    time.Time
		ok     bool
	}{
		"the vector":                   {"t=1760000000,v1=" + vectorSignature, vectorTime, true},
		"300 s later":                  {"t=1760000000,v1=" + vectorSignature, vectorTime.Add(300 * time.Second), true},
		"301 s later":                  {"t=1760000000,v1=" + vectorSignature, vectorTime.Add(301 * time.Second), false},
		"301 s before":                 {"t=1760000000,v1=" + vectorSignature, vectorTime.Add(-301 * time.Second), false},
		"rolled: the second v1":        {"t=1760000000,v1=" + zeros + ",v1=" + vectorSignature, vectorTime, true},
		"beside a test scheme":         {"t=1760000000,v1=" + vectorSignature + ",v0=" + zeros, vectorTime, true},
		"beside an unknown scheme":     {"t=1760000000,v2=x,v1=" + vectorSignature, vectorTime, true},
		"beside a v1 that is no hex":   {"t=1760000000,v1=zz,v1=" + vectorSignature, vectorTime, true},
		"v1 before t":                  {"v1=" + vectorSignature + ",t=1760000000", vectorTime, true},
		"only v0":                      {"t=1760000000,v0=" + vectorSignature, vectorTime, false},
		"a space, which none takes":    {"t=1760000000, v1=" + vectorSignature, vectorTime, false},
		"half a signature":             {"t=1760000000,v1=" + vectorSignature[:32], vectorTime, false},
		"no time":                      {"v1=" + vectorSignature, vectorTime, false},
		"two times":                    {"t=1760000000,t=1760000000,v1=" + vectorSignature, vectorTime, false},
		"a time with a sign":           {"t=+1760000000,v1=" + vectorSignature, vectorTime, false},
		"a time with zeros before":     {"t=01760000000,v1=" + vectorSignature, vectorTime, false},
		"behind more than is compared": {"t=1760000000" + strings.Repeat(",v1="+zeros, maxSignatures) + ",v1=" + vectorSignature, vectorTime, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := verify(t, body, tt.header, vectorSecret, tt.now)
			if tt.ok {
				require.NoError(t, err)
				return
			}
			require.True(t, fault.IsPermanent(err))
			require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
		})
	}
}

// TestWithStripesLibrary: what stripe-go signs verifies here, and what is
// signed here verifies there.
func TestWithStripesLibrary(t *testing.T) {
	t.Parallel()
	bodies, err := os.ReadDir("testdata")
	require.NoError(t, err)
	for _, entry := range bodies {
		if entry.IsDir() || strings.HasSuffix(entry.Name(), ".golden.json") {
			continue
		}
		t.Run(entry.Name(), func(t *testing.T) {
			t.Parallel()
			body, now := read(t, "testdata/"+entry.Name()), time.Now()
			theirs := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: vectorSecret, Timestamp: now})
			require.NoError(t, verify(t, body, theirs.Header, vectorSecret, now))
			computed := fmt.Sprintf("t=%d,v1=%x", now.Unix(), webhook.ComputeSignature(now, body, vectorSecret))
			require.NoError(t, verify(t, body, computed, vectorSecret, now))

			d := &source.Delivery{Header: http.Header{}, Body: body}
			require.NoError(t, New().(source.Signer).Sign(d, vectorSecret, now))
			require.NoError(t, webhook.ValidatePayload(body, d.Header.Get(signatureHeader), vectorSecret))
			require.Error(t, webhook.ValidatePayload(body, d.Header.Get(signatureHeader), "whsec_other"))
		})
	}
}

func describe(t testing.TB, path string) source.Event {
	t.Helper()
	event, err := sourcetest.Describe(New(), source.Record{Value: read(t, path), ReceivedAt: vectorTime})
	require.NoError(t, err)
	return event
}

// TestOneFactOneIdentity: listed by the API, sent thin or sent whole, it is one row.
func TestOneFactOneIdentity(t *testing.T) {
	t.Parallel()
	require.Equal(t, describe(t, "testdata/invoice_paid.json"), describe(t, "testdata/records/invoice_paid_listed.json"))

	thin := describe(t, "testdata/thin_v1_customer_created.json")
	require.Equal(t, "evt_1SAa0010", thin.ID, "the snapshot's id, not the thin event's own")
	require.Equal(t, "customer.created", thin.Type)
	require.Equal(t, "stripe:customer:cus_Tz1Acme", thin.References[0].Key())
}

func TestTypeNames(t *testing.T) {
	t.Parallel()
	for vendor, want := range map[string]string{
		"invoice.paid":                      "invoice.paid",
		"customer.deleted":                  "customer.deleted",
		"customer.subscription.deleted":     "subscription.deleted",
		"v1.customer.subscription.deleted":  "subscription.deleted",
		"v1.customer.created":               "customer.created",
		"customer.source.expiring":          "customer.source.expiring",
		"v2.core.account[identity].updated": "v2.core.account.identity.updated",
	} {
		require.Equal(t, want, typeName(vendor), vendor)
	}
	for _, row := range New().Profile().Types {
		require.Equal(t, row.Type, typeName(row.Vendor))
	}
}

// TestBodyMayBeAnyShape: fields of the wrong type never reach an identity.
func TestBodyMayBeAnyShape(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		`{"object":"event","id":7,"type":"invoice.paid","created":1760000000}`,
		`{"object":"event","id":"evt_1","type":{},"created":1760000000}`,
		`{"object":"event","id":"evt_1","type":"invoice.paid","created":"soon"}`,
		`{"object":"payout","id":"po_1","type":"bank_account","created":1760000000}`,
	} {
		_, err := sourcetest.Describe(New(), source.Record{Value: []byte(raw)})
		require.Equal(t, fault.Malformed, fault.ReasonOf(err), raw)
		require.True(t, fault.IsPermanent(err), raw)
	}
	event, err := sourcetest.Describe(New(), source.Record{Value: []byte(
		`{"object":"event","id":"evt_1","type":"x","created":1760000000,"data":{"object":{"customer":[1],"metadata":7,"customer_details":"no","parent":[]}}}`)})
	require.NoError(t, err)
	require.Empty(t, event.References)
}

func BenchmarkStripe(b *testing.B) { sourcetest.Bench(b, New()) }

func BenchmarkVerify(b *testing.B) {
	keys, err := New().Open([]string{vectorSecret})
	require.NoError(b, err)
	d := &source.Delivery{Header: http.Header{}, Body: read(b, "testdata/invoice_paid.json")}
	require.NoError(b, New().(source.Signer).Sign(d, vectorSecret, vectorTime))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.Verify(d, vectorTime); err != nil {
			b.Fatal(err)
		}
	}
}

// The tenant of a record's header is anybody's to write; the event says its own.
func TestTheEventsAccountIsTheTenant(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ members, header, tenant string }{
		"the event's":               {`,"account":"acct_1"`, "", "acct_1"},
		"the event's, not another":  {`,"account":"acct_1"`, "acct_2", "acct_1"},
		"the header's, for want of": {``, "acct_2", "acct_2"},
		"none":                      {``, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			value := `{"id":"evt_1","object":"event","type":"invoice.paid","created":1762074000,"livemode":true` + tt.members +
				`,"data":{"object":{"id":"in_1","object":"invoice","customer":"cus_1"}}}`
			_, event, err := source.Keyed(New(), source.Record{Value: []byte(value), Tenant: tt.header, ReceivedAt: time.Unix(1762074001, 0)})
			require.NoError(t, err)
			require.Equal(t, tt.tenant, event.Tenant)
			for _, ref := range event.References {
				require.Contains(t, []string{tt.tenant, ""}, ref.Tenant)
			}
		})
	}
}
