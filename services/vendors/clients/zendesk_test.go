//go:build vendorclients

package clients

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/services/vendors/zendeskapi"
)

func zendeskFake() *zendeskapi.API {
	api := zendeskapi.New("kim@acme.example", token)
	for i := range 1200 {
		at := time.Now().Add(-time.Duration(1200-i+1) * time.Minute).UTC()
		when := at.Format(time.RFC3339)
		api.Add("tickets", zendeskapi.Item{"id": 5000 + i, "created_at": when, "updated_at": when, "generated_timestamp": at.Unix(), "subject": "charged twice", "status": "open", "fields": []any{}})
		api.Add("users", zendeskapi.Item{"id": 9000 + i, "created_at": when, "updated_at": when, "role": "end-user", "email": fmt.Sprintf("u%d@acme.example", i)})
		api.Add("organizations", zendeskapi.Item{"id": 7000 + i, "created_at": when, "updated_at": when, "name": "Acme"})
		api.Add("ticket_events", zendeskapi.Item{"id": 90000 + i, "ticket_id": 5000 + i, "timestamp": at.Unix(), "created_at": when, "event_type": "Audit",
			"child_events": []zendeskapi.Item{{"id": 900000 + i, "event_type": "Comment", "body": "x", "public": true}}})
	}
	api.AddWebhook(zendeskapi.Webhook{ID: "01F", Endpoint: "https://hooks.acme.example/webhooks/zendesk", Status: "active"})
	return api
}

func TestNodeZendesk(t *testing.T) {
	t.Parallel()
	var got []string
	for _, line := range read(t, "node-zendesk", serve(t, zendeskFake()), "EMAIL=kim@acme.example", "TOKEN="+token) {
		got = append(got, string(line))
	}
	require.Equal(t, []string{
		`{"tickets":1200}`,
		`{"users":1200}`,
		`{"organizations":1200}`,
		`{"exported":1000}`,
		`{"events":1000}`,
		`{"shown":["u0@acme.example","u1@acme.example"]}`,
		`{"webhooks":["01F"]}`,
		`{"refused":true}`,
	}, got)
}

func TestTapZendesk(t *testing.T) {
	t.Parallel()
	require.Equal(t, map[string]int{"tickets": 1200, "users": 1200}, records(t, read(t, "tap-zendesk", serve(t, zendeskFake()), "TOKEN="+token), "id"))
}
