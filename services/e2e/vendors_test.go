package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
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
	source string
	body   []byte
	marks  []string
	whose  []string
}

// vendor makes deliveries as one vendor would, so many a second.
type vendor struct {
	source string
	rate   int
	make   func(d *delivery, l *load, n int, random *rand.Rand)
	// busy is the status that makes this vendor come again; 0: it never does,
	// so what it sends must be taken also when the brokers are away.
	busy int
}

// vendors of the load; together some 400 events a second.
func vendors() []vendor {
	return []vendor{
		{"stripe", 60, stripeDelivery, 503},
		{"stripe", 60, stripeDelivery, 503},
		{"zendesk", 60, zendeskDelivery, 503},
		{"intercom", 60, intercomDelivery, 429},
		{"hubspot", 12, hubspotDelivery, 503},
		{"marketo", 20, marketoDelivery, 0},
		{"looker", 5, lookerDelivery, 0},
	}
}

// add gives the delivery one more event.
func (d *delivery) add(mark, whose string) string {
	d.marks, d.whose = append(d.marks, mark), append(d.whose, whose)
	return mark
}

func anyKnown(random *rand.Rand) int { return random.IntN(known) }

func stripeDelivery(d *delivery, l *load, n int, random *rand.Rand) {
	whose, customer := l.stripeCustomer(random)
	id := d.add(markFor("stripe", n), whose)
	d.body = fmt.Appendf(nil, `{"id":"evt_%s","object":"event","api_version":"2026-03-25.dahlia","created":%d,"data":{"object":{"id":"in_%s","object":"invoice","amount_due":%d,"customer":%q,"livemode":false,"status":"paid"}},"livemode":false,"pending_webhooks":1,"type":"invoice.paid","e2e":%q}`,
		id, l.at(n).Unix(), id, random.IntN(100_000), customer, id)
}

func (l *load) stripeCustomer(random *rand.Rand) (whose, id string) {
	switch n := random.IntN(10); n {
	case 0:
		return later, "cus_E2Elater"
	case 1:
		return never, "cus_E2Enever"
	default:
		n %= known
		return fmt.Sprint(n), fmt.Sprintf("cus_E2E%d", n)
	}
}

func zendeskDelivery(d *delivery, l *load, n int, random *rand.Rand) {
	who := anyKnown(random)
	id := d.add(markFor("zendesk", n), fmt.Sprint(who))
	at := l.at(n).Format(time.RFC3339)
	d.body = fmt.Appendf(nil, `{"account_id":12514403,"detail":{"id":"1%07d","organization_id":"84473466%d","requester_id":"8447388090494","subject":"help %d","created_at":%q,"status":"OPEN"},"event":{"meta":{"sequence":{"id":"01K74SEQ","position":1}}},"id":%q,"subject":"zen:ticket:1%07d","time":%q,"type":"zen:event-type:ticket.created","zendesk_event_version":"2022-11-06","e2e":%q}`,
		n, who, n, at, uuid.NewSHA1(uuid.NameSpaceURL, []byte(id)), n, at, id)
}

func intercomDelivery(d *delivery, l *load, n int, random *rand.Rand) {
	who := anyKnown(random)
	id := d.add(markFor("intercom", n), fmt.Sprint(who))
	at := l.at(n).Unix()
	d.body = fmt.Appendf(nil, `{"type":"notification_event","app_id":"a86dr8yl","data":{"type":"notification_event_data","item":{"type":"conversation","id":"1373245%08d","created_at":%d,"updated_at":%d,"source":{"type":"conversation","subject":"question %d","author":{"type":"user","id":"u%d","email":"kim@customer-%d.example"}},"conversation_parts":{"type":"conversation_part.list","conversation_parts":[],"total_count":0}}},"id":"notif_%s","topic":"conversation.user.created","delivery_attempts":1,"created_at":%d,"e2e":%q}`,
		n, at, at, n, who, who, id, at, id)
}

// hubspotDelivery is a batch: contacts' property changes, one second apart.
func hubspotDelivery(d *delivery, l *load, n int, random *rand.Rand) {
	var elements []string
	for i := range 10 {
		who := anyKnown(random)
		id := d.add(fmt.Sprintf("%s-%d", markFor("hubspot", n), i), fmt.Sprint(who))
		elements = append(elements, fmt.Sprintf(`{"eventId":%d,"subscriptionId":4578255,"portalId":62515,"appId":54321,"occurredAt":%d,"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":90%d,"propertyName":"lifecyclestage","propertyValue":"lead","changeSource":"CRM_UI","e2e":%q}`,
			n*10+i, l.at(n).UnixMilli()+int64(i), who, id))
	}
	d.body = []byte("[" + strings.Join(elements, ",") + "]")
}

func marketoDelivery(d *delivery, l *load, n int, random *rand.Rand) {
	who := anyKnown(random)
	id := d.add(markFor("marketo", n), fmt.Sprint(who))
	d.body = fmt.Appendf(nil, `{"leadId":"54140%d","campaignId":"%d","triggerName":"Fills Out Form","systemDate":%q,"e2e":%q}`,
		who, n, l.at(n).Format(time.RFC3339), id)
}

// lookerDelivery is a report with a row for each customer.
func lookerDelivery(d *delivery, l *load, n int, random *rand.Rand) {
	var rows []string
	for who := range known {
		id := d.add(fmt.Sprintf("%s-%d", markFor("looker", n), who), fmt.Sprint(who))
		rows = append(rows, fmt.Sprintf(`{\"accounts.uuid\": \"%s\", \"events.count\": %d, \"e2e\": \"%s\"}`, l.accounts[who], random.IntN(1000), id))
	}
	d.body = fmt.Appendf(nil, `{"type":"query","scheduled_plan":{"scheduled_plan_id":"%d","title":"Account usage","type":"Look","url":"https://acme.looker.com/looks/42","query_id":"99","query":{"model":"usage","view":"accounts","fields":["accounts.uuid","events.count"],"limit":"500"}},"attachment":{"mimetype":"application/json","extension":"json","data":"[%s]"},"data":null,"form_params":{}}`,
		n, strings.Join(rows, ", "))
}

// linkCustomers makes the accounts, and links each known customer's ids.
func (l *load) linkCustomers() {
	l.place.t.Helper()
	for i := range known {
		id := l.place.account(fmt.Sprintf("Customer %d", i), fmt.Sprintf("customer-%d.example", i))
		l.accounts = append(l.accounts, id)
		for _, text := range []string{
			fmt.Sprintf("stripe:customer:cus_E2E%d", i), fmt.Sprintf("zendesk:organization:84473466%d", i),
			fmt.Sprintf("hubspot:contact:90%d", i), fmt.Sprintf("marketo:lead:54140%d", i),
		} {
			l.place.link(text, id)
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
	p.throughline("link", text, account.String())
}
