package catalog

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

var update = flag.Bool("update", false, "write the golden listings")

// foundAt is when every body of these tests is received.
var foundAt = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// told is what a source makes of one event.
type told struct {
	id, kind, at, refs string
	reason             fault.Reason
}

// tell splits a body as the receiver does, or takes it as one raw record's value,
// and describes each event.
func tell(t testing.TB, sourceName string, body []byte) (all []told) {
	t.Helper()
	s, ok := Set().Find(sourceName)
	require.True(t, ok, sourceName)
	for part, err := range s.(source.Webhook).Split(&source.Delivery{Body: body, ReceivedAt: foundAt}) {
		require.NoError(t, err)
		all = append(all, tellOne(s, source.Record{Value: part.Value, Tenant: part.Tenant, ReceivedAt: foundAt}))
	}
	return all
}

func tellOne(s source.Source, r source.Record) told {
	_, e, err := source.Keyed(s, r)
	if err != nil {
		return told{reason: fault.ReasonOf(err)}
	}
	var refs []string
	for _, ref := range e.References {
		refs = append(refs, strings.TrimPrefix(ref.Key(), s.Name()))
	}
	return told{id: e.ID, kind: e.Type, at: e.OccurredAt.UTC().Format(time.RFC3339Nano), refs: strings.Join(refs, " ")}
}

func found(t testing.TB, name string) []told {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "found", name+".json"))
	require.NoError(t, err)
	return tell(t, strings.Split(name, "_")[1], body)
}

