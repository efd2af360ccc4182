package looker_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/looker"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

// TestConfiguredColumns: what a person says of a report's columns counts before what their names look like.
func TestConfiguredColumns(t *testing.T) {
	t.Parallel()
	const own, parent = "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01", "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a02"
	s := looker.Configured(looker.Columns{Account: []string{"Deals.Client", "other.key"}, Time: []string{"deals.signed"}})
	tests := map[string]struct {
		row, refs, at string
		reason        fault.Reason
	}{
		"the account's UUID":        {row: `{"accounts.uuid":"` + parent + `","deals.client":"` + own + `","deals.signed":"2025-10-01","x.day_date":"2025-10-08"}`, refs: "looker:account_uuid:" + own, at: "2025-10-01T00:00:00Z"},
		"columns that disagree":     {row: `{"a.account_uuid":"` + own + `","b.account_uuid":"` + parent + `","deals.client":"` + own + `","deals.signed":"2025-10-01"}`, refs: "looker:account_uuid:" + own, at: "2025-10-01T00:00:00Z"},
		"a number":                  {row: `{"deals.client":4711,"deals.signed":"2025-10-01 08:00"}`, refs: "looker:account:4711", at: "2025-10-01T08:00:00Z"},
		"an address":                {row: `{"deals.client":"Kim@Acme.example","deals.signed":1760000000}`, refs: "looker:email:kim@acme.example", at: "2025-10-09T08:53:20Z"},
		"the second name":           {row: `{"other.key":"acme.example","deals.signed":"2025-10-01"}`, refs: "looker:domain:acme.example", at: "2025-10-01T00:00:00Z"},
		"the name that a CSV has":   {row: `{"Deals Client":"k-1","Deals Signed":"2025-10-01"}`, refs: "looker:account:k-1", at: "2025-10-01T00:00:00Z"},
		"an empty one names nobody": {row: `{"accounts.uuid":"` + parent + `","deals.client":null,"deals.signed":"2025-10-01"}`, at: "2025-10-01T00:00:00Z"},
		"a row without them":        {row: `{"accounts.uuid":"` + own + `","x.day_date":"2025-10-08"}`, refs: "looker:account_uuid:" + own, at: "2025-10-08T00:00:00Z"},
		"a time that is none":       {row: `{"deals.signed":"soon","x.day_date":"2025-10-08"}`, reason: fault.Malformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, err := sourcetest.Describe(s, source.Record{Value: []byte(`{"scheduled_plan":{},"row":` + tt.row + `}`), ReceivedAt: received})
			if tt.reason != "" {
				require.Equal(t, tt.reason, fault.ReasonOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.at, event.OccurredAt.Format(time.RFC3339))
			if tt.refs == "" {
				require.Empty(t, event.References)
				return
			}
			require.Len(t, event.References, 1)
			require.Equal(t, tt.refs, event.References[0].Key())
		})
	}
}
