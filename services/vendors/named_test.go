package vendors

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/source/cloudevents"
	"github.com/throughline-dev/throughline/pkg/source/standardwebhooks"
)

const namedSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"

func namedSource(t *testing.T, name, mapping string) source.Set {
	t.Helper()
	src, err := standardwebhooks.New(name, []byte(mapping))
	require.NoError(t, err)
	set, err := source.NewSet(src)
	require.NoError(t, err)
	return set
}

// An event of a named source has all that its mapping looks for, is one fact of
// its own, and is signed as its sender would.
func TestNamedSource(t *testing.T) {
	t.Parallel()
	set := namedSource(t, "clerk", `
id: /data/event~1id
subject: /data/title
tenant: /data/org
livemode: /live
volatile: [/attempt]
references:
  - {kind: user, id: /data/users/1/id, prefix: user_}
  - {kind: account_uuid, id: /data/metadata/account}
  - {kind: email, id: /data/users/1/email}
  - {kind: domain, id: /data/website}
types: {'say "{{hello}}"': hello.said}
`)
	s, err := New(set, 1)
	require.NoError(t, err)
	require.Equal(t, []string{"clerk"}, s.names)
	sender := &Sender{Sources: set, URL: "http://127.0.0.1:8080", Secrets: map[string]string{"clerk": namedSecret}}
	account := uuid.MustParse("0f6e9b1c-6f0e-4c5e-9b61-3f6f6d2a0002")
	at := time.Now().UTC().Truncate(time.Millisecond)
	event := Event{At: at, Tenant: "org_1", Subject: `a "subject"`, Test: true, About: Customer{IDs: map[string]string{"clerk:user": "user_7"}, Domain: "acme.example", Account: account}}
	for made, want := range map[string]string{"": "example.created", "user.created": "user.created", `say "{{hello}}"`: "hello.said", "hello.said": "hello.said"} {
		event.Type = made
		d, err := s.Delivery("clerk", event)
		require.NoError(t, err)
		events, err := sender.Identify(d, at)
		require.NoError(t, err, "%s", d.Body)
		e := events[0]
		require.Equal(t, want, e.Type)
		require.Equal(t, []any{"org_1", `a "subject"`, true, at}, []any{e.Tenant, e.Subject, e.Test, e.OccurredAt.UTC()})
		var refs []string
		for _, r := range e.References {
			refs = append(refs, r.Kind+":"+r.ID)
		}
		require.Equal(t, []string{"user:user_7", "account_uuid:" + account.String(), "email:kim@acme.example", "domain:acme.example"}, refs, "%s", d.Body)
	}
	src, _ := set.Find("clerk")
	signed, err := sender.Sign(Delivery{Source: "clerk", Body: []byte("{}")})
	require.NoError(t, err)
	verifier, err := src.(source.Webhook).Open([]string{namedSecret})
	require.NoError(t, err)
	_, err = verifier.Verify(signed, time.Now())
	require.NoError(t, err)
}

// Events differ whether the mapping says where their id lies or not, and the
// same event told again is the same.
func TestNamedSourcesEventsDiffer(t *testing.T) {
	t.Parallel()
	for _, mapping := range []string{"", "id: /id", "{id: /data/id, volatile: [/data/attempt], references: [{kind: customer, id: /data/customer}]}", "type: /id"} {
		set := namedSource(t, "billing", mapping)
		s, err := New(set, 1)
		require.NoError(t, err)
		sender := &Sender{Sources: set}
		seen := map[string]bool{}
		for i := range 100 {
			e := Event{At: time.Unix(1_700_000_000, 0), Serial: uint64(i) + 1}
			for range 2 {
				d, err := s.Delivery("billing", e)
				require.NoError(t, err)
				events, err := sender.Identify(d, time.Now())
				require.NoError(t, err, "%s", d.Body)
				seen[events[0].ID] = true
				e.Attempt++
			}
		}
		require.Len(t, seen, 100, mapping)
	}
}

// A format's own members are made too, and its events are told apart.
func TestNamedCloudEvents(t *testing.T) {
	t.Parallel()
	src, err := cloudevents.New("orders", []byte("references: [{kind: customer, id: /accountid}]"))
	require.NoError(t, err)
	set, err := source.NewSet(src)
	require.NoError(t, err)
	s, err := New(set, 1)
	require.NoError(t, err)
	sender := &Sender{Sources: set}
	seen := map[string]bool{}
	for range 10 {
		d, err := s.Delivery("orders", Event{Type: "order.done"})
		require.NoError(t, err)
		events, err := sender.Identify(d, time.Now())
		require.NoError(t, err, "%s", d.Body)
		require.Equal(t, "order.done", events[0].Type)
		require.Equal(t, "customer", events[0].References[0].Kind)
		seen[events[0].ID] = true
	}
	require.Len(t, seen, 10)
}

// What is not the event's own stands where the services would be told of it.
func TestIdentifyTakesTheSettingsTenant(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, 1)
	d, err := s.Delivery("marketo")
	require.NoError(t, err)
	sender := &Sender{Sources: catalog.Set(), Tenants: map[string]string{"marketo": "123-ABC-456"}}
	events, err := sender.Identify(d, time.Now())
	require.NoError(t, err)
	require.Equal(t, "123-ABC-456", events[0].Tenant)
	require.True(t, strings.HasPrefix(events[0].ID, "123-ABC-456:"), events[0].ID)
}