// TestFound holds vendors' bodies that were once read wrongly. A field of want that
// is "" is not looked at, refs is how the references begin.
func TestFound(t *testing.T) {
	t.Parallel()
	const own = ":account_uuid:7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"
	tests := []struct {
		file string
		want []told
	}{
		{"01_hubspot_tenantless_link_other_portal", []told{{refs: "/990:company:7001"}}},
		{"02_looker_csm_email_column_wins", []told{{at: "2025-10-05T00:00:00Z", refs: ":email:kim@acme-robotics.example"}}},
		{"02_looker_parent_account_column_wins", []told{{at: "2025-10-07T00:00:00Z", refs: own}}},
		{"03_intercom_lead_then_user_a", []told{{kind: "lead.created", at: "2025-10-09T08:58:20Z"}}},
		{"03_intercom_lead_then_user_b", []told{{kind: "contact.created", at: "2025-10-09T08:58:20Z"}}},
		{"04_looker_period_end_tomorrow", []told{{at: "2026-10-05T00:00:00Z", refs: own}}},
		{"05_looker_history_raw_plus0000", []told{{kind: "query.ran", at: "2025-10-09T08:53:20Z"}}},
		{"06_intercom_external_uuid", []told{{refs: "/abc123def:contact:newcontact1 :account_uuid:3c5f32be-a02e-413c-9a0f-4f5518e9d495 /abc123def:external:3c5f32be-a02e-413c-9a0f-4f5518e9d495"}}},
		{"07_looker_value_only_raw", []told{{id: "history:1000901", at: "2025-10-09T08:53:20Z"}}},
		{"07_looker_value_only_web", []told{{id: "history:1000901", at: "2025-10-09T08:53:20Z"}}},
		{"08_hubspot_association_classic_and_generic", []told{
			{kind: "deal.association.changed", refs: "/62515:company:7001 /62515:deal:4243"}, {kind: "deal.association.changed", refs: "/62515:company:7001 /62515:deal:4243"},
		}},
		{"09_zendesk_status_retry_a", []told{{kind: "ticket.status.changed", refs: "/12514403:organization:8447346622462"}}},
		{"10_stripe_thin_after_snapshot_snapshot", []told{{id: "evt_P3_b1", kind: "invoice.paid", refs: ":customer:cus_Tz1Acme :invoice:in_P3b"}}},
		{"10_stripe_thin_after_snapshot_thin", []told{{id: "evt_P3_b1", kind: "invoice.paid", refs: ":invoice:in_P3b"}}},
		{"11_stripe_thin_checkout_session", []told{{kind: "checkout.session.completed", refs: ":checkout.session:cs_x"}}},
		{"11_stripe_thin_dispute", []told{{kind: "charge.dispute.created", refs: ":dispute:du_x"}}},
		{"12_stripe_fc_customer_account", []told{{refs: ":account:acct_1SAaConn"}}},
		{"12_stripe_nested_source_customer", []told{{refs: ":customer:cus_Tz1Acme"}}},
		{"12_stripe_transfer_data_destination", []told{{refs: ":payment_intent:pi_td :account:acct_1SAaConn"}}},
		{"13_hubspot_deal_associated_then_won", []told{{refs: "/62515:company:7001 /62515:deal:818181"}, {kind: "deal.stage.changed", refs: "/62515:deal:818181"}}},
		{"13_stripe_charge_then_dispute_a", []told{{refs: ":customer:cus_Tz1Acme :charge:ch_CO :payment_intent:pi_CO"}}},
		{"13_stripe_charge_then_dispute_b", []told{{refs: ":charge:ch_CO :payment_intent:pi_CO :dispute:du_CO"}}},
		{"14_zendesk_messaging_message_added", []told{{kind: "messaging_ticket.message.added", refs: "/21825834:ticket:141"}}},
		{"15_zendesk_org_changed_to_none", []told{{kind: "ticket.organization.changed", refs: "/12514403:organization:8447346622462"}}},
		{"16_hubspot_event_completed_UNCONFIRMED_shape", []told{{kind: "event.completed", refs: "/62515:contact:901"}}},
		{"17_hubspot_standard_objects_are_object_created", []told{
			{kind: "lead.created"}, {kind: "service.created"}, {kind: "object.created"}, {kind: "invoice.created"}, {kind: "meeting.created"},
			{kind: "call.created"}, {kind: "subscription.created"}, {kind: "order.created"}, {kind: "ticket.created"}, {kind: "product.created"},
			{kind: "line_item.created"}, {kind: "quote.created"}, {kind: "task.created"},
		}},
		{"18_intercom_old_topic_contact.archive", []told{{kind: "contact.archived"}}},
		{"18_intercom_old_topic_contact.tag.created", []told{{kind: "contact.tagged", refs: "/a86dr8yl:contact:6318db7dfb80c614fe1792b5"}}},
		{"19_hubspot_internal_comment_is_received", []told{{kind: "conversation.comment.added"}}},
		{"21_looker_csv_quoted", []told{{kind: "usage.reported", refs: own}}},
		{"23_stripe_micros", []told{{at: "2025-10-09T08:53:20.123456Z"}}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			got := found(t, tt.file)
			require.Len(t, got, len(tt.want))
			for i, want := range tt.want {
				require.Empty(t, got[i].reason)
				require.True(t, strings.HasPrefix(got[i].refs, want.refs), got[i].refs)
				for _, pair := range [][2]string{{want.id, got[i].id}, {want.kind, got[i].kind}, {want.at, got[i].at}} {
					require.True(t, pair[0] == "" || pair[0] == pair[1], "%q should be %q", pair[1], pair[0])
				}
			}
		})
	}
}

