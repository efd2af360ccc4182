package stripeapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pull/egress"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	ours "github.com/throughline-dev/throughline/pkg/source/stripe"
)

const hooks = "https://hooks.example.com/webhooks/stripe"

// Stripe's own library makes, lists, changes and deletes the fake's endpoints.
func TestStripesLibraryChangesEndpoints(t *testing.T) {
	t.Parallel()
	_, url := serve(t, 0, 0)
	client := library(url, key)
	made, err := client.V1WebhookEndpoints.Create(t.Context(), &stripe.WebhookEndpointCreateParams{
		URL: stripe.String(hooks), EnabledEvents: stripe.StringSlice([]string{"invoice.paid", "charge.failed"}), APIVersion: stripe.String("2026-03-25.dahlia"),
	})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(made.Secret, "whsec_"))
	require.Equal(t, "enabled", made.Status)
	require.Equal(t, "2026-03-25.dahlia", made.APIVersion)
	require.False(t, made.Livemode, "the key is one of test mode")

	changed, err := client.V1WebhookEndpoints.Update(t.Context(), made.ID, &stripe.WebhookEndpointUpdateParams{
		Disabled: stripe.Bool(true), EnabledEvents: stripe.StringSlice([]string{"*"}),
	})
	require.NoError(t, err)
	require.Equal(t, "disabled", changed.Status)
	require.Equal(t, []string{"*"}, changed.EnabledEvents)
	require.Empty(t, changed.Secret, "it is told once")

	for n := range 11 {
		_, err := client.V1WebhookEndpoints.Create(t.Context(), &stripe.WebhookEndpointCreateParams{
			URL: stripe.String(fmt.Sprintf("%s/%d", hooks, n)), EnabledEvents: stripe.StringSlice([]string{"*"}), Connect: stripe.Bool(n == 0)})
		require.NoError(t, err)
	}
	var listed []*stripe.WebhookEndpoint
	for e, err := range client.V1WebhookEndpoints.List(t.Context(), &stripe.WebhookEndpointListParams{}).All(t.Context()) {
		require.NoError(t, err)
		listed = append(listed, e)
	}
	require.Len(t, listed, 12, "on two pages")
	require.Equal(t, made.ID, listed[11].ID, "the newest first")
	require.NotEmpty(t, listed[10].Application)
	require.Empty(t, listed[0].Application)

	_, err = client.V1WebhookEndpoints.Delete(t.Context(), made.ID, nil)
	require.NoError(t, err)
	var refused *stripe.Error
	_, err = client.V1WebhookEndpoints.Retrieve(t.Context(), made.ID, nil)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, stripe.ErrorCodeResourceMissing, refused.Code)
	_, err = client.V1WebhookEndpoints.Create(t.Context(), &stripe.WebhookEndpointCreateParams{
		URL: stripe.String("http://hooks.example.com"), EnabledEvents: stripe.StringSlice([]string{"*"})})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, stripe.ErrorCodeURLInvalid, refused.Code)
}

// connector is our source, and a client of the fake.
type connector struct {
	t   *testing.T
	api *API
	source.Subscriber
	client source.Doer
}

func connect(t *testing.T, key string) *connector {
	t.Helper()
	api, url := serve(t, 0, 0)
	api.SetKey(key)
	subscriber := ours.New().(source.Subscriber)
	client, err := egress.New(egress.Options{API: subscriber.API(), Key: settings.Secret(key), Address: url, AllowPrivate: true, Rate: 1e6, MostBytes: 1 << 20})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &connector{t, api, subscriber, client}
}

func (c *connector) look() source.Subscriptions {
	c.t.Helper()
	seen, err := c.Look(c.t.Context(), c.client, hooks)
	require.NoError(c.t, err)
	return seen
}

