package hubspot

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

const (
	vectorSecret = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
	vectorURL    = "https://hooks.example.com/in/hubspot?portal=62515&tag=a@b,c:d"
	vectorMillis = "1760000000456"
	vectorV3     = "gwZTQxVNWS7EChWtONL/dYp08jig9EJvpncDfyhNnk0="
	vectorV1     = "33c6527164f038f49815ec830594262cf07e5ef052efd8664291cba20f2c164c"
	vectorV2     = "f4dc4f37a8cfdab7042f6d350efd50571f69b372592cea26cf9910aa122c5ed4"
)

var vectorTime = time.UnixMilli(1_760_000_000_456)

func TestContract(t *testing.T) {
	t.Parallel()
	sourcetest.Run(t, New(), sourcetest.Config{
		Secret: vectorSecret, TypeField: "/subscriptionType", Unsigned: []string{oldSignatureHeader, oldVersionHeader},
	})
}

func FuzzHubSpot(f *testing.F) { sourcetest.Fuzz(f, New()) }

func BenchmarkHubSpot(b *testing.B) { sourcetest.Bench(b, New()) }

func read(t testing.TB, path string) []byte {
	t.Helper()
	body, err := os.ReadFile(path)
	require.NoError(t, err)
	return body
}

func verify(t *testing.T, url string, body []byte, now time.Time, header http.Header) error {
	t.Helper()
	keys, err := New().Open([]string{vectorSecret})
	require.NoError(t, err)
	_, err = keys.Verify(&source.Delivery{Method: http.MethodPost, URL: url, Header: header, Body: body}, now)
	return err
}

// headers makes a header of names and values in turn, as net/http would have them.
func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestVectors(t *testing.T) {
	t.Parallel()
	body := read(t, "testdata/vector.json")
	v3 := headers(signatureHeader, vectorV3, timeHeader, vectorMillis)
	published := headers(signatureHeader, "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=", timeHeader, "1693657560000")
	tests := map[string]struct {
		url    string
		body   []byte
		header http.Header
		ok     bool
	}{
		"the vector":            {vectorURL, body, v3, true},
		"arriving with escapes": {"https://hooks.example.com/in/hubspot?portal=62515&tag=a%40b%2Cc%3ad", body, v3, true},
		"signed with escapes, as the libraries do": {"https://hooks.example.com/in/hubspot?portal=62515&tag=a%40b%2Cc%3Ad", body,
			headers(signatureHeader, "ynGXUZ6ClKHzTXaXqFn064gpAHj3/c7eP0ci86e+Djw=", timeHeader, vectorMillis), true},
		"published by HubSpot":      {"https://www.example.com/webhook_uri", []byte(`{'example_field':'example_value'}`), published, true},
		"an escape not in the list": {strings.Replace(vectorURL, "=62515", "%3D62515", 1), body, v3, false},
		"the inside address":        {"http://10.0.0.3:8080/in/hubspot?portal=62515&tag=a@b,c:d", body, v3, false},
		"v1 alone":                  {vectorURL, body, headers(oldSignatureHeader, vectorV1, oldVersionHeader, "v1", timeHeader, vectorMillis), false},
		"v2 alone":                  {vectorURL, body, headers(oldSignatureHeader, vectorV2, oldVersionHeader, "v2", timeHeader, vectorMillis), false},
		"v1 beside a v3 that does not match": {vectorURL, body, headers(oldSignatureHeader, vectorV1, oldVersionHeader, "v1",
			signatureHeader, strings.Replace(vectorV3, "g", "h", 1), timeHeader, vectorMillis), false},
		"a time in seconds": {vectorURL, body, headers(signatureHeader, vectorV3, timeHeader, "1760000000"), false},
		"another time":      {vectorURL, body, headers(signatureHeader, vectorV3, timeHeader, "1760000000457"), false},
		"a time with zeros": {vectorURL, body, headers(signatureHeader, vectorV3, timeHeader, "0"+vectorMillis), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := vectorTime
			if name == "published by HubSpot" {
				now = time.UnixMilli(1_693_657_560_000)
			}
			err := verify(t, tt.url, tt.body, now, tt.header)
			if tt.ok {
				require.NoError(t, err)
				return
			}
			require.True(t, fault.IsPermanent(err))
			require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
		})
	}
}

