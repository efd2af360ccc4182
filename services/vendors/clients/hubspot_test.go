//go:build vendorclients

package clients

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/services/vendors/hubspotapi"
)

const token = "token-0123456789abcdef"

func hubspotFake() *hubspotapi.API {
	api := hubspotapi.New(token, "client:secret", 62515)
	at := time.Now().Add(-24 * time.Hour)
	for i := range 450 {
		api.Put("contacts", hubspotapi.Object{ID: int64(901 + i), Created: at, Updated: at, Properties: map[string]string{"email": fmt.Sprintf("kim%d@acme.example", i), "lifecyclestage": "customer"},
			History: map[string][]hubspotapi.Version{"lifecyclestage": {{Value: "customer", Timestamp: at, SourceType: "CRM_UI"}, {Value: "lead", Timestamp: at.Add(-time.Hour), SourceType: "FORM"}}},
			To:      map[string][]hubspotapi.Association{"companies": {{To: 7001, Type: 1, Label: "Primary"}}}})
	}
	for i := range 120 {
		api.Put("tickets", hubspotapi.Object{ID: int64(31 + i), Created: at, Updated: at, Properties: map[string]string{"subject": "charged twice", "hs_pipeline_stage": "2"}})
	}
	api.Put("companies", hubspotapi.Object{ID: 7001, Created: at, Updated: at, Archived: at})
	return api
}

func TestHubSpotsSDK(t *testing.T) {
	t.Parallel()
	var got []string
	for _, line := range read(t, "hubspot-api-client", serve(t, hubspotFake()), "TOKEN="+token) {
		got = append(got, string(line))
	}
	require.Equal(t, []string{
		`{"search":450,"first":"901","last":"1350"}`,
		`{"paged":450}`,
		`{"refused":400,"category":"VALIDATION_ERROR"}`,
		`{"beyond":400}`,
		`{"batch":[["901",["customer","lead"]],["902",["customer","lead"]]]}`,
		`{"companies":[["901",[["7001",1]]]]}`,
		`{"archived":[["7001",true,true]]}`,
		`{"subscriptions":[["1","deal.propertyChange","dealstage",true]]}`,
	}, got)
}

func TestTapHubSpot(t *testing.T) {
	t.Parallel()
	require.Equal(t, map[string]int{"contacts": 450, "tickets": 120}, records(t, read(t, "tap-hubspot", serve(t, hubspotFake()), "TOKEN="+token), "id"))
}
