package intercomapi

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
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

func TestLearnsFromIntercom(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.api.Put("contacts", contact("p1", ago(time.Hour), ago(time.Hour)))
	r.api.Put("contacts", contact("p2", ago(time.Hour), ago(time.Hour)))
	r.api.Put("contacts", Object{"type": "contact", "id": "p3", "role": "user"})
	r.api.Merge("p2", "p3", time.Now())
	r.api.Put("conversations", conversation("137", ago(time.Hour), ago(time.Hour), 0))
	r.api.Put("companies", Object{"type": "company", "id": "c1", "company_id": "6", "website": "https://acme.example/", "app_id": app})
	const uuid = "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"
	r.api.Put("companies", Object{"type": "company", "id": "c2", "company_id": uuid, "app_id": app})

	learned, err := r.learn("contact", "p1", "p2", "p3", "p4")
	require.NoError(t, err)
	require.Equal(t, []string{"vendor intercom:company:c1 companies", "declared intercom:external:user-p1 external_id", "person intercom:email:kim@acme.example email"}, leads(learned["p1"]))
	require.Equal(t, "p3", learned["p2"].MergedInto)
	require.Empty(t, learned["p3"].Leads)
	require.False(t, learned["p3"].Gone)
	require.True(t, learned["p4"].Gone)

	learned, err = r.learn("external", "user-p1", "user-nobody")
	require.NoError(t, err)
	require.Len(t, learned, 1)
	require.Equal(t, []string{"declared intercom:contact:p1 id", "vendor intercom:company:c1 companies", "person intercom:email:kim@acme.example email"}, leads(learned["user-p1"]))

	learned, err = r.learn("conversation", "137", "138")
	require.NoError(t, err)
	require.Equal(t, []string{"vendor intercom:contact:p1 contacts"}, leads(learned["137"]))
	require.True(t, learned["138"].Gone)

	for asked, want := range map[string][]string{
		"c1": {"declared intercom:company:6 company_id", "vendor intercom:domain:acme.example website"},
		"6":  {"declared intercom:company:c1 id", "vendor intercom:domain:acme.example website"},
		"c2": {"declared intercom:account_uuid:" + uuid + " company_id", "declared intercom:company:" + uuid + " company_id"},
	} {
		learned, err = r.learn("company", asked)
		require.NoError(t, err)
		require.Equal(t, want, leads(learned[asked]))
	}
	learned, err = r.learn("company", "c9")
	require.NoError(t, err)
	require.True(t, learned["c9"].Gone)
}

// After a lie nothing is learned, above all not that an object is gone.
func TestLearnsNothingFromALie(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, f := range map[string]fakeapi.Fault{
		"HTML": fakeapi.HTML, "200 with nothing": fakeapi.Answers(200, ""), "no list": fakeapi.Answers(200, `{"type":"contact"}`),
		"another object": fakeapi.Answers(200, `{"type":"list","data":[{"type":"contact","id":"p9"}]}`), "truncated": fakeapi.TruncatedGzip, "too many": fakeapi.TooMany("1"),
	} {
		r.faults.Heal()
		r.faults.Inject("", 0, -1, f)
		learned, err := r.learn("contact", "p1")
		require.Error(t, err, name)
		require.Empty(t, learned)
	}
}

// Of what is set up, the API shows the token's workspace alone.
func TestLooksAtIntercom(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	seen, err := r.Source.(source.Subscriber).Look(t.Context(), r.Client(), "https://hooks.example.com/webhooks/intercom")
	require.NoError(t, err)
	require.Empty(t, seen.Changes)
	require.Equal(t, "The access token is good, and of the workspace a86dr8yl (region US).", seen.Notes[0])
	require.Contains(t, seen.Notes[1], "shows neither an app's webhooks")
	require.Len(t, r.Source.(source.Connector).Steps("https://hooks.example.com/webhooks/intercom"), 4)
	for _, topic := range []string{"contact.merged", "ticket.created"} {
		require.Contains(t, r.Source.(source.Connector).Steps("x")[1].Paste, topic)
	}
}
