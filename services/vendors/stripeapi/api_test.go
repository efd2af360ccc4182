package stripeapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

const key = "rk_test_0123456789abcdef"

// body gives an event's body as Stripe makes it, of this many seconds ago.
func body(n int, ago time.Duration) []byte {
	return fmt.Appendf(nil, `{"id":"evt_%06d","object":"event","api_version":"2026-03-25.dahlia","created":%d,"livemode":true,"pending_webhooks":0,
"type":%q,"data":{"object":{"id":"cus_%d","object":"customer"}}}`, n, time.Now().Add(-ago).Unix(), []string{"customer.created", "customer.updated"}[n%2], n%7)
}

// serve starts an API with so many events, the last of them just now, one a step.
func serve(t *testing.T, events int, step time.Duration) (*API, string) {
	t.Helper()
	api := New(key)
	for n := range events {
		require.NoError(t, api.Add(body(n, time.Duration(events-n)*step)))
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return api, server.URL
}

// library gives Stripe's own client of the API at this address.
func library(url, key string) *stripe.Client {
	return stripe.NewClient(key, stripe.WithBackends(stripe.NewBackendsWithConfig(&stripe.BackendConfig{
		URL: stripe.String(url), MaxNetworkRetries: stripe.Int64(0), HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		LeveledLogger: &stripe.LeveledLogger{},
	})))
}

func listed(t *testing.T, client *stripe.Client, params *stripe.EventListParams) (ids []string, err error) {
	t.Helper()
	for event, err := range client.V1Events.List(t.Context(), params).All(t.Context()) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, event.ID)
	}
	return ids, nil
}

// Stripe's own library pages through the fake, in both directions, and meets its errors as Stripe's.
func TestStripesLibraryReadsIt(t *testing.T) {
	t.Parallel()
	_, url := serve(t, 250, time.Second)
	client := library(url, key)
	params := &stripe.EventListParams{}
	params.Limit = stripe.Int64(100)
	ids, err := listed(t, client, params)
	require.NoError(t, err)
	require.Len(t, ids, 250)
	require.Equal(t, "evt_000249", ids[0], "the newest first")
	require.Equal(t, "evt_000000", ids[249])

	params = &stripe.EventListParams{}
	params.EndingBefore = stripe.String("evt_000100")
	ids, err = listed(t, client, params)
	require.NoError(t, err)
	require.Len(t, ids, 149)

	params = &stripe.EventListParams{Types: []*string{stripe.String("customer.updated"), stripe.String("charge.failed")}}
	ids, err = listed(t, client, params)
	require.NoError(t, err)
	require.Len(t, ids, 125)

	params = &stripe.EventListParams{CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: time.Now().Add(-60 * time.Second).Unix()}}
	ids, err = listed(t, client, params)
	require.NoError(t, err)
	require.InDelta(t, 60, len(ids), 4)

	event, err := client.V1Events.Retrieve(t.Context(), "evt_000007", nil)
	require.NoError(t, err)
	require.EqualValues(t, "customer.updated", event.Type)

	var refused *stripe.Error
	_, err = client.V1Events.Retrieve(t.Context(), "evt_gone", nil)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, stripe.ErrorCodeResourceMissing, refused.Code)
	_, err = listed(t, library(url, "rk_test_another"), &stripe.EventListParams{})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusUnauthorized, refused.HTTPStatusCode)
	params = &stripe.EventListParams{}
	params.StartingAfter = stripe.String("evt_gone")
	_, err = listed(t, client, params)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "starting_after", refused.Param)
	params = &stripe.EventListParams{}
	params.Limit = stripe.Int64(101)
	_, err = listed(t, client, params)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusBadRequest, refused.HTTPStatusCode)
}
