package marketoapi

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi"
)

func TestLearns(t *testing.T) {
	t.Parallel()
	r := serve(t, 400)
	r.api.AddLead(1, map[string]any{"email": "Kim@Acme.example", "company": "Acme", "externalCompanyId": "acct-4711", "sfdcAccountId": "001D000000IqhSLIAZ"})
	r.api.AddLead(2, map[string]any{"email": nil, "externalCompanyId": "0f8fad5b-d9cb-469f-a165-70867728950e", "sfdcAccountId": "none"})
	r.api.Add(Activity{GUID: 11, Lead: 2, Type: 32, At: ago(3000), Primary: "Kim", Attributes: []Attribute{{"Merge IDs", []int{3, 99}}}},
		Activity{GUID: 12, Lead: 1, Type: 32, At: ago(2000), Primary: "Kim", Attributes: []Attribute{{"Merge IDs", "4, 5"}}},
		Activity{GUID: 13, Lead: 6, Type: 37, At: ago(50)})
	ask := func() map[string][]string {
		learned, err := r.Source.(source.Learner).Learn(t.Context(), r.Client(), "lead", []string{"1", "2", "3", "4", "6", "x"})
		require.NoError(t, err)
		all := map[string][]string{}
		for _, l := range learned {
			require.NotContains(t, all, l.ID)
			require.True(t, json.Valid(l.Evidence))
			require.NotContains(t, string(l.Evidence), "@")
			all[l.ID] = []string{}
			if l.Gone {
				all[l.ID] = append(all[l.ID], "gone")
			}
			if l.MergedInto != "" {
				all[l.ID] = append(all[l.ID], "into "+l.MergedInto)
			}
			for _, lead := range l.Leads {
				all[l.ID] = append(all[l.ID], lead.Field+" "+string(lead.By)+" "+lead.Reference.Key())
			}
		}
		return all
	}
	want := map[string][]string{
		"1": {"externalCompanyId vendor marketo:company:acct-4711", "sfdcAccountId vendor salesforce:account:001D000000IqhSLIAZ", "email person marketo:email:kim@acme.example"},
		"2": {"externalCompanyId vendor marketo:account_uuid:0f8fad5b-d9cb-469f-a165-70867728950e", "externalCompanyId vendor marketo:company:0f8fad5b-d9cb-469f-a165-70867728950e"},
		"3": {"into 2"}, "4": {"into 1"}, "6": {"gone"}, "x": {"gone"},
	}
	require.Equal(t, want, ask())

	// Trap: fields that the instance has not, or that the user may not see.
	r.api.Fields, r.api.Forbidden = []string{"id", "email", "externalCompanyId"}, []string{"externalCompanyId"}
	want["1"], want["2"] = want["1"][2:], []string{}
	require.Equal(t, want, ask())

	_, err := r.Source.(source.Learner).Learn(t.Context(), r.Client(), "lead", make([]string, 301))
	require.True(t, fault.IsPermanent(err))
	r.faults.Inject("/rest/v1/leads.json", 0, 1, fakeapi.Answers(200, `{"success":true,"result":[{"id":7}]}`))
	_, err = r.Source.(source.Learner).Learn(t.Context(), r.Client(), "lead", []string{"1"})
	require.Equal(t, fault.Malformed, fault.ReasonOf(err))
	r.api.Forbidden = []string{"email"}
	_, err = r.Source.(source.Learner).Learn(t.Context(), r.Client(), "lead", []string{"1"})
	require.ErrorContains(t, err, "error 1003: it refuses email")
}
