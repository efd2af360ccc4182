//go:build vendorclients

package clients

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/services/vendors/marketoapi"
)

func TestTapMarketo(t *testing.T) {
	t.Parallel()
	api := marketoapi.New("5b0a3d4e-1111-2222", "s3cret-0123456789")
	api.Polls = 2
	for i := range 500 {
		api.Add(marketoapi.Activity{GUID: int64(783957000 + i), Lead: int64(5414000 + i), Type: 10 + i%2, At: time.Now().Add(-time.Duration(i+1) * time.Hour), CampaignID: 8497, Primary: "EM, \"Pricing\"\nof today",
			Attributes: []marketoapi.Attribute{{Name: "Step ID", Value: 1}}})
	}
	lines := read(t, "tap-marketo", serve(t, api), "CLIENT_ID=5b0a3d4e-1111-2222", "CLIENT_SECRET=s3cret-0123456789", "SINCE="+time.Now().Add(-40*24*time.Hour).UTC().Format(time.RFC3339))
	require.Equal(t, map[string]int{"activities_type_10": 250}, records(t, lines, "marketoGUID"))
}