// mend makes all changes, and gives the secrets.
func (c *connector) mend(changes []source.SubscriptionChange) (secrets []string) {
	c.t.Helper()
	for _, change := range changes {
		secret, err := c.Change(c.t.Context(), c.client, hooks, change)
		require.NoError(c.t, err)
		require.Equal(c.t, change.Secret, secret != "")
		secrets = append(secrets, secret)
	}
	require.Empty(c.t, c.look().Changes, "all is as it should be")
	return secrets
}

func TestMakesAnEndpoint(t *testing.T) {
	t.Parallel()
	c := connect(t, "rk_live_0123456789abcdef")
	seen := c.look()
	require.Empty(t, seen.Have)
	require.Empty(t, seen.Notes)
	require.Equal(t, []source.SubscriptionChange{{Text: "create an endpoint for all types", Types: []string{"*"}, Secret: true}}, seen.Changes)
	require.Contains(t, c.mend(seen.Changes)[0], "whsec_")
	seen = c.look()
	require.Equal(t, []source.Subscription{{ID: "we_0001", Enabled: true, Types: []string{"*"}}}, seen.Have)
	require.False(t, seen.Test)
	require.Equal(t, "2026-03-25.dahlia", *c.api.Endpoints()[0].APIVersion)
	require.Equal(t, hooks, c.api.Endpoints()[0].URL)
}

// Trap: Stripe has disabled the endpoint, and it lacks types; those that somebody chose besides stay.
func TestEndpointThatStripeDisabled(t *testing.T) {
	t.Parallel()
	c := connect(t, key)
	e := c.api.AddEndpoint(Endpoint{URL: hooks, EnabledEvents: []string{"invoice.paid", "payout.paid"}})
	c.api.Disable(e.ID)
	seen := c.look()
	require.False(t, seen.Have[0].Enabled)
	require.Len(t, seen.Changes, 1)
	require.Contains(t, seen.Changes[0].Text, "enable we_0001, which is disabled, and add to we_0001 the types customer.subscription.created, ")
	require.NotContains(t, seen.Changes[0].Types, "balance.available", "it is nobody's")
	require.NotContains(t, seen.Changes[0].Types, "v1.customer.created", "an endpoint cannot send it")
	c.mend(seen.Changes)
	require.Equal(t, "enabled", c.api.Endpoints()[0].Status)
	require.Contains(t, c.api.Endpoints()[0].EnabledEvents, "payout.paid")
	require.Contains(t, c.api.Endpoints()[0].EnabledEvents, "charge.dispute.created")
}

// Trap: another endpoint with the same address. One that works is enough; one for connected accounts is another thing.
func TestEndpointsWithTheSameAddress(t *testing.T) {
	t.Parallel()
	c := connect(t, "rk_live_0123456789abcdef")
	application := "ca_1"
	c.api.AddEndpoint(Endpoint{URL: "https://HOOKS.example.com/webhooks/stripe"})
	c.api.Disable(c.api.AddEndpoint(Endpoint{URL: hooks}).ID)
	c.api.Disable(c.api.AddEndpoint(Endpoint{URL: hooks, Application: &application}).ID)
	seen := c.look()
	require.Len(t, seen.Have, 3)
	require.Len(t, seen.Changes, 1)
	require.Equal(t, "we_0003", seen.Changes[0].ID, "that of the connected accounts")
	require.Len(t, seen.Notes, 1)
	require.Contains(t, seen.Notes[0], "we_0002 and we_0001 have the same address")
	c.mend(seen.Changes)
	require.Equal(t, "disabled", c.api.Endpoints()[1].Status, "what somebody switched off beside one that works stays so")
}

// Trap: more endpoints than a page has.
func TestMoreThanOnePageOfEndpoints(t *testing.T) {
	t.Parallel()
	c := connect(t, key)
	c.api.AddEndpoint(Endpoint{URL: hooks})
	for n := range 150 {
		c.api.AddEndpoint(Endpoint{URL: fmt.Sprintf("https://other.example.com/%d", n)})
	}
	seen := c.look()
	require.Equal(t, "we_0001", seen.Have[0].ID)
	require.Empty(t, seen.Changes, "it does not make a second one")
	c.api.Inject(1, -1, SamePage) // the first page again and again
	_, err := c.Look(t.Context(), c.client, hooks)
	require.Equal(t, fault.Malformed, fault.ReasonOf(err), "%v", err)
}