func TestSignMakesTheVector(t *testing.T) {
	t.Parallel()
	d := &source.Delivery{Method: http.MethodPost, URL: vectorURL, Header: http.Header{}, Body: read(t, "testdata/vector.json")}
	require.NoError(t, New().(source.Signer).Sign(d, vectorSecret, vectorTime))
	require.Equal(t, headers("Content-Type", "application/json", signatureHeader, vectorV3, timeHeader, vectorMillis, oldSignatureHeader, vectorV1, oldVersionHeader, "v1"), d.Header)
}

func describe(t testing.TB, raw string) source.Event {
	t.Helper()
	event, err := sourcetest.Describe(New(), source.Record{Value: []byte(raw), ReceivedAt: vectorTime})
	require.NoError(t, err, raw)
	return event
}

// TestIdentity: each row is a set of tellings of one fact, and no two rows are
// the same fact.
func TestIdentity(t *testing.T) {
	t.Parallel()
	const at = `"portalId":62515,"occurredAt":1760000000123`
	rows := [][]string{
		{
			`{"eventId":1,"subscriptionId":7,"appId":1,"subscriptionType":"contact.creation","objectId":901,"attemptNumber":0,"changeFlag":"NEW",` + at + `}`,
			`{"eventId":1,"subscriptionId":7,"appId":1,"subscriptionType":"contact.creation","objectId":901,"attemptNumber":4,"changeFlag":"CREATED",` + at + `}`,
			`{"eventId":2,"subscriptionId":8,"appId":2,"subscriptionType":"object.creation","objectTypeId":"0-1","objectId":"901",` + at + `}`,
			`{"eventType":"contact.creation","objectTypeId":"0-1","objectId":901,"portalId":"62515","occurredAt":"2025-10-09T08:53:20.123Z"}`,
		},
		{`{"eventId":1,"subscriptionType":"deal.creation","objectId":901,` + at + `}`},
		{`{"eventId":1,"subscriptionType":"contact.creation","objectId":901,"portalId":62516,"occurredAt":1760000000123}`},
		{`{"eventId":1,"subscriptionType":"contact.creation","objectId":901,"portalId":62515,"occurredAt":1760000000124}`},
		{`{"eventId":1,"subscriptionType":"object.creation","objectTypeId":"2-1","objectId":901,` + at + `}`},
		{`{"eventId":1,"subscriptionType":"object.creation","objectTypeId":"2-2","objectId":901,` + at + `}`},
		{`{"eventId":1,"subscriptionType":"contact.propertyChange","objectId":901,"propertyName":"a","propertyValue":"1","isSensitive":true,` + at + `}`,
			`{"eventId":2,"subscriptionType":"contact.propertyChange","objectId":901,"propertyName":"a","propertyValue":"REDACTED","isSensitive":true,` + at + `}`,
			`{"eventId":1,"subscriptionType":"contact.propertyChange","objectId":901,"propertyName":"a","propertyValue":null,` + at + `}`,
			`{"eventId":1,"subscriptionType":"contact.propertyChange","objectId":901,"propertyName":"a","propertyValue":"",` + at + `}`},
		{`{"eventId":1,"subscriptionType":"contact.propertyChange","objectId":901,"propertyName":"a","propertyValue":"1",` + at + `}`},
		{`{"eventId":1,"subscriptionType":"contact.propertyChange","objectId":901,"propertyName":"a","propertyValue":"2",` + at + `}`,
			`{"eventId":1,"subscriptionType":"contact.propertyChange","objectId":901,"propertyName":"a","propertyValue":2,` + at + `}`},
		{`{"eventId":1,"subscriptionType":"contact.propertyChange","objectId":901,"propertyName":"a","propertyValue":true,` + at + `}`},
		{`{"eventId":1,"subscriptionType":"contact.propertyChange","objectId":901,"propertyName":"b",` + at + `}`},
		{`{"eventId":1,"subscriptionType":"contact.deletion","objectId":901,` + at + `}`},
		{`{"eventId":1,"subscriptionType":"contact.privacyDeletion","objectId":901,` + at + `}`},
		{`{"subscriptionType":"contact.associationChange","fromObjectId":1,"toObjectId":2,"associationType":"CONTACT_TO_COMPANY",` + at + `}`},
		{`{"subscriptionType":"contact.associationChange","fromObjectId":1,"toObjectId":2,"associationType":"CONTACT_TO_COMPANY","isPrimaryAssociation":true,` + at + `}`},
		{`{"subscriptionType":"contact.associationChange","fromObjectId":1,"toObjectId":2,"associationType":"CONTACT_TO_COMPANY","associationRemoved":true,` + at + `}`},
		{`{"subscriptionType":"contact.associationChange","fromObjectId":1,"toObjectId":2,"associationType":"CONTACT_TO_DEAL",` + at + `}`,
			`{"subscriptionType":"object.associationChange","fromObjectTypeId":"0-1","toObjectTypeId":"0-3","fromObjectId":1,"toObjectId":2,"associationType":"CONTACT_TO_DEAL","associationTypeId":4,"associationCategory":"HUBSPOT_DEFINED",` + at + `}`},
		{`{"subscriptionType":"object.associationChange","fromObjectTypeId":"0-1","toObjectTypeId":"0-3","fromObjectId":1,"toObjectId":2,"associationType":"CONTACT_TO_DEAL","associationTypeId":40,"associationCategory":"USER_DEFINED",` + at + `}`},
		{`{"subscriptionType":"contact.associationChange","fromObjectId":12,"toObjectId":2,"associationType":"CONTACT_TO_DEAL",` + at + `}`},
		{`{"subscriptionType":"contact.merge","objectId":1,"primaryObjectId":1,"mergedObjectIds":[2,3],"newObjectId":4,` + at + `}`,
			`{"subscriptionType":"contact.merge","primaryObjectId":1,"mergedObjectIds":[3,2],"newObjectId":4,` + at + `}`},
		{`{"subscriptionType":"contact.merge","objectId":1,"primaryObjectId":1,"mergedObjectIds":[2],"newObjectId":4,` + at + `}`},
		{`{"subscriptionType":"conversation.newMessage","objectId":1,"messageId":"m1",` + at + `}`},
		{`{"subscriptionType":"conversation.newMessage","objectId":1,"messageId":"m2",` + at + `}`},
		{`{"subscriptionType":"contact.newIdea","objectId":1,"eventId":8,"attemptNumber":0,` + at + `}`,
			`{"subscriptionType":"contact.newIdea","objectId":1,"eventId":8,"attemptNumber":3,` + at + `}`},
		{`{"subscriptionType":"contact.newIdea","objectId":1,"eventId":9,` + at + `}`},
		{`{"subscriptionType":"contact.propertyChange","objectId":901,"propertyName":"a|b",` + at + `}`},
	}
	seen := map[string]int{}
	for i, row := range rows {
		for _, raw := range row {
			id := describe(t, raw).ID
			if before, ok := seen[id]; ok {
				require.Equal(t, before, i, "%s is the id of two facts", id)
			}
			seen[id] = i
		}
	}
	require.Len(t, seen, len(rows), "a fact has two ids")
}

