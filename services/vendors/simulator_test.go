package vendors

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

func newSimulator(t testing.TB, seed uint64) *Simulator {
	t.Helper()
	s, err := New(catalog.Set(), seed)
	require.NoError(t, err)
	return s
}

// simulated are the sources that are simulated: all that list types.
func simulated(t testing.TB) []string {
	t.Helper()
	return newSimulator(t, 0).names
}

// describe takes a delivery apart as the services do.
func describe(t *testing.T, d Delivery, received time.Time) []source.Event {
	t.Helper()
	events, err := (&Sender{Sources: catalog.Set()}).Identify(d, received)
	require.NoError(t, err, "%s", d.Body)
	return events
}

// nobody are the types that tell of no customer: of the vendor account's own money.
var nobody = []string{"payout.paid", "balance.available", "account.gap.overflow"}

// Every type of docs/event-types.md is made: the source reads it as that type,
// about the customer, at the time, and each event is a fact of its own.
func TestEveryTypeOfEverySource(t *testing.T) {
	t.Parallel()
	const each = 60
	for _, src := range catalog.Set().Sources() {
		s := newSimulator(t, 7)
		types := src.Profile().Types
		require.Len(t, s.Types(src.Name()), len(types))
		for _, want := range types {
			t.Run(src.Name()+" "+want.Vendor, func(t *testing.T) {
				t.Parallel()
				at := time.Now().UTC().Truncate(time.Second).Add(-time.Hour)
				made, err := s.Find(src.Name(), want.Vendor)
				require.NoError(t, err)
				require.Equal(t, want.Type, made.Type)
				d, err := s.Delivery(src.Name(), Event{Type: want.Vendor, At: at})
				require.NoError(t, err)
				events := describe(t, d, time.Now())
				require.Len(t, events, 1)
				require.Equal(t, want.Type, events[0].Type, "%s", d.Body)
				require.Equal(t, at, events[0].OccurredAt.UTC(), "%s", d.Body)
				aboutTheCustomer(t, s, src, made, events[0])

				seen := map[string]bool{}
				for range each {
					d, err := s.Delivery(src.Name(), Event{Type: want.Vendor})
					require.NoError(t, err)
					e := describe(t, d, time.Now())[0]
					require.False(t, seen[e.ID], "%s comes twice", e.ID)
					seen[e.ID] = true
					require.False(t, e.OccurredAt.After(time.Now()))
				}
			})
		}
	}
}

// aboutTheCustomer: a link of one kind that the type says it carries is enough.
func aboutTheCustomer(t *testing.T, s *Simulator, src source.Source, made Type, e source.Event) {
	t.Helper()
	if slices.Contains(nobody, made.Type) {
		require.Empty(t, e.References)
		return
	}
	require.NotEmpty(t, made.Kinds, "%s", made.Vendor)
	for _, kind := range made.Kinds {
		require.True(t, slices.ContainsFunc(src.Profile().Kinds, func(k source.Kind) bool { return k.Name == kind }), kind)
		given := "4711"
		switch {
		case kind == "object":
			given = "2-4040/4711"
		case src.Name() == "salesforce":
			given = map[string]string{
				"account": "0010800000XyZaBAAV", "contact": "0035g00000AbCdEAAV", "lead": "00Q5g00000AbCdEEAV", "opportunity": "0065g00000AbCdEAAV",
				"case": "5005g00000AbCdEAAV", "contract": "8005g00000AbCdEAAV", "order": "8015g00000AbCdEAAV", "asset": "02i5g00000AbCdEAAV",
			}[kind]
		}
		d, err := s.Delivery(src.Name(), Event{Type: made.Vendor, About: Customer{IDs: map[string]string{src.Name() + ":" + kind: given}}})
		require.NoError(t, err)
		refs := describe(t, d, time.Now())[0].References
		require.True(t, slices.ContainsFunc(refs, func(r source.Reference) bool { return r.Kind == kind && r.ID == given }),
			"%s: %v in %s", kind, refs, d.Body)
	}
}

