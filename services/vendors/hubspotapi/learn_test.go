package hubspotapi

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/hubspot"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi"
)

func (r *rig) learn(kind string, ids ...string) (map[string]source.Learned, error) {
	r.T.Helper()
	list, err := r.Source.(source.Learner).Learn(r.T.Context(), r.Client(), kind, ids)
	learned := map[string]source.Learned{}
	for _, l := range list {
		learned[l.ID] = l
		require.NotContains(r.T, string(l.Evidence), "@", "it holds no text of a person")
	}
	return learned, err
}

func leads(l source.Learned) (out []string) {
	for _, lead := range l.Leads {
		out = append(out, string(lead.By)+" "+lead.Reference.Key()+" "+lead.Field)
	}
	return out
}

func TestLearnsFromHubSpot(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	primary := map[string][]Association{"companies": {{To: 7002, Type: 279}, {To: 7001, Type: 1, Label: "Primary"}}}
	r.api.Put("contacts", Object{ID: 901, Properties: map[string]string{"email": "kim@acme.example"}, To: primary})
	r.api.Put("contacts", Object{ID: 902})
	r.api.Put("contacts", Object{ID: 903, Properties: map[string]string{"hs_calculated_merged_vids": "904:1760000000123;905:1760000000123"}})
	r.api.Put("deals", Object{ID: 31, To: map[string][]Association{"companies": {{To: 7001, Type: 5}, {To: 7002, Type: 341}}}})
	r.api.Put("deals", Object{ID: 32, To: map[string][]Association{"companies": {{To: 7001, Type: 341}, {To: 7002, Type: 341}}}})
	r.api.Put("companies", Object{ID: 7001, Properties: map[string]string{"name": "Acme", "domain": "acme.example", "stripe_customer_id": "cus_1"}})

	learned, err := r.learn("contact", "901", "902", "904", "906", "no number")
	require.NoError(t, err)
	require.Len(t, learned, 4)
	require.Equal(t, []string{"vendor hubspot:company:7001 associations.company", "person hubspot:email:kim@acme.example properties.email"}, leads(learned["901"]))
	require.Empty(t, learned["902"].Leads)
	require.False(t, learned["902"].Gone)
	require.Equal(t, "903", learned["904"].MergedInto)
	require.True(t, learned["906"].Gone)
	require.JSONEq(t, `{"object":"contact","companies":["7001","7002"],"fields":["associations.company","properties.email"]}`, string(learned["901"].Evidence))

	learned, err = r.learn("deal", "31", "32")
	require.NoError(t, err)
	require.Equal(t, []string{"vendor hubspot:company:7001 associations.company"}, leads(learned["31"]))
	require.Len(t, learned["32"].Leads, 2, "neither is the primary one")

	learned, err = r.learn("company", "7001")
	require.NoError(t, err)
	require.Equal(t, []string{"declared stripe:customer:cus_1 properties.stripe_customer_id", "vendor hubspot:domain:acme.example properties.domain"}, leads(learned["7001"]))
	require.Equal(t, "Acme", learned["7001"].Name)

	r.Source = hubspot.Configured(hubspot.Options{CrossReferences: []hubspot.CrossReference{{Property: "billing", Source: "stripe", Kind: "customer"}}}).(source.Pager)
	r.api.Put("companies", Object{ID: 7001, Properties: map[string]string{"billing": "cus_2", "stripe_customer_id": "cus_1"}})
	learned, err = r.learn("company", "7001")
	require.NoError(t, err)
	require.Equal(t, []string{"declared stripe:customer:cus_2 properties.billing"}, leads(learned["7001"]))
}

// After a lie nothing is learned, above all not that an object is gone.
func TestLearnsNothingFromALie(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	r.api.Put("contacts", Object{ID: 901})
	for name, f := range map[string]fakeapi.Fault{
		"HTML": fakeapi.HTML, "an error with 200": fakeapi.Answers(200, `{"status":"error"}`), "no results": fakeapi.Answers(200, `{"status":"COMPLETE"}`),
		"another object": fakeapi.Answers(200, `{"results":[{"id":"5"}]}`), "truncated": fakeapi.TruncatedGzip, "too many": fakeapi.TooMany("1"),
	} {
		r.faults.Heal()
		r.faults.Inject("", 0, -1, f)
		learned, err := r.learn("contact", "901")
		require.Error(t, err, name)
		require.Empty(t, learned)
	}
}

func TestCrossReference(t *testing.T) {
	t.Parallel()
	ref, err := hubspot.ParseCrossReference("stripe_customer_id=stripe:customer")
	require.NoError(t, err)
	require.Equal(t, hubspot.CrossReference{Property: "stripe_customer_id", Source: "stripe", Kind: "customer"}, ref)
	for _, wrong := range []string{"", "stripe_customer_id", "a=b", "=stripe:customer", "a=:customer", "a=stripe:"} {
		_, err := hubspot.ParseCrossReference(wrong)
		require.ErrorContains(t, err, "should be PROPERTY=SOURCE:KIND", wrong)
	}
}