// Trap: a key without the right, to read or to write.
func TestKeyWithoutTheRight(t *testing.T) {
	t.Parallel()
	c := connect(t, "rk_live_0123456789abcdef")
	c.api.Deny(http.MethodGet, "/v1/events")
	c.api.Deny(http.MethodPost, "/v1/webhook_endpoints")
	seen := c.look()
	require.Equal(t, []string{"The key may not read events, so that it is not known whether deliveries fail."}, seen.Notes)
	_, err := c.Change(t.Context(), c.client, hooks, seen.Changes[0])
	require.Equal(t, fault.Forbidden, fault.ReasonOf(err))
	require.Equal(t, "give the restricted key the permission Webhook Endpoints: write", fault.Advice(err))
	require.Empty(t, c.api.Endpoints())
	c.api.Deny(http.MethodGet, "/v1/webhook_endpoints")
	_, err = c.Look(t.Context(), c.client, hooks)
	require.Equal(t, fault.Forbidden, fault.ReasonOf(err))
	require.Equal(t, "give the restricted key the permission Webhook Endpoints: read", fault.Advice(err))
}

// Trap: a key of test mode sees test mode alone.
func TestKeyOfTestMode(t *testing.T) {
	t.Parallel()
	c := connect(t, key)
	require.False(t, c.look().Test, "nothing tells")
	c.mend(c.look().Changes)
	require.True(t, c.look().Test)
}

// What an endpoint has not taken, an endpoint that sends to nearly the address, and one of an old version are told of.
func TestNotesAboutEndpoints(t *testing.T) {
	t.Parallel()
	c := connect(t, "rk_live_0123456789abcdef")
	old := "2019-02-19"
	c.api.AddEndpoint(Endpoint{URL: hooks, APIVersion: &old})
	c.api.AddEndpoint(Endpoint{URL: hooks + "/?token=secret"})
	require.NoError(t, c.api.Add(body(1, 0), []byte(strings.Replace(string(body(2, 0)), `"pending_webhooks":0`, `"pending_webhooks":1`, 1))))
	seen := c.look()
	require.Empty(t, seen.Changes)
	notes := strings.Join(seen.Notes, "\n")
	require.Contains(t, notes, "we_0001 sends events in API version 2019-02-19")
	require.Contains(t, notes, "we_0002 sends to https://hooks.example.com/webhooks/stripe/, which is not this address")
	require.NotContains(t, notes, "secret")
	require.Contains(t, notes, "has not taken evt_000002 (customer.created, of ")
}

// Answers that no such API gives are errors, and nothing is changed by them.
func TestLiesAboutEndpoints(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]Fault{
		"HTML": HTML, "an error with 200": ErrorWith200, "truncated gzip": TruncatedGzip, "an oversized page": Oversized(2 << 20), "nothing": answers(""),
		"other objects": answers(`{"object":"list","has_more":false,"data":[{"id":"evt_1","object":"event"}]}`),
		"no status":     answers(`{"object":"list","has_more":false,"data":[{"id":"we_1","object":"webhook_endpoint","url":"https://x.example"}]}`),
		"endless":       answers(`{"object":"list","has_more":true,"data":[]}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, key)
			c.api.Inject(0, -1, f)
			_, err := c.Look(t.Context(), c.client, hooks)
			require.Error(t, err)
			require.NotContains(t, err.Error(), key)
			_, err = c.Change(t.Context(), c.client, hooks, source.SubscriptionChange{Types: []string{"*"}})
			require.Error(t, err)
			require.LessOrEqual(t, len(c.api.Requests()), 3)
		})
	}
}
