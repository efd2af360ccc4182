package traffic

import (
	"fmt"
	"time"
)

// How the accounts' ids look at each vendor.
const (
	customerID     = "cus_B%012d"
	contactID      = "90%08d"
	organizationID = "84473%08d"
	intercomID     = "6318db7dfb80%012d"
)

// words fill texts up; which of them an event has depends on its number.
var words = []string{
	"renewal", "invoice", "seat", "login", "export", "pricing", "upgrade", "contract", "webhook", "outage", "refund", "trial",
	"onboarding", "quota", "dashboard", "training", "discount", "migration", "security", "latency", "report", "license",
}

func prose(i, n int) string {
	text := make([]byte, 0, n*9)
	for w := range n {
		text = append(append(text, words[mix(uint64(i*64+w))%uint64(len(words))]...), ' ')
	}
	return string(text)
}

// body is the bytes of event i as the vendor sends it.
func (a Accounts) body(name string, i int) []byte {
	account := a.of(i)
	at := began.Add(time.Duration(i) * time.Millisecond)
	switch name {
	case "hubspot":
		return hubspotBody(account, i, at)
	case "zendesk":
		return zendeskBody(account, i, at)
	case "intercom":
		return intercomBody(account, i, at)
	default:
		return stripeBody(account, i, at)
	}
}

// stripeID is the id of Stripe's event i.
const stripeID = "evt_1Bench%010d"

// Stripe gives event i as one of Stripe's, whatever i is.
func (a Accounts) Stripe(i int) []byte { return a.body("stripe", i) }

// StripeNumber gives i back from the source_event_id of Stripe's event i; ok is
// false for any other id.
func StripeNumber(id string) (i int, ok bool) {
	n, err := fmt.Sscanf(id, stripeID, &i)
	return i, n == 1 && err == nil
}

func stripeBody(account uint64, i int, at time.Time) []byte {
	seconds, amount := at.Unix(), 1000+mix(uint64(i))%500_000
	return fmt.Appendf(nil, `{"id":"evt_1Bench%010[1]d","object":"event","api_version":"2026-03-25.dahlia","created":%[2]d,"data":{"object":`+
		`{"id":"in_1Bench%010[1]d","object":"invoice","amount_due":%[3]d,"amount_paid":%[3]d,"billing_reason":"subscription_cycle",`+
		`"created":%[2]d,"currency":"eur","customer":"cus_B%012[4]d","customer_account":null,"customer_email":"billing@account-%[4]d.example",`+
		`"customer_name":"Account %[4]d","description":%[5]q,"livemode":true,"metadata":{"plan":"scale","region":"eu"},"number":"A%[4]d-%[1]d",`+
		`"lines":{"object":"list","data":[{"id":"il_1Bench%010[1]d","object":"line_item","amount":%[3]d,"quantity":12}],"has_more":false},`+
		`"parent":{"quote_details":null,"subscription_details":{"metadata":{},"subscription":"sub_1Bench%[4]d"},"type":"subscription_details"},`+
		`"period_end":%[2]d,"period_start":%[6]d,"status":"paid","total":%[3]d}},"livemode":true,"pending_webhooks":2,`+
		`"request":{"id":"req_%[1]d","idempotency_key":"bench-%[1]d"},"type":"invoice.paid"}`,
		i, seconds, amount, account, prose(i, 8), seconds-2_592_000)
}

func hubspotBody(account uint64, i int, at time.Time) []byte {
	return fmt.Appendf(nil, `{"eventId":%d,"subscriptionId":4578255,"portalId":62515,"appId":54321,"occurredAt":%d,`+
		`"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":90%08d,"propertyName":"notes_last_contacted",`+
		`"propertyValue":%q,"changeSource":"CRM_UI","sourceId":"userId:52530071","isSensitive":false}`,
		i, at.UnixMilli(), account, prose(i, 88))
}

func zendeskBody(account uint64, i int, at time.Time) []byte {
	const timeForm = "2006-01-02T15:04:05.000000000Z"
	return fmt.Appendf(nil, `{"account_id":12514403,"detail":{"actor_id":"8447388090495","assignee_id":null,"brand_id":"8447346621310",`+
		`"created_at":%[1]q,"custom_status":"8447320465790","description":%[2]q,"external_id":null,"form_id":"8646151517822",`+
		`"group_id":"8447320466430","id":"%[3]d","is_public":true,"organization_id":"84473%08[4]d","priority":"HIGH",`+
		`"requester_id":"94473%08[4]d","status":"OPEN","subject":%[5]q,"submitter_id":"94473%08[4]d","tags":["sso"],"type":"PROBLEM",`+
		`"updated_at":%[1]q,"via":{"channel":"web_service"}},"event":{"comment":{"id":"98765%010[6]d","body":%[5]q,"is_public":true,`+
		`"author":{"id":"8447388090495","is_staff":true,"name":"Ana"}},"meta":{"sequence":{"id":"01K74SEQ%[6]d","position":2}}},`+
		`"id":"d4f5c389-8f4a-4c2e-a1b9-%012[6]d","subject":"zen:ticket:%[3]d","time":%[1]q,`+
		`"type":"zen:event-type:ticket.comment_added","zendesk_event_version":"2022-11-06"}`,
		at.Format(timeForm), prose(i+1, 6), i/4+1, account, prose(i, 4), i)
}

func intercomBody(account uint64, i int, at time.Time) []byte {
	author := fmt.Sprintf(`{"type":"user","id":"`+intercomID+`","email":"user@account-%[1]d.example"}`, account)
	return fmt.Appendf(nil, `{"type":"notification_event","app_id":"a86dr8yl","data":{"type":"notification_event_data","item":`+
		`{"type":"conversation","id":"1373245%08[1]d","created_at":%[2]d,"updated_at":%[3]d,"source":{"type":"conversation","id":"608%07[1]d",`+
		`"delivered_as":"customer_initiated","author":%[4]s},"contacts":{"type":"contact.list","contacts":[{"type":"contact",`+
		`"id":"6318db7dfb80%012[5]d","external_id":"user-%[5]d"}]},"conversation_parts":{"type":"conversation_part.list",`+
		`"conversation_parts":[{"type":"conversation_part","id":"607%010[6]d","part_type":"comment","body":"<p>%[7]s</p>","created_at":%[3]d,`+
		`"author":%[4]s}],"total_count":1},"open":true,"state":"open"}},"links":{},"id":"notif_86dc9206-7ba6-4587-844d-%012[6]d",`+
		`"topic":"conversation.user.replied","delivery_status":"pending","delivery_attempts":1,"delivered_at":0,`+
		`"first_sent_at":%[3]d,"created_at":%[3]d,"self":null}`,
		i/8, at.Unix()-600, at.Unix(), author, account, i, prose(i, 3))
}
