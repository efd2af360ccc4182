//go:build vendorclients

package clients

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/services/vendors/lookerapi"
)

func TestLookersSDK(t *testing.T) {
	t.Parallel()
	const key = "CGc9B7v7J48dQSJv:nNVS9cSS3xNpSC9JdsBv"
	api := lookerapi.New(key)
	rows := make([]lookerapi.Row, 5100)
	for n := range rows {
		rows[n] = lookerapi.Row{"history.id": n + 1, "history.created_time": time.Date(2026, 11, 1, 8, 30, 0, 0, time.UTC), "user.email": "kim@acme.example"}
	}
	api.Put("history", rows...)
	api.PutUser(lookerapi.Row{"id": "7", "email": "kim@acme.example", "credentials_embed": []any{}})
	api.PutUser(lookerapi.Row{"id": "8", "email": nil, "credentials_embed": []any{map[string]any{"external_group_id": "acct-11"}}})
	api.PutUser(lookerapi.Row{"id": "9", "email": "lee@beta.example", "credentials_embed": []any{}})
	api.PutPlan(lookerapi.Row{"id": "1", "enabled": true, "scheduled_plan_destination": []any{map[string]any{"type": "webhook", "address": "https://hooks.example.com/webhooks/looker"}}})
	var got []string
	for _, line := range read(t, "looker-sdk-node", serve(t, api), "KEY="+key) {
		got = append(got, string(line))
	}
	require.Equal(t, []string{
		`{"rows":5000,"first":1,"last":5000,"time":"2026-11-01 08:30:00"}`, `{"behind":100}`, `{"failed":["looker_error"]}`,
		`[["7","kim@acme.example",null],["8",null,"acct-11"]]`, `["webhook"]`,
	}, got)
}
