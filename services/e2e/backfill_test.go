package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/vendors"
	"github.com/throughline-dev/throughline/services/vendors/story"
	"github.com/throughline-dev/throughline/services/vendors/stripeapi"
)

// One webhook in fifty is lost, and some events lie before the first. A comparison with the vendor's API finds what is
// lost and brings it in, a backfill what lies before: every event is on exactly one timeline, its customer's, and a
// second backfill changes nothing.
func TestBackfillBringsWhatWebhooksLost(t *testing.T) {
	t.Parallel()
	p := newPlace(t, streamtest.Embedded(t))
	url := startEmbedded(t, p)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	const events, customers, before, key = 500, 5, 25, "rk_live_0123456789abcdef"
	api := stripeapi.New(key)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	sim, err := vendors.New(catalog.Set(), 1)
	require.NoError(t, err)

	owners := map[string]string{}
	for n := range customers {
		id := fmt.Sprintf("cus_Backfill%d", n)
		owners[id] = p.account(fmt.Sprintf("Company %d", n), "").String()
		p.throughline("link", "stripe:"+id, owners[id])
	}
	types := []string{"invoice.paid", "customer.updated", "charge.failed", "customer.subscription.updated"}
	sender := story.Sender{Sender: vendors.Sender{Sources: catalog.Set(), URL: url, PublicURL: publicURL, Secrets: secrets()}}
	random, lost := newRand(t), 0
	for n := range events + before {
		at := time.Now().Add(-10*time.Minute - time.Duration(n)*5*time.Minute)
		if n >= events {
			at = at.AddDate(0, 0, -3)
		}
		d, err := sim.Delivery("stripe", vendors.Event{
			Type: types[n%len(types)], At: at,
			About: vendors.Customer{IDs: map[string]string{"stripe:customer": fmt.Sprintf("cus_Backfill%d", n%customers)}},
		})
		require.NoError(t, err)
		require.NoError(t, api.Add(d.Body))
		if n >= events {
			continue
		}
		if random.IntN(50) == 0 {
			lost++
			continue
		}
		await(t, patience, "the receiver to take an event", func() (bool, string) {
			if err := sender.Send(t.Context(), story.Message{Delivery: d}); err != nil {
				return false, err.Error()
			}
			return true, ""
		})
	}
	require.Greater(t, lost, 3)
	p.onTimelinesBecome(events - lost)

	asking := []string{"--rate", "1000", "--stripe-api-key", key, "--stripe-api-url", server.URL, "--egress-allow-private"}
	reconcile := append([]string{"reconcile", "stripe", "--days", "2"}, asking...)
	p.throughlineExits(1, append(reconcile, "--no-heal")...)
	gaps := p.throughline("gaps")
	t.Logf("throughline gaps, before healing:\n%s", gaps)
	require.Contains(t, gaps, " not_healed)")
	p.throughline(reconcile...)
	p.onTimelinesBecome(events)
	gaps = p.throughline("gaps")
	t.Logf("throughline gaps, after healing:\n%s", gaps)
	require.NotContains(t, gaps, "not_")
	require.Equal(t, lost, p.count("SELECT count(*) FROM account_event_origins WHERE delivery = 'backfill'"), "what was lost, and nothing else")

	backfill := func() string {
		return p.throughline(append([]string{"backfill", "stripe", "--since", "7d"}, asking...)...)
	}
	require.Contains(t, backfill(), fmt.Sprintf("%d events on ", events+before))
	p.onTimelinesBecome(events + before)
	p.tap.settle(patience)
	require.Equal(t, lost+before, p.count("SELECT count(*) FROM account_event_origins WHERE delivery = 'backfill'"), "what was not there, and nothing else")
	for n := range customers {
		id := fmt.Sprintf("cus_Backfill%d", n)
		require.Equal(t, (events+before)/customers, p.count("SELECT count(*) FROM account_events WHERE account_id = $1 AND payload::text LIKE '%' || $2 || '%'", owners[id], id), id)
	}
	require.Zero(t, p.count("SELECT count(*) FROM quarantine"), "neither unknown nor in conflict with what the webhook brought")

	rows := p.strings("SELECT account_events::text FROM account_events ORDER BY id")
	backfill()
	p.tap.settle(patience)
	require.Equal(t, rows, p.strings("SELECT account_events::text FROM account_events ORDER BY id"))
	p.tap.exactlyOnce()
}