// TestFoundSiblings: bodies like those of TestFound, which were not in the list.
func TestFoundSiblings(t *testing.T) {
	t.Parallel()
	const zendesk = `{"account_id":1,"id":"z","time":"2025-10-09T08:53:20Z","subject":"zen:user:9","type":"zen:event-type:user.organization_membership_%s","detail":{"id":"9"},"event":%s}`
	const ticket = `{"account_id":1,"id":"z","time":"2025-10-09T08:53:20Z","type":"zen:event-type:ticket.organization_changed","detail":{"id":"7","organization_id":%s},"event":%s}`
	tests := map[string]struct{ source, body, kind, refs string }{
		"15 membership created":    {"zendesk", fmt.Sprintf(zendesk, "created", `{"organization":{"id":"77"}}`), "user.organization_membership.created", "/1:organization:77 /1:user:9"},
		"15 membership deleted":    {"zendesk", fmt.Sprintf(zendesk, "deleted", `{"organization":{"id":77}}`), "user.organization_membership.deleted", "/1:organization:77 /1:user:9"},
		"15 from none":             {"zendesk", fmt.Sprintf(ticket, `"77"`, `{"current":"77","previous":null}`), "ticket.organization.changed", "/1:organization:77 /1:ticket:7"},
		"15 to none":               {"zendesk", fmt.Sprintf(ticket, `null`, `{"current":null,"previous":"77"}`), "ticket.organization.changed", "/1:organization:77 /1:ticket:7"},
		"15 to another":            {"zendesk", fmt.Sprintf(ticket, `"78"`, `{"current":"78","previous":"77"}`), "ticket.organization.changed", "/1:organization:78 /1:organization:77 /1:ticket:7"},
		"11 an installed app":      {"stripe", `{"id":"e","object":"v2.core.event","created":"2025-10-09T08:53:20Z","type":"v1.apps.install.created","related_object":{"id":"ai_1","type":"apps.install","url":"/v1/apps/installs/ai_1"}}`, "apps.install.created", ":apps.install:ai_1"},
		"11 an object of tomorrow": {"stripe", `{"id":"e","object":"v2.core.event","created":"2025-10-09T08:53:20Z","type":"v2.new.thing.made","related_object":{"id":"t_1","type":"v2.new.thing","url":"/v2/new/things/t_1"}}`, "v2.new.thing.made", ":object:v2.new.thing/t_1"},
		"16 without an object":     {"hubspot", `[{"portalId":1,"occurredAt":1760000000123,"subscriptionType":"event.completed","eventId":5,"eventTypeName":"e"}]`, "event.completed", ""},
		"17 a campaign":            {"hubspot", `[{"portalId":1,"occurredAt":1760000000123,"subscriptionType":"object.creation","objectTypeId":"0-35","objectId":5}]`, "campaign.created", "/1:object:0-35/5"},
		"23 bulk attributes":       {"marketo", `{"marketoGUID":"1","leadId":"5","activityDate":"2025-10-09T08:53:20Z","activityTypeId":"12","attributes":"{\"Email\":\"kim@acme.example\",\"External Company ID\":\"c-1\"}"}`, "lead.created", ":lead:5 :company:c-1 :email:kim@acme.example"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := tell(t, tt.source, []byte(tt.body))
			require.Len(t, got, 1)
			require.Empty(t, got[0].reason)
			require.Equal(t, tt.kind, got[0].kind)
			require.Equal(t, tt.refs, got[0].refs)
		})
	}
}

// TestFoundIdentities: two tellings of one fact have one identity, two facts never.
func TestFoundIdentities(t *testing.T) {
	t.Parallel()
	one := func(sourceName, body string) string {
		all := tell(t, sourceName, []byte(body))
		require.Len(t, all, 1)
		require.Empty(t, all[0].reason, body)
		return all[0].id
	}
	both := func(name string) (ids []string) {
		for _, event := range found(t, name) {
			ids = append(ids, event.id)
		}
		return ids
	}
	const change = `[{"portalId":1,"occurredAt":1760000000123,"subscriptionType":"deal.propertyChange","objectId":5,"propertyName":"dealstage","propertyValue":%q}]`
	const row = `{"scheduled_plan":{"scheduled_plan_id":7},"attachment":{"data":[{"n":%s}]}}`
	tests := map[string]struct {
		a, b string
		same bool
	}{
		"03 a lead that becomes a user":           {both("03_intercom_lead_then_user_a")[0], both("03_intercom_lead_then_user_b")[0], false},
		"03 two values in one millisecond":        {one("hubspot", fmt.Sprintf(change, "a")), one("hubspot", fmt.Sprintf(change, "b")), false},
		"07 the tenant came with a header":        {both("07_looker_value_only_raw")[0], both("07_looker_value_only_web")[0], true},
		"08 classic and generic association":      {both("08_hubspot_association_classic_and_generic")[0], both("08_hubspot_association_classic_and_generic")[1], true},
		"09 a retry under another UUID":           {both("09_zendesk_status_retry_a")[0], both("09_zendesk_status_retry_b")[0], true},
		"09 72 and 72.0":                          {one("looker", fmt.Sprintf(row, "72")), one("looker", fmt.Sprintf(row, "72.0")), true},
		"10 a thin event and its snapshot":        {both("10_stripe_thin_after_snapshot_snapshot")[0], both("10_stripe_thin_after_snapshot_thin")[0], true},
		"13 a deal's association and its winning": {both("13_hubspot_deal_associated_then_won")[0], both("13_hubspot_deal_associated_then_won")[1], false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.same, tt.a == tt.b, "%s and %s", tt.a, tt.b)
		})
	}
}

