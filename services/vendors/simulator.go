package vendors

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Simulator makes vendors' events. It is safe for concurrent use.
type Simulator struct {
	seed    uint64
	serial  atomic.Uint64
	clock   clock
	vendors map[string]*vendor
	names   []string // of the vendors, in the set's order
	now     func() time.Time
}

// Event says what an event is to tell. The zero value is one of the source's
// usual type, about the simulator's own customer, of now.
type Event struct {
	// Type is the vendor's own type, as docs/event-types.md has it, or an
	// event_type; "" is the source's usual one.
	Type string
	// At is when it happened; zero: just now, at a millisecond that no other event
	// of this simulator has. Where the vendor gives an event no id, events about
	// one object are told apart by their times: HubSpot's to the millisecond.
	At time.Time
	// About is whom it is about.
	About Customer
	// Tenant is the vendor account; "" is the vendor's in docs and tests, and for
	// Stripe none. HubSpot's and Zendesk's are numbers.
	Tenant string
	// Test: the vendor's test data, where it says so.
	Test bool
	// Subject and Text are the line that a person would read, and the text of a
	// comment, a description or a property, where the type has one.
	Subject, Text string
	// Object is the id of the object that the event is of, where it is not the
	// customer's: a ticket's, a conversation's, an invoice's. "" makes a new one.
	Object string
	// Members are further members of the event's object, as JSON: "a":1,"b":2.
	Members string
	// Serial makes the event's ids: the same serial is the same event. 0 is the
	// next that this simulator has not used. See also Simulator.Serial.
	Serial uint64
	// Attempt is how often the vendor has sent the event before.
	Attempt int
}

// Customer is whom events are about.
type Customer struct {
	// Key tells the simulator's customers apart: ids, name and domain that are not
	// given are made from it.
	Key uint64
	// IDs at the vendors, by source and kind of reference: {"stripe:customer": "cus_1"}.
	IDs map[string]string
	// Name is the company's; Domain is of its e-mail addresses; Email is a person's.
	Name, Domain, Email string
	// Account is the account's id, where the customer's own systems have written it
	// into the vendor's objects; Nil: nowhere.
	Account uuid.UUID
}

// Type is a type of event that a Simulator makes.
type Type struct {
	Vendor string // the vendor's own, as docs/event-types.md has it
	Type   string // event_type
	// Kinds are the kinds of reference of the customer that such an event carries.
	Kinds []string
	// Batch: several can be in one delivery.
	Batch bool
}

// New makes a simulator of these sources' vendors. An error is a mistake in this
// package's templates.
func New(sources source.Set, seed uint64) (*Simulator, error) {
	s := &Simulator{seed: seed, vendors: map[string]*vendor{}, now: time.Now}
	known := []*vendor{stripeVendor(), hubspotVendor(), zendeskVendor(), intercomVendor(), marketoVendor(), lookerVendor(), segmentVendor(), salesforceVendor()}
	for _, src := range sources.Sources() {
		var v *vendor
		if m, ok := src.(mapped); ok {
			v = namedVendor(m)
		} else if at := slices.IndexFunc(known, func(v *vendor) bool { return v.name == src.Name() }); at >= 0 {
			v = known[at]
		} else {
			continue
		}
		if err := s.prepare(v, src.Profile().Types); err != nil {
			return nil, fmt.Errorf("preparing the events of %s: %w", v.name, err)
		}
		s.vendors[v.name], s.names = v, append(s.names, v.name)
	}
	return s, nil
}

// offset keeps ids of different labels, and of different seeds, apart.
func (s *Simulator) offset(label string) uint64 { return mix(s.seed ^ hash(label)) }

// appendDomain appends the domain of a customer.
func (s *Simulator) appendDomain(dst []byte, c *Customer) []byte {
	if c.Domain != "" {
		return appendText(dst, c.Domain)
	}
	const letters = 8
	dst = append(dst, "customer-"...)
	for n, i := mix(c.Key+s.seed), 0; i < letters; n, i = n/26, i+1 {
		dst = append(dst, byte('a'+n%26))
	}
	return append(dst, ".example"...)
}

// Types gives the types that are made for a source, the usual one first; nil for
// a source that is not simulated.
func (s *Simulator) Types(source string) []Type {
	v, ok := s.vendors[source]
	if !ok {
		return nil
	}
	types := make([]Type, len(v.forms))
	for i, f := range v.forms {
		types[i] = f.describe()
	}
	return types
}

// Find gives the type that a name means (Event.Type). The error of a wrong name
// lists the right ones.
func (s *Simulator) Find(source, name string) (Type, error) {
	f, err := s.form(source, name)
	if err != nil {
		return Type{}, err
	}
	return f.describe(), nil
}