// Ten thousand events of each source, its types in turn, and none is another.
func TestTenThousandFacts(t *testing.T) {
	t.Parallel()
	for _, name := range simulated(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSimulator(t, 3)
			types := s.Types(name)
			seen := make(map[string]bool, 10_000)
			for i := range 10_000 {
				d, err := s.Delivery(name, Event{Type: types[i%len(types)].Vendor})
				require.NoError(t, err)
				seen[describe(t, d, time.Now())[0].ID] = true
			}
			require.Len(t, seen, 10_000)
		})
	}
}

// The same seed and serial are the same event; another seed is another's.
func TestSeedAndSerial(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	first, same, other := newSimulator(t, 1), newSimulator(t, 1), newSimulator(t, 2)
	for _, name := range simulated(t) {
		body := func(s *Simulator, serial uint64) string {
			d, err := s.Delivery(name, Event{At: at, Serial: serial})
			require.NoError(t, err)
			return string(d.Body)
		}
		require.Equal(t, body(first, 9), body(same, 9))
		require.NotEqual(t, body(first, 9), body(first, 10))
		require.NotEqual(t, body(first, 9), body(other, 9))
	}
	d, err := first.Delivery("stripe", Event{At: at, Serial: 4711})
	require.NoError(t, err)
	serial, ok := same.Serial(describe(t, d, at)[0].ID)
	require.True(t, ok)
	require.EqualValues(t, 4711, serial)
	for _, id := range []string{"", "evt_1", "evt_1short", "62515|contact.propertyChange||1|2", "evt_1!!!!!!!!!!!!!!!!"} {
		_, ok := first.Serial(id)
		require.False(t, ok, id)
	}
}

func TestWhatIsAskedForStandsInTheEvent(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, 1)
	at := time.Date(2026, 5, 1, 9, 30, 0, 0, time.UTC)
	account := uuid.MustParse("7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01")
	text := "Größe \"XL\"\n\\ \u2028 \xff"
	for _, c := range []struct {
		source string
		event  Event
		want   []string
	}{
		{"stripe", Event{Type: "invoice.paid", Tenant: "acct_1", Test: true, Object: "in_1", About: Customer{Account: account, Email: "kim@acme.example"}},
			[]string{`"account":"acct_1"`, `"livemode":false`, `"id":"in_1"`, `"account_uuid":"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"`, `"kim@acme.example"`}},
		{"hubspot", Event{Type: "contact.propertyChange (lifecyclestage)", Tenant: "1", Attempt: 3, Text: text},
			[]string{`"portalId":1,`, `"attemptNumber":3`, `"propertyValue":"Größe \"XL\"\n\\ `}},
		{"zendesk", Event{Type: "ticket.created", Object: "5158", Subject: "charged twice"}, []string{`"id":"5158"`, `"zen:ticket:5158"`, `"subject":"charged twice"`}},
		{"intercom", Event{Type: "conversation.replied", Object: "77", Text: "Any news?"}, []string{`"id":"77"`, "<p>Any news?</p>", `"delivery_attempts":1`}},
		{"marketo", Event{Type: "activity 10 (Open Email)", Subject: "Spring launch"}, []string{`"primaryAttributeValue":"Spring launch"`}},
		{"salesforce", Event{Type: "Case", Tenant: "00D5g000004xQzMEAU", Subject: "<b> & \"more\""}, []string{
			"<OrganizationId>00D5g000004xQzMEAU</OrganizationId>", "<sf:Subject>&lt;b&gt; &amp; &#34;more&#34;</sf:Subject><sf:Description>It broke.</sf:Description>", "<sf:e2e>x</sf:e2e></sObject>",
		}},
		{"looker", Event{About: Customer{Account: account, IDs: map[string]string{"looker:account": "A-1"}}, Tenant: "eu.looker.com"},
			[]string{`\"accounts.uuid\":\"7f1c1d0e`, `\"accounts.id\":\"A-1\"`, "https://eu.looker.com/looks/42"}},
	} {
		c.event.At, c.event.Members = at, `"e2e":"x"`
		d, err := s.Delivery(c.source, c.event)
		require.NoError(t, err)
		for _, want := range c.want {
			require.Contains(t, string(d.Body), want)
		}
		require.Contains(t, string(d.Body), `e2e`)
		require.Equal(t, at, describe(t, d, time.Now())[0].OccurredAt.UTC())
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, 1)
	for name, event := range map[string]Event{
		"hubspot": {Type: "contact.created"}, "salesforce": {}, "marketo": {Type: "email.delivered"}, "looker": {},
	} {
		if name == "marketo" {
			event.Type = "activity 7 (Email Delivered)"
		}
		d, err := s.Delivery(name, slices.Repeat([]Event{event}, 50)...)
		require.NoError(t, err)
		require.Len(t, describe(t, d, time.Now()), 50)
	}
}

