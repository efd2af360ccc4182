//go:build vendorclients

package clients

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source/salesforce"
	"github.com/throughline-dev/throughline/services/vendors/salesforceapi"
)

func TestJSforce(t *testing.T) {
	t.Parallel()
	const key = "3MVG9.consumer:the-consumer-secret-0123"
	api := salesforceapi.New(key)
	for n := range 4500 {
		id, _ := salesforce.ID(fmt.Sprintf("0035g%010d", n))
		at := time.Now().Add(-time.Hour).UTC().Format("2006-01-02T15:04:05.000+0000")
		api.Put("Contact", salesforceapi.Record{"Id": id, "IsDeleted": n%9 == 0, "AccountId": "0010800000XyZaBAAV", "Email": "kim@acme.example", "SystemModstamp": at})
	}
	var got []string
	for _, line := range read(t, "jsforce", serve(t, api), "KEY="+key) {
		got = append(got, string(line))
	}
	require.Equal(t, []string{
		`{"organization":"00D5g000004xQzLEAU"}`,
		`{"here":4000,"all":4500,"different":4500,"first":"0035g0000000000AAA","last":"0035g0000004499AAA"}`,
		`{"usage":100000}`,
		`{"refused":"MALFORMED_QUERY"}`, `{"refused":"INVALID_TYPE"}`, `{"refused":"INVALID_SESSION_ID"}`,
	}, got)
}
