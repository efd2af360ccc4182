package zendeskapi

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi"
)

// leads gives what was learned of each id, as "field level key".
func leads(t *testing.T, learned []source.Learned) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, l := range learned {
		require.NotContains(t, all, l.ID)
		require.True(t, json.Valid(l.Evidence))
		require.NotContains(t, string(l.Evidence), "@", "evidence holds no address")
		all[l.ID] = []string{}
		if l.Gone {
			all[l.ID] = append(all[l.ID], "gone")
		}
		for _, lead := range l.Leads {
			all[l.ID] = append(all[l.ID], lead.Field+" "+string(lead.By)+" "+lead.Reference.Key())
		}
	}
	return all
}

func TestLearns(t *testing.T) {
	t.Parallel()
	a, p := serve(t, 3)
	a.Change("tickets", 5001, Item{"status": "deleted"})
	a.Change("users", 9001, Item{"role": "agent"})
	a.Change("users", 9002, Item{"active": false, "external_id": "0F8FAD5B-D9CB-469F-A165-70867728950E"})
	a.Add("organizations", Item{"id": 1, "created_at": stamp(time.Now()), "external_id": nil, "name": "Initech"})
	learner := p.Source.(source.Learner)
	learned := func(kind string, ids ...string) map[string][]string {
		all, err := learner.Learn(t.Context(), p.Client(), kind, ids)
		require.NoError(t, err)
		return leads(t, all)
	}
	require.Equal(t, map[string][]string{
		"5000": {"organization_id vendor zendesk:organization:7000", "requester_id vendor zendesk:user:9000"},
		"5001": {"gone"}, "77": {"gone"}, "x,1": {"gone"},
	}, learned("ticket", "5000", "5001", "77", "x,1"))
	require.Equal(t, map[string][]string{
		"9000": {"organization_id vendor zendesk:organization:7000", "email person zendesk:email:u0@c0.example"},
		"9001": {"organization_id vendor zendesk:organization:7001"},
		"9002": {"gone", "external_id declared zendesk:account_uuid:0f8fad5b-d9cb-469f-a165-70867728950e", "organization_id vendor zendesk:organization:7002", "email person zendesk:email:u2@c2.example"},
	}, learned("user", "9000", "9001", "9002"))
	require.Equal(t, map[string][]string{"7000": {"external_id declared zendesk:organization_external:crm-0"}, "1": {}}, learned("organization", "7000", "1"))
	require.Len(t, p.faults.Requests("/api/v2/tickets/show_many.json"), 1, "one request for all")

	_, err := learner.Learn(t.Context(), p.Client(), "ticket", make([]string, 101))
	require.True(t, fault.IsPermanent(err))
	for _, answer := range []string{`{"tickets":[{"id":5}]}`, `{"tickets":[{"id":5000},{"id":5000}]}`, `{"count":0}`} {
		p.faults.Heal()
		p.faults.Inject("", 0, 1, fakeapi.Answers(200, answer))
		_, err := learner.Learn(t.Context(), p.Client(), "ticket", []string{"5000"})
		require.Equal(t, fault.Malformed, fault.ReasonOf(err), "an answer about others says nothing of these")
		require.False(t, fault.IsPermanent(err))
	}
}