// TestBothPlatformsMeet: the facts that testdata tells in both forms are the same rows.
// A type alone is told only where the identity has its bounds, and two objects can be long.
func TestTypeOfTwoObjects(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"5", strings.Repeat("5", 2000)} {
		value := fmt.Appendf(nil, `{"portalId":1,"subscriptionType":"contact.creation","objectId":7,"fromObjectId":"%s","toObjectId":9,"occurredAt":1760000000000}`, from)
		sourcetest.RequireTyped(t, New(), source.Record{Value: value, ReceivedAt: time.Unix(1_760_000_060, 0)})
	}
}

func TestBothPlatformsMeet(t *testing.T) {
	t.Parallel()
	split := func(path string) map[string]string {
		out := map[string]string{}
		for r, err := range New().Split(&source.Delivery{Body: read(t, path)}) {
			require.NoError(t, err)
			event := describe(t, string(r.Value))
			out[event.ID] = event.Type
		}
		return out
	}
	classic, platform := split("testdata/batch_classic.json"), split("testdata/batch_platform.json")
	require.Len(t, classic, 8, "two facts of the batch share an id")
	require.Len(t, platform, 6)
	var met []string
	for id, eventType := range classic {
		if platform[id] != "" {
			require.Equal(t, eventType, platform[id])
			met = append(met, eventType)
		}
	}
	require.ElementsMatch(t, []string{"deal.created", "contact.lifecyclestage.changed"}, met)
}