// TestRefusedEventsAreKnown: whoever looks at a malformed event sees what it is.
func TestRefusedEventsAreKnown(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ body, id, kind string }{
		"stripe":     {`{"id":"evt_1","object":"event","type":"invoice.paid","created":"soon"}`, "evt_1", "invoice.paid"},
		"hubspot":    {`{"portalId":1,"occurredAt":"soon","subscriptionType":"deal.creation","objectId":5}`, "", "deal.created"},
		"zendesk":    {`{"account_id":1,"id":"e","time":"soon","type":"zen:event-type:ticket.created","detail":{"id":"7"}}`, "1:ticket:7:created", "ticket.created"},
		"intercom":   {`{"app_id":"a","id":"n","created_at":"soon","topic":"contact.deleted","data":{"item":{}}}`, "a:n", "contact.deleted"},
		"marketo":    {`{"marketoGUID":"1","leadId":5,"activityDate":"soon","activityTypeId":10}`, "1", "email.opened"},
		"segment":    {`{"type":"track","event":"Order Completed","messageId":"m-1","timestamp":"soon"}`, "m-1", "order.completed"},
		"salesforce": {`{"payload":{"ChangeEventHeader":{"entityName":"Account","recordIds":["0015g00000AbCdE"],"changeType":"UPDATE","commitTimestamp":"soon"}},"event":{"EventUuid":"e-1"}}`, "change:e-1:0015g00000AbCdEAAV", "account.updated"},
		"looker":     {`{"history.id":1,"history.created_time":"soon"}`, "history:1", "query.ran"},
	} {
		s, ok := Set().Find(name)
		require.True(t, ok)
		for _, body := range []string{tt.body, strings.Replace(tt.body, "soon", "2199-01-01", 1)} {
			_, event, err := source.Keyed(s, source.Record{Value: []byte(body), ReceivedAt: foundAt})
			require.Equal(t, fault.Malformed, fault.ReasonOf(err), body)
			require.Equal(t, tt.kind, event.Type, body)
			require.Contains(t, event.ID, tt.id, body)
			require.Zero(t, event.OccurredAt)
		}
	}
}

