//go:build vendorclients

package clients

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/services/vendors/stripeapi"
)

// The tap asks for windows of two days, of which the first lies before what Stripe keeps.
func TestTapStripe(t *testing.T) {
	t.Parallel()
	const key = "rk_live_0123456789abcdef"
	api := stripeapi.New(key)
	for n := range 1234 {
		at := time.Now().Add(-time.Duration(n) * 20 * time.Minute)
		require.NoError(t, api.Add(fmt.Appendf(nil, `{"id":"evt_%d","object":"event","api_version":"2026-03-25.dahlia","created":%d,"livemode":true,"pending_webhooks":0,"request":{"id":null},
			"type":"customer.updated","data":{"object":{"id":"cus_1","object":"customer","name":"Acme"}}}`, n, at.Unix())))
	}
	since := time.Now().Add(-40 * 24 * time.Hour).UTC().Format(time.RFC3339)
	require.Equal(t, map[string]int{"events": 1234}, records(t, read(t, "tap-stripe", serve(t, api), "KEY="+key, "SINCE="+since), "id"))
}
