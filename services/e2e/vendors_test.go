package e2e

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/services/vendors"
)

// The customers of the load. known are linked at each vendor from the start;
// later is linked while the system runs; never is not.
const (
	known = 4
	later = "later"
	never = "never"
)

// delivery is one POST of a vendor, with the marks of its events and whose each
// is: the number of a known customer, later or never.
type delivery struct {
	vendors.Delivery
	marks []string
	whose []string
}

// vendor makes deliveries of events of one type, so many a second.
type vendor struct {
	source, event string
	rate          int
	batch         int // events in one delivery
	// busy is the status that makes this vendor come again; 0: it never does,
	// so what it sends must be taken also when the brokers are away.
	busy int
}

// loadVendors of the load; together some 200 events a second: machines
// that run these tests beside others keep up with them.
func loadVendors() []vendor {
	return []vendor{
		{"stripe", "invoice.paid", 30, 1, 503},
		{"stripe", "invoice.paid", 30, 1, 503},
		{"zendesk", "ticket.created", 30, 1, 503},
		{"intercom", "conversation.user.created", 30, 1, 429},
		{"hubspot", "contact.lifecyclestage.changed", 6, 10, 503},
		{"marketo", "flow step, trigger Fills Out Form", 10, 1, 0},
		{"looker", "usage.reported", 3, known, 0},
	}
}

// make makes the n-th delivery of the load. Of a batch, the events are a
// millisecond apart.
func (v vendor) make(l *load, n int, random *rand.Rand) (delivery, error) {
	var d delivery
	var events []vendors.Event
	for i := range v.batch {
		mark := fmt.Sprintf("%s-%d", markFor(v.source, n), i)
		about, whose := l.anyCustomer(v.source, random)
		d.marks, d.whose = append(d.marks, mark), append(d.whose, whose)
		events = append(events, vendors.Event{
			Type: v.event, At: l.at(n).Add(time.Duration(i) * time.Millisecond), About: about, Members: fmt.Sprintf(`"e2e":%q`, mark),
		})
	}
	var err error
	d.Delivery, err = l.simulator.Delivery(v.source, events...)
	return d, err
}

// anyCustomer gives a customer, and whose its events are. Some of Stripe's are
// of customers that nobody has linked.
func (l *load) anyCustomer(source string, random *rand.Rand) (about vendors.Customer, whose string) {
	n := random.IntN(10)
	switch {
	case n == 0 && source == "stripe":
		return vendors.Customer{IDs: map[string]string{"stripe:customer": "cus_E2Elater"}}, later
	case n == 1 && source == "stripe":
		return vendors.Customer{IDs: map[string]string{"stripe:customer": "cus_E2Enever"}}, never
	}
	return l.customers[n%known], fmt.Sprint(n % known)
}

// customer is the i-th known one. Intercom's events find it by the domain of an
// e-mail address, Looker's by the account's id.
func customer(i int, account uuid.UUID) vendors.Customer {
	return vendors.Customer{
		Key: uint64(i), Name: fmt.Sprintf("Customer %d", i), Domain: fmt.Sprintf("customer-%d.example", i), Account: account,
		IDs: map[string]string{
			"stripe:customer": fmt.Sprintf("cus_E2E%d", i), "zendesk:organization": fmt.Sprintf("84473466%d", i),
			"hubspot:contact": fmt.Sprintf("90%d", i), "marketo:lead": fmt.Sprintf("54140%d", i),
		},
	}
}

// linkCustomers makes the accounts, and links each known customer's ids.
func (l *load) linkCustomers() {
	l.place.t.Helper()
	for i := range known {
		id := l.place.account(fmt.Sprintf("Customer %d", i), fmt.Sprintf("customer-%d.example", i))
		l.accounts = append(l.accounts, id)
		l.customers = append(l.customers, customer(i, id))
		for column, text := range l.customers[i].IDs {
			l.place.link(column+":"+text, id)
		}
	}
	l.later = l.place.account("Customer of later", "")
}

// linkLater links the later customer: what waits for it is to be released.
func (l *load) linkLater() {
	l.place.t.Helper()
	l.place.link("stripe:customer:cus_E2Elater", l.later)
}

// link says whose a reference is, as `throughline link` does.
func (p *place) link(text string, account uuid.UUID) {
	p.t.Helper()
	p.throughline("link", "--every-tenant", text, account.String())
}
