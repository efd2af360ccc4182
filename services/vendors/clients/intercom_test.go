//go:build vendorclients

package clients

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/services/vendors/intercomapi"
)

func intercomFake() *intercomapi.API {
	api := intercomapi.New(token, "a86dr8yl", time.UTC)
	at := time.Now().Add(-24 * time.Hour).Unix()
	list := func(kind string, objects ...any) map[string]any {
		return map[string]any{"type": "list", kind: objects, "total_count": len(objects), "has_more": false, "url": "/x"}
	}
	for i := range 50 {
		var parts []intercomapi.Object
		for n := range 3 {
			parts = append(parts, intercomapi.Object{"type": "conversation_part", "id": fmt.Sprint(i*10 + n), "part_type": "comment", "body": "<p>x</p>", "created_at": at, "updated_at": at, "author": map[string]any{"type": "user", "id": "p1"}, "attachments": []any{}})
		}
		api.Put("conversations", intercomapi.Object{"type": "conversation", "id": fmt.Sprint(100 + i), "created_at": at + int64(i), "updated_at": at + int64(i), "state": "open", "open": true, "read": true,
			"contacts": map[string]any{"type": "contact.list", "contacts": []any{map[string]any{"type": "contact", "id": "p1"}}}, "statistics": map[string]any{"type": "conversation_statistics", "count_conversation_parts": 3}}, parts...)
	}
	for i := range 70 {
		api.Put("contacts", intercomapi.Object{"type": "contact", "id": fmt.Sprint("p", i), "workspace_id": "a86dr8yl", "external_id": fmt.Sprint("user-", i), "role": "user", "email": "kim@acme.example", "created_at": at, "updated_at": at,
			"companies": list("data", map[string]any{"type": "company", "id": "c1", "url": "/companies/c1"}), "tags": list("data")})
	}
	for i := range 130 {
		api.Put("companies", intercomapi.Object{"type": "company", "id": fmt.Sprint("c", i+1), "company_id": fmt.Sprint(i + 1), "app_id": "a86dr8yl", "name": "Acme", "created_at": at, "updated_at": at})
	}
	return api
}

func TestIntercomsSDK(t *testing.T) {
	t.Parallel()
	var got []string
	for _, line := range read(t, "intercom-client", serve(t, intercomFake()), "TOKEN="+token) {
		got = append(got, string(line))
	}
	require.Equal(t, []string{
		`{"conversations":50}`,
		`{"parts":3,"counted":3}`,
		`{"contacts":70}`,
		`{"contact":["p1","user-1",["c1"]]}`,
		`{"companies":130}`,
		`{"app":"a86dr8yl"}`,
		`{"refused":404,"code":"not_found"}`,
	}, got)
}

func TestTapIntercom(t *testing.T) {
	t.Parallel()
	require.Equal(t, map[string]int{"conversations": 50, "conversation_parts": 150, "contacts": 70, "companies": 130},
		records(t, read(t, "tap-intercom", serve(t, intercomFake()), "TOKEN="+token), "id"))
}
