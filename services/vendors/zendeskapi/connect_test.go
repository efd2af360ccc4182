package zendeskapi

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi"
)

const address = "https://hooks.acme.example/webhooks/zendesk"

func TestConnects(t *testing.T) {
	t.Parallel()
	a, p := serve(t, 0)
	for _, id := range []string{"a", "b", "c"} {
		a.AddWebhook(Webhook{ID: id, Name: id, Endpoint: "https://other.example/" + id, Status: "active"})
	}
	s, client := p.Source.(source.Subscriber), p.Client()
	look := func() source.Subscriptions {
		found, err := s.Look(t.Context(), client, address)
		require.NoError(t, err)
		return found
	}
	found := look()
	require.Empty(t, found.Have)
	require.Len(t, found.Changes, 1)
	require.True(t, found.Changes[0].Secret)
	secret, err := s.Change(t.Context(), client, address, found.Changes[0])
	require.NoError(t, err)
	made := a.Webhooks()[3]
	require.Equal(t, made.Secret, secret)
	require.Equal(t, "active", made.Status)
	require.Contains(t, made.Subscriptions, "zen:event-type:ticket.comment_added")
	found = look()
	require.Empty(t, found.Changes)
	require.True(t, found.Have[0].Enabled)
	require.Empty(t, found.Have[0].Failing)
}

// Trap: the circuit breaker keeps deliveries back, somebody has made the webhook inactive,
// and it lacks events.
func TestWebhookThatFails(t *testing.T) {
	t.Parallel()
	a, p := serve(t, 0)
	last := time.Now().Truncate(time.Second)
	a.AddWebhook(Webhook{ID: "w", Endpoint: address, Status: "inactive", Subscriptions: []string{"zen:event-type:ticket.created"}, Invocations: []Invocation{
		{"success", 200, "zen:event-type:ticket.created", last.Add(-time.Minute)}, {"failed", 500, "zen:event-type:ticket.created", last.Add(-time.Second)}, {"circuitbroken", 0, "zen:event-type:ticket.created", last},
	}})
	a.AddWebhook(Webhook{ID: "t", Endpoint: address, Status: "active", Subscriptions: []string{"conditional_ticket_events"}})
	s, client := p.Source.(source.Subscriber), p.Client()
	found, err := s.Look(t.Context(), client, address)
	require.NoError(t, err)
	require.Len(t, found.Have, 2)
	require.False(t, found.Have[0].Enabled)
	require.Equal(t, "2 of the last 3 deliveries failed (the newest of them: circuitbroken)", found.Have[0].Failing)
	require.WithinDuration(t, last, found.Have[0].LastDelivery, 0)
	require.Contains(t, found.Notes[0], "t is called by triggers")
	require.Len(t, found.Changes, 1, "a webhook of triggers cannot become one of events")
	require.Contains(t, found.Changes[0].Text, "activate w, which is inactive, and add ")
	_, err = s.Change(t.Context(), client, address, found.Changes[0])
	require.NoError(t, err)
	found, err = s.Look(t.Context(), client, address)
	require.NoError(t, err)
	require.Empty(t, found.Changes)
	require.Contains(t, found.Have[0].Types, "zen:event-type:user.merged")
}

func TestWebhooksThatCannotBeSeen(t *testing.T) {
	t.Parallel()
	a, p := serve(t, 0)
	a.AddWebhook(Webhook{ID: "w", Endpoint: address, Status: "active"})
	s, client := p.Source.(source.Subscriber), p.Client()
	p.faults.Inject("/api/v2/webhooks/w/invocations", 0, 1, fakeapi.Answers(403, `{}`))
	found, err := s.Look(t.Context(), client, address)
	require.NoError(t, err)
	require.Equal(t, "How deliveries of w went cannot be read with this key.", found.Notes[0])
	p.faults.Inject("/api/v2/webhooks", 0, 1, fakeapi.Answers(200, `{"webhooks":[],"meta":{"has_more":true,"after_cursor":null}}`))
	_, err = s.Look(t.Context(), client, address)
	require.ErrorContains(t, err, "does not go on")
	a.Forbid("webhooks")
	_, err = s.Look(t.Context(), client, address)
	require.Equal(t, fault.Forbidden, fault.ReasonOf(err))
}
