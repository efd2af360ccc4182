package stripe

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

// TestEveryType lists which references each of Stripe's event types gives, as a
// snapshot and as a thin event, or why it gives none. types.txt has the types of
// stripe-node 23.1.0 with the objects that they are of; objects.json has of the fixtures of
// stripe/openapi what points at somebody, each such member filled.
func TestEveryType(t *testing.T) {
	t.Parallel()
	var objects map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(read(t, "testdata/openapi/objects.json"), &objects))
	var out strings.Builder
	for line := range strings.Lines(string(read(t, "types.txt"))) {
		vendor, object, ok := strings.Cut(strings.TrimSpace(line), " ")
		require.True(t, ok && objects[object] != nil, line)
		snapshot := referenceKinds(t, fmt.Sprintf(
			`{"id":"evt_1","object":"event","created":1760000000,"type":%q,"data":{"object":%s}}`, vendor, objects[object]))
		thin := referenceKinds(t, fmt.Sprintf(
			`{"id":"evt_1","object":"v2.core.event","created":"2025-10-09T08:53:20Z","type":"v1.%s","related_object":{"id":"x_1","type":%q,"url":"/v1/x/x_1"}}`, vendor, object))
		if snapshot == "" {
			snapshot = "none: " + why(object)
		}
		if object == kindAccount {
			thin = "account (of an acct_ id)"
		}
		require.NotEmpty(t, thin, "a thin event keeps a reference to its object: %s", line)
		fmt.Fprintf(&out, "%-62s %s; thin: %s\n", typeName(vendor), snapshot, thin)
	}
	requireGolden(t, "testdata/openapi/references.golden.txt", out.String())
}

// TestEveryThinType lists the same for the types that only thin events have.
// thin.txt has those of stripe-node with the object that each is of ("-": none).
func TestEveryThinType(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	for line := range strings.Lines(string(read(t, "testdata/openapi/thin.txt"))) {
		vendor, object, ok := strings.Cut(strings.TrimSpace(line), " ")
		require.True(t, ok, line)
		related := fmt.Sprintf(`{"id":"x_1","type":%q,"url":"/v2/x/x_1"}`, object)
		switch object {
		case "-":
			related = "null"
		case "v2.core.account":
			related = `{"id":"acct_1","type":"v2.core.account","url":"/v2/core/accounts/acct_1"}`
		}
		kinds := referenceKinds(t, fmt.Sprintf(
			`{"id":"evt_1","object":"v2.core.event","created":"2025-10-09T08:53:20Z","type":%q,"related_object":%s}`, vendor, related))
		if kinds == "" {
			require.Equal(t, "-", object, line)
			kinds = "none: it is of no object; what it is about shows when it is fetched, or by its context"
		}
		fmt.Fprintf(&out, "%-76s %s\n", typeName(vendor), kinds)
	}
	requireGolden(t, "testdata/openapi/thin.golden.txt", out.String())
	fetched := referenceKinds(t, `{"id":"evt_1","object":"v2.core.event","created":"2025-10-09T08:53:20Z","type":"v2.core.account_link.returned",
		"data":{"account_id":"acct_1","customer":"cus_1","subscription":"sub_1"}}`)
	require.Equal(t, "customer, subscription, account", fetched)
}

func requireGolden(t *testing.T, golden, got string) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	require.Equal(t, string(read(t, golden)), got)
}

// why says why a snapshot of this object points at nobody.
func why(object string) string {
	if slices.Contains(merchants, object) {
		return "the merchant's own"
	}
	if object == "application" {
		return "the platform's application, whose account is the event's"
	}
	return "the object names nobody"
}

func referenceKinds(t *testing.T, body string) string {
	t.Helper()
	event, err := sourcetest.Describe(New(), source.Record{Value: []byte(body), ReceivedAt: vectorTime})
	require.NoError(t, err, body)
	var kinds []string
	for _, ref := range event.References {
		kinds = append(kinds, ref.Kind)
	}
	return strings.Join(slices.Compact(kinds), ", ")
}