// TestStrangersDecideNothing: texts that a customer's customer may write, each with an account's
// id or a company's where the vendor has such a field. None may give a reference
// that decides: account_uuid, company, account, group. What they give is in
// testdata/strangers.golden.txt.
func TestStrangersDecideNothing(t *testing.T) {
	t.Parallel()
	const victim = "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"
	tests := []struct{ source, who, body string }{
		{"stripe", "client_reference_id, of a payment link's URL", `{"id":"evt_1","object":"event","created":1760000000,"type":"checkout.session.completed","data":{"object":{"object":"checkout.session","id":"cs_1","client_reference_id":"` + victim + `","custom_fields":[{"key":"account_uuid","text":{"value":"` + victim + `"}}],"customer_details":{"email":"a@victim.example"}}}}`},
		{"stripe", "billing details typed at checkout", `{"id":"evt_1","object":"event","created":1760000000,"type":"charge.succeeded","data":{"object":{"object":"charge","id":"ch_1","billing_details":{"email":"a@victim.example","name":"` + victim + `"}}}}`},
		{"hubspot", "a form's hidden field", `[{"portalId":1,"occurredAt":1760000000123,"subscriptionType":"contact.propertyChange","objectId":5,"propertyName":"account_uuid","propertyValue":"` + victim + `","changeSource":"FORM"}]`},
		{"zendesk", "a ticket's subject, description, external id and requester", `{"account_id":1,"id":"1","time":"2025-10-09T08:53:20Z","type":"zen:event-type:ticket.created","detail":{"id":"7","subject":"` + victim + `","description":"` + victim + `","external_id":"` + victim + `","requester_id":"9","requester_email":"a@victim.example"},"event":{}}`},
		{"intercom", "what a visitor writes in the Messenger", `{"type":"notification_event","app_id":"a","id":"n","created_at":1760000000,"topic":"conversation.user.created","data":{"item":{"type":"conversation","id":"1","created_at":1760000000,"source":{"body":"` + victim + `","subject":"` + victim + `","author":{"type":"lead","id":"5","email":"a@victim.example","name":"` + victim + `"}},"custom_attributes":{"account_uuid":"` + victim + `"}}}}`},
		{"segment", "a browser's write key, with any library's name", `{"type":"group","messageId":"1","timestamp":1760000000,"userId":"u-1","groupId":"` + victim + `","traits":{"email":"a@victim.example","website":"victim.example"},"context":{"groupId":"` + victim + `","library":{"name":"analytics-node"},"traits":{"email":"a@victim.example"}}}`},
		{"salesforce", "a filled web-to-lead form", `{"attributes":{"type":"Lead"},"Id":"00Q5g00000AbCdE","SystemModstamp":1760000000,"Account_UUID__c":"` + victim + `","Account__c":"0010800000XyZaB","Company":"` + victim + `","Website":"victim.example","Email":"a@victim.example"}`},
		{"salesforce", "a case by web or e-mail", `{"payload":{"ChangeEventHeader":{"entityName":"Case","recordIds":["5005g00000AbCdE"],"changeType":"CREATE","commitTimestamp":1760000000},"Account_UUID__c":"` + victim + `","Subject":"` + victim + `","SuppliedEmail":"a@victim.example"},"event":{"EventUuid":"1"}}`},
		{"marketo", "a filled form's fields", `{"marketoGUID":"1","leadId":5,"activityDate":"2025-10-09T08:53:19Z","activityTypeId":2,"attributes":[{"name":"Account UUID","value":"` + victim + `"},{"name":"Email","value":"a@victim.example"},{"name":"Query Parameters","value":"accountUuid=` + victim + `"}]}`},
		{"marketo", "a data value that a form changed", `{"id":1,"marketoGUID":"1","leadId":5,"activityDate":"2025-10-09T08:53:19Z","activityTypeId":13,"fields":[{"name":"accountUuid","newValue":"` + victim + `"},{"name":"externalCompanyId","newValue":"c1"}],"attributes":[{"name":"Source","value":"Web form fillout"}]}`},
	}
	var out strings.Builder
	for _, tt := range tests {
		for _, event := range tell(t, tt.source, []byte(tt.body)) {
			require.Empty(t, event.reason, tt.who)
			require.NotContains(t, event.refs, "account_uuid", tt.who)
			require.NotContains(t, event.refs, ":company:", tt.who)
			fmt.Fprintf(&out, "%-10s %-60s gives %s\n", tt.source, tt.who, event.refs)
		}
	}
	out.WriteString(`
An account's id counts in these fields, which the merchant's people and systems alone write:
stripe    metadata.account_uuid of the object, its subscription, its expanded customer
hubspot   the property account_uuid, changed by the portal's people, the API, an import, an integration
zendesk   external_id of an organization or user, which agents and the API write
intercom  external_id and user_id of a contact, company_id of a company: with the Messenger's identity verification on, which Intercom asks for
marketo   a field "account UUID" of a lead, changed by other than a form or a page; a flow step's template
looker    the columns of the merchant's own reports
segment   a groupId, once it is set that all write keys are secret (THROUGHLINE_SEGMENT_GROUPS)
salesforce the field Account_UUID__c of an account, which the organization's people and systems write; the account of a record
named     what the merchant's mapping says
`)
	requireGolden(t, "strangers", out.String())
}

func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden.txt")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "write it with go test -update, then read it")
	require.Equal(t, string(want), got)
}