func TestReferences(t *testing.T) {
	t.Parallel()
	const head = `{"portalId":1,"occurredAt":1760000000123,"subscriptionType":`
	for raw, want := range map[string]string{
		`"contact.associationChange","fromObjectId":9,"toObjectId":7,"associationType":"CONTACT_TO_COMPANY"}`:                                               "company:7 contact:9",
		`"company.associationChange","fromObjectId":7,"toObjectId":8,"associationType":"PARENT_COMPANY_TO_CHILD_COMPANY"}`:                                  "company:7 company:8",
		`"deal.associationChange","fromObjectId":3,"toObjectId":4,"associationType":"DEAL_TO_LINE_ITEM"}`:                                                   "deal:3 line_item:4",
		`"object.associationChange","fromObjectId":9,"fromObjectTypeId":"0-1","toObjectId":7,"toObjectTypeId":"0-2"}`:                                       "company:7 contact:9",
		`"object.associationChange","fromObjectId":9,"fromObjectTypeId":"2-5","toObjectId":7,"toObjectTypeId":"0-2"}`:                                       "company:7 object:2-5/9",
		`"ticket.associationChange","fromObjectId":9,"toObjectId":7,"associationType":"something else"}`:                                                    "ticket:9",
		`"company.merge","objectId":2,"primaryObjectId":1,"mergedObjectIds":[2,3],"newObjectId":4}`:                                                         "company:1 company:2 company:3 company:4",
		`"object.creation","objectTypeId":"2-5","objectId":6}`:                                                                                              "object:2-5/6",
		`"company.propertyChange","objectId":7,"propertyName":"domain","propertyValue":"not a domain"}`:                                                     "company:7",
		`"event.completed","objectTypeId":"0-1","objectId":901,"eventTypeName":"e_visited_page"}`:                                                           "contact:901",
		`"contact.propertyChange","objectId":9,"propertyName":"account_uuid","propertyValue":"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01","changeSource":"API"}`:  "contact:9 account_uuid:7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01",
		`"contact.propertyChange","objectId":9,"propertyName":"account_uuid","propertyValue":"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01","changeSource":"FORM"}`: "contact:9",
	} {
		var got []string
		for _, r := range describe(t, head+raw).References {
			require.Equal(t, r.Kind != source.KindAccountUUID, r.Tenant == "1")
			got = append(got, r.Kind+":"+r.ID)
		}
		require.Equal(t, want, strings.Join(got, " "), raw)
	}
}

// A company's domain is one, however a person typed it.
func TestDomains(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"acme.example": "acme.example", " https://www.acme.example:8443/a?b ": "acme.example", "acme.example/about": "acme.example",
		"acme.example.": "acme.example", "user@acme.example": "acme.example", "REDACTED": "", "acme inc.": "", "http://[::1": "",
	} {
		raw, err := json.Marshal(map[string]any{
			"portalId": 1, "objectId": 2, "occurredAt": 1760000000123, "subscriptionType": "company.propertyChange", "propertyName": "domain", "propertyValue": value,
		})
		require.NoError(t, err)
		var got string
		for _, ref := range describe(t, string(raw)).References {
			if ref.Kind == source.KindDomain {
				got = ref.ID
			}
		}
		require.Equal(t, want, got, value)
	}
}

func TestTypesAreWhatDescribeSays(t *testing.T) {
	t.Parallel()
	for _, row := range New().Profile().Types {
		vendor, property, _ := strings.Cut(strings.TrimSuffix(row.Vendor, ")"), " (")
		event := describe(t, fmt.Sprintf(
			`{"portalId":1,"occurredAt":1760000000123,"objectId":5,"subscriptionType":%q,"propertyName":%[2]q,"objectTypeId":%[2]q,"messageType":%[2]q}`, vendor, property))
		require.Equal(t, row.Type, event.Type, row.Vendor)
	}
}

// TestStandardObjects lists what HubSpot's own objects are on the timeline.
func TestStandardObjects(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	for _, id := range append(slices.Sorted(maps.Keys(objectTypes)), slices.Sorted(maps.Keys(standardObjects))...) {
		for _, action := range []string{"creation", "deletion", "propertyChange", "associationChange", "merge", "restore"} {
			event := describe(t, fmt.Sprintf(`{"portalId":1,"occurredAt":1760000000123,"objectId":5,"subscriptionType":"object.%s","objectTypeId":%q}`, action, id))
			fmt.Fprintf(&out, "object.%-18s %-6s %-36s %s\n", action, id, event.Type, event.References[0].Key())
		}
	}
	const golden = "testdata/objects/standard.golden.txt"
	if flag.Lookup("update").Value.String() == "true" {
		require.NoError(t, os.WriteFile(golden, []byte(out.String()), 0o644))
	}
	require.Equal(t, string(read(t, golden)), out.String())
}

func BenchmarkSplit(b *testing.B) {
	d := &source.Delivery{Body: read(b, "testdata/batch_classic.json")}
	b.SetBytes(int64(len(d.Body)))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range New().Split(d) {
			require.NoError(b, err)
		}
	}
}