func (s *Simulator) form(from, name string) (*form, error) {
	v, ok := s.vendors[from]
	if !ok {
		return nil, fmt.Errorf("events of %q cannot be made here, only those of %s: send a body of your own", from, strings.Join(s.names, ", "))
	}
	if name == "" {
		return v.forms[0], nil
	}
	if f, ok := v.byName[name]; ok {
		return f, nil
	}
	if v.open {
		other := *v.forms[0]
		other.vendor, other.eventType = name, source.TypeName(name)
		return &other, nil
	}
	return nil, fmt.Errorf("%s has no type %q: its types are %s", from, name, strings.Join(v.eventTypes(), ", "))
}

// ID gives the customer's id of a kind of reference of a source, as its events
// carry it; "" when the source's events have no such kind.
func (s *Simulator) ID(source, kind string, c Customer) string {
	v, ok := s.vendors[source]
	if !ok || v.ids[kind] == nil {
		return ""
	}
	return string(v.ids[kind](nil, &rendering{event: &Event{About: c}}))
}

// Delivery makes what the vendor posts to tell of these events: one event, or a
// batch where the vendor has batches (HubSpot's arrays, Looker's rows, a page of
// Marketo's activities).
func (s *Simulator) Delivery(source string, events ...Event) (Delivery, error) {
	if len(events) == 0 {
		events = []Event{{}}
	}
	first, err := s.form(source, events[0].Type)
	if err != nil {
		return Delivery{}, err
	}
	v := s.vendors[source]
	d := Delivery{Source: source, Tenant: orText(events[0].Tenant, v.tenant)}
	if first.envelope == nil {
		if len(events) > 1 {
			return Delivery{}, fmt.Errorf("%s sends %s one at a time, not %d in one delivery", source, first.vendor, len(events))
		}
		d.Body, err = s.append(make([]byte, 0, first.room(&events[0])), v, first, &events[0])
		return d, err
	}
	var failed error
	r := s.rendering(v, &events[0])
	r.parts = func(dst []byte) []byte {
		for i := range events {
			f, err := s.form(source, events[i].Type)
			if err == nil && f.envelope != first.envelope {
				err = fmt.Errorf("%s does not send %s and %s in one delivery", source, first.vendor, f.vendor)
			}
			if err == nil {
				if i > 0 && !f.event.xml {
					dst = append(dst, ',')
				}
				dst, err = s.append(dst, v, f, &events[i])
			}
			if err != nil {
				failed = err
				return dst
			}
		}
		return dst
	}
	d.Body = first.envelope.render(make([]byte, 0, first.envelope.size+len(events)*first.room(&events[0])), r)
	return d, failed
}

// append appends one event's object.
func (s *Simulator) append(dst []byte, v *vendor, f *form, e *Event) ([]byte, error) {
	if e.Tenant != "" && v.numericTenant && strings.Trim(e.Tenant, "0123456789") != "" {
		return dst, fmt.Errorf("a tenant of %s is a number, not %q", v.name, e.Tenant)
	}
	dst = f.event.render(dst, s.rendering(v, e))
	switch {
	case e.Members == "":
	case f.event.xml:
		dst = withMembers(dst, e.Members)
	default:
		dst = append(append(append(dst[:len(dst)-1], ','), e.Members...), '}')
	}
	return dst, nil
}

func (s *Simulator) rendering(v *vendor, e *Event) *rendering {
	r := &rendering{event: e, at: e.At.UTC(), serial: e.Serial, tenant: orText(e.Tenant, v.tenant)}
	if r.serial == 0 {
		r.serial = s.serial.Add(1)
	}
	if e.At.IsZero() {
		r.at = s.clock.next(s.now())
	}
	return r
}

// Serial gives the serial of the event of Stripe's with this id (Event.Serial);
// ok is false for what is no such id. It means nothing for an event that another
// seed made.
func (s *Simulator) Serial(stripeID string) (serial uint64, ok bool) {
	const prefix = "evt_1"
	digits, ok := strings.CutPrefix(stripeID, prefix)
	if !ok {
		return 0, false
	}
	n, ok := parseBase62(digits)
	return unmix(n) - s.offset("stripe "+prefix), ok
}

// clock gives each event a millisecond of its own that has been: the present
// one, or, when that is taken, the latest that is free in the past.
type clock struct {
	mu            sync.Mutex
	newest, spare int64 // milliseconds since 1970: the latest given, and the one after the next spare
}

func (c *clock) next(now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	ms := now.UnixMilli()
	if c.newest == 0 {
		c.newest, c.spare = ms, ms
		return time.UnixMilli(ms).UTC()
	}
	if ms > c.newest {
		c.newest = ms
		return time.UnixMilli(ms).UTC()
	}
	c.spare--
	return time.UnixMilli(c.spare).UTC()
}
