package traffic

import (
	"hash/fnv"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/vendors"
)

// Shares of a Mix.
const (
	shareTwice   = 0.02 // of deliveries, that come a second time
	shareLate    = 0.05 // of events, that happened up to a month before
	shareUnknown = 0.01 // of events, whose customer nobody knows

	// unknownCustomers is how many customers nobody knows.
	unknownCustomers = 500
	// mostOfDelivery bounds the events of one delivery; a delivery's events have numbers of their own below it.
	mostOfDelivery = 16
)

// part is one source's part of a Mix: out of all deliveries so many, of these types in turn, with so many events.
type part struct {
	source string
	weight float64
	types  []string
	batch  int
}

// mixParts are all sources. By events: 40 of a hundred are Stripe's, 20 HubSpot's, 12 each Zendesk's and Intercom's, the rest
// the others'.
func mixParts() []part {
	return []part{
		{"stripe", 40, []string{"invoice.paid", "customer.subscription.updated", "invoice.payment_failed", "invoice.finalized"}, 1},
		{"hubspot", 4, []string{"contact.propertyChange", "contact.propertyChange (lifecyclestage)"}, 5},
		{"zendesk", 12, []string{"ticket.created", "ticket.replied", "zen:event-type:ticket.status_changed"}, 1},
		{"intercom", 12, []string{"conversation.user.created", "conversation.user.replied", "conversation.admin.closed"}, 1},
		{"marketo", 5, []string{"flow step, trigger Fills Out Form", "flow step, trigger Visits Web Page"}, 1},
		{"looker", 0.5, []string{"scheduled plan, a row"}, 10},
		{"segment", 1, []string{"track (by its event's name: Order Completed)"}, 4},
		{"salesforce", 1, []string{"Account"}, 2},
	}
}

// Mix makes deliveries of all sources, as a company's vendors send them: most events are about few accounts, some come
// twice, some late, and some are about customers whom nobody knows. Delivery n is the same in every process that began
// with the same time. It is safe for concurrent use.
type Mix struct {
	traffic *Traffic
	sender  vendors.Sender
	parts   []part
	total   float64 // of the parts' weights
	began   time.Time
}

// Mix gives the mix of which the first delivery's events happened at began.
func (a Accounts) Mix(began time.Time) (*Mix, error) {
	t, err := a.Traffic()
	if err != nil {
		return nil, err
	}
	m := &Mix{traffic: t, sender: vendors.Sender{Sources: catalog.Set()}, parts: mixParts(), began: began}
	for _, p := range m.parts {
		m.total += p.weight
	}
	return m, nil
}

// Span is how long the events of so many deliveries are apart: no two events of a mix happen in one millisecond.
func Span(deliveries int) time.Duration {
	return time.Duration(deliveries*mostOfDelivery) * time.Millisecond
}

// Shipment is a delivery of a Mix.
type Shipment struct {
	vendors.Delivery
	Facts []Fact
	Twice bool // its vendor posts it a second time
	Late  int  // events
}

// Fact is an event of a Shipment.
type Fact struct {
	Type    string
	ID      string    // its source_event_id
	Account uuid.UUID // on whose timeline it belongs; Nil: in quarantine
}

// Identity tells events apart.
func Identity(source, id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(source + "\x00" + id)) // never fails
	return h.Sum64()
}

// Delivery makes the n-th delivery.
func (m *Mix) Delivery(n int) (Shipment, error) {
	p := m.choose(n)
	s := Shipment{Twice: chance(n, 1) < shareTwice, Facts: make([]Fact, p.batch)}
	events := make([]vendors.Event, p.batch)
	vendorType := p.types[mix(uint64(n))%uint64(len(p.types))]
	for i := range events {
		number := n*mostOfDelivery + i
		e := vendors.Event{Type: vendorType, At: m.began.Add(time.Duration(number) * time.Millisecond), Serial: uint64(number) + 1}
		if chance(number, 2) < shareLate {
			e.At = e.At.Add(-time.Duration(1+mix(uint64(number))%(30*24)) * time.Hour)
			s.Late++
		}
		if chance(number, 3) < shareUnknown {
			e.About = vendors.Customer{Key: m.traffic.accounts + 1 + mix(uint64(number))%unknownCustomers}
		} else {
			account := uint64(float64(m.traffic.accounts) * math.Pow(chance(number, 4), 2))
			s.Facts[i].Account = m.traffic.id(account)
			e.About = vendors.Customer{Key: account, Domain: domainOf(account), Email: "kim@" + domainOf(account)}
			if p.source == "looker" { // its rows name the account itself
				e.About.Account = s.Facts[i].Account
			}
		}
		e.Text = prose(number, 20)
		events[i], s.Facts[i].Type = e, vendorType
	}
	var err error
	if s.Delivery, err = m.traffic.simulator.Delivery(p.source, events...); err != nil {
		return s, err
	}
	described, err := m.sender.Identify(s.Delivery, m.began)
	if err != nil {
		return s, err
	}
	for i, d := range described {
		s.Facts[i].ID = d.ID
	}
	return s, nil
}

func (m *Mix) choose(n int) part {
	at := chance(n, 0) * m.total
	for _, p := range m.parts {
		if at -= p.weight; at < 0 {
			return p
		}
	}
	return m.parts[0]
}

// chance gives a number in [0, 1) that n and what it decides make.
func chance(n int, what uint64) float64 {
	return float64(mix(mix(uint64(n))+what*0x9e3779b97f4a7c15)>>11) / (1 << 53)
}