func TestWhatCannotBeMade(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, 1)
	for want, events := range map[string]struct {
		source string
		events []Event
	}{
		`events of "faxes" cannot be made here, only those of stripe, hubspot, zendesk, intercom, marketo, looker, segment, salesforce: `: {"faxes", nil},
		`looker has no type "login": its types are dashboard.created`:                                                                     {"looker", []Event{{Type: "login"}}},
		"stripe sends invoice.paid one at a time, not 2":                                                                                  {"stripe", make([]Event, 2)},
		"looker does not send scheduled plan, a row and System Activity, history row in one delivery":                                     {"looker", []Event{{}, {Type: "query.ran"}}},
		`a tenant of zendesk is a number, not "acme"`:                                                                                     {"zendesk", []Event{{Tenant: "acme"}}},
	} {
		_, err := s.Delivery(events.source, events.events...)
		require.ErrorContains(t, err, want)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	for n := range uint64(1000) {
		require.Equal(t, n*golden, unmix(mix(n*golden)))
		back, ok := parseBase62(string(appendBase62(nil, n*golden, 11)))
		require.True(t, ok)
		require.Equal(t, n*golden, back)
	}
	for _, bits := range []int{12, 20, 33} {
		seen := map[uint64]bool{}
		for n := range uint64(4096) {
			p := permute(n, 99, bits)
			require.Less(t, p, uint64(1)<<bits)
			seen[p] = true
		}
		require.Len(t, seen, 4096, "%d bits", bits)
	}
	require.Equal(t, uuid.Version(4), uuid.MustParse(string(appendUUID(nil, 5))).Version())
}

// No event is dated ahead, and no two share a millisecond, however many are made in one.
func TestClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var c clock
	seen := map[time.Time]bool{}
	for i := range 1000 {
		at := c.next(now.Add(time.Duration(i/10) * time.Millisecond))
		require.False(t, seen[at])
		require.False(t, at.After(now.Add(time.Duration(i/10)*time.Millisecond)))
		seen[at] = true
	}
}

func BenchmarkDelivery(b *testing.B) {
	for _, name := range simulated(b) {
		b.Run(name, func(b *testing.B) {
			s := newSimulator(b, 1)
			d, err := s.Delivery(name)
			require.NoError(b, err)
			b.SetBytes(int64(len(d.Body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Delivery(name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func ExampleSimulator_Delivery() {
	s, err := New(catalog.Set(), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := s.Delivery("hubspot", Event{Type: "deal.stage.changed", At: time.UnixMilli(1760000000123), About: Customer{IDs: map[string]string{"hubspot:deal": "31"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(d.Body))
	// Output:
	// [{"eventId":4581276883,"subscriptionId":4578255,"portalId":62515,"appId":54321,"occurredAt":1760000000123,"subscriptionType":"deal.propertyChange","attemptNumber":0,"objectId":31,"propertyName":"dealstage","propertyValue":"closed_won","isSensitive":false,"changeSource":"CRM_UI","sourceId":"userId:52530071"}]
}
