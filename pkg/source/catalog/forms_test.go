package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// TestDomainsHaveOneForm: however a vendor writes a host, the reference is the one that accounts are found by; a list
// of addresses is none.
func TestDomainsHaveOneForm(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{
		"stripe":     `{"id":"evt_1","object":"event","created":1760000000,"type":"customer.created","data":{"object":{"object":"customer","email":%q}}}`,
		"hubspot":    `{"portalId":1,"occurredAt":1760000000123,"subscriptionType":"contact.propertyChange","objectId":5,"propertyName":"email","propertyValue":%q}`,
		"zendesk":    `{"account_id":1,"id":"1","time":"2025-10-09T08:53:20Z","type":"zen:event-type:ticket.created","detail":{"id":"7","requester_email":%q},"event":{}}`,
		"intercom":   `{"type":"notification_event","app_id":"a","id":"n","created_at":1760000000,"topic":"contact.user.updated","data":{"item":{"type":"contact","id":"1","email":%q}}}`,
		"marketo":    `{"marketoGUID":"1","leadId":5,"activityDate":"2025-10-09T08:53:19Z","activityTypeId":12,"attributes":[{"name":"Email","value":%q}]}`,
		"looker":     `{"scheduled_plan":{},"row":{"users.email":%q}}`,
		"salesforce": `{"attributes":{"type":"Contact"},"Id":"0035g00000AbCdE","SystemModstamp":1760000000,"Email":%q}`,
		"segment":    `{"type":"identify","messageId":"1","timestamp":1760000000,"traits":{"email":%q}}`,
	}
	domains := map[string]string{
		"hubspot":    `{"portalId":1,"occurredAt":1760000000123,"subscriptionType":"company.propertyChange","objectId":5,"propertyName":"domain","propertyValue":%q}`,
		"marketo":    `{"marketoGUID":"1","leadId":5,"activityDate":"2025-10-09T08:53:19Z","activityTypeId":12,"attributes":[{"name":"Website","value":%q}]}`,
		"looker":     `{"scheduled_plan":{},"row":{"accounts.website":%q}}`,
		"salesforce": `{"attributes":{"type":"Account"},"Id":"0015g00000AbCdE","SystemModstamp":1760000000,"Website":%q}`,
	}
	hosts := []string{"bücher.example", "BÜCHER.example", norm.NFD.String("bücher.example"), "xn--bcher-kva.example", "XN--BCHER-KVA.Example.", "bücher。example"}
	refs := func(name, body, text string) string {
		s, ok := Set().Find(name)
		require.True(t, ok)
		got := tellOne(s, source.Record{Value: fmt.Appendf(nil, body, text), ReceivedAt: foundAt})
		require.Empty(t, got.reason, text)
		return got.refs
	}
	for name, body := range bodies {
		for _, host := range hosts {
			require.Contains(t, refs(name, body, "Kim@"+host), ":email:kim@xn--bcher-kva.example", "%s: %q", name, host)
		}
		for _, list := range []string{"x@evil.example, kim@acme.example", "x@evil.example;kim@acme.example", "x@evil.example kim@acme.example"} {
			require.NotContains(t, refs(name, body, list), "acme.example", "%s: %q", name, list)
		}
	}
	for name, body := range domains {
		for _, host := range hosts {
			require.Contains(t, refs(name, body, "https://www."+host+"/about"), ":domain:xn--bcher-kva.example", "%s: %q", name, host)
		}
	}
}

// TestTimesHaveOneMeaning: every source reads a vendor's time in every form, and refuses what is none.
func TestTimesHaveOneMeaning(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{
		"stripe":     `{"id":"evt_1","object":"event","created":%s,"type":"customer.created","data":{"object":{"object":"customer"}}}`,
		"hubspot":    `{"portalId":1,"occurredAt":%s,"subscriptionType":"contact.creation","objectId":5}`,
		"zendesk":    `{"account_id":1,"id":"1","time":%s,"type":"zen:event-type:ticket.created","detail":{"id":"7"},"event":{}}`,
		"intercom":   `{"type":"notification_event","app_id":"a","id":"n","created_at":%s,"topic":"contact.deleted","data":{"item":{"type":"contact","id":"1"}}}`,
		"marketo":    `{"marketoGUID":"1","leadId":5,"activityDate":%s,"activityTypeId":12}`,
		"looker":     `{"history.id":1,"history.created_raw":%s}`,
		"salesforce": `{"payload":{"ChangeEventHeader":{"entityName":"Account","recordIds":["0015g00000AbCdE"],"changeType":"UPDATE","commitTimestamp":%s}},"event":{"EventUuid":"1"}}`,
		"segment":    `{"type":"track","event":"A","messageId":"1","timestamp":%s}`,
	}
	forms := map[string][]string{
		"2025-10-09T08:53:20Z": {
			"1760000000", "1760000000000", "1760000000000000", "1760000000000000000", "1760000000.0", "1.76e9", `"1760000000"`,
			`"2025-10-09T08:53:20Z"`, `"2025-10-09t08:53:20z"`, `"2025-10-09 08:53:20 +0000"`, `"2025-10-09T10:53:20+02:00"`, `"2025-10-09 08:53:20 UTC"`, `"2025-10-09T08:53:20"`,
		},
		"2025-10-09T08:53:20.123456Z": {"1760000000.123456", "1760000000123.456", "1760000000123456", `"2025-10-09T08:53:20.123456Z"`},
		"2025-10-09T08:54:00Z":        {`"2025-10-09T08:53:60Z"`},
		"":                            {`"soon"`, `"2025-13-01"`, `"2025-10-09 08:53:20 PST"`, `""`, "true", "{}"},
	}
	for name, body := range bodies {
		s, ok := Set().Find(name)
		require.True(t, ok)
		for want, texts := range forms {
			for _, text := range texts {
				got := tellOne(s, source.Record{Value: []byte(strings.Replace(body, "%s", text, 1)), ReceivedAt: foundAt})
				if want == "" && name == "looker" && (text == `""` || text == "{}") {
					require.Equal(t, foundAt.Format("2006-01-02T15:04:05Z"), got.at, "an empty column says nothing: the receipt counts")
					continue
				}
				require.Equal(t, want == "", got.reason == fault.Malformed, "%s: %s", name, text)
				require.Equal(t, want, got.at, "%s: %s", name, text)
			}
		}
	}
}

// TestTellings: what is another telling of one event, and what contradicts it.
func TestTellings(t *testing.T) {
	t.Parallel()
	const (
		snapshot = `{"object":"event","api_version":"a","id":"e","pending_webhooks":1,"data":{"object":{"amount":5}}}`
		row      = `{"type":"query","scheduled_plan":{"title":"a"},"received_on":"2025-10-09","row":{"n":72}}`
		rest     = `{"marketoGUID":"1","id":7,"leadId":5,"activityTypeId":12,"attributes":[{"name":"a","value":"b"}]}`
	)
	tests := map[string]struct {
		source, a, b string
		want         source.Relation
		pointer      string
	}{
		"a delivery again":        {"stripe", snapshot, strings.Replace(snapshot, `"pending_webhooks":1`, `"pending_webhooks":0`, 1), source.Same, ""},
		"another amount":          {"stripe", snapshot, strings.Replace(snapshot, `5`, `6`, 1), source.Contradiction, "/data/object/amount"},
		"another API version":     {"stripe", snapshot, strings.Replace(snapshot, `"a"`, `"b"`, 1), source.OtherForm, ""},
		"thin after the snapshot": {"stripe", `{"object":"v2.core.event","id":"e"}`, snapshot, source.PartOf, ""},
		"thin before it":          {"stripe", snapshot, `{"object":"v2.core.event","id":"e"}`, source.OtherForm, ""},
		"a retry":                 {"hubspot", `{"subscriptionType":"deal.creation","attemptNumber":0,"eventId":1}`, `{"subscriptionType":"deal.creation","attemptNumber":3,"eventId":2}`, source.Same, ""},
		"another subscription":    {"hubspot", `{"subscriptionType":"deal.creation"}`, `{"subscriptionType":"object.creation","objectTypeId":"0-3"}`, source.OtherForm, ""},
		"another value":           {"hubspot", `{"subscriptionType":"a.b","changeFlag":"NEW"}`, `{"subscriptionType":"a.b","changeFlag":"DELETED"}`, source.Contradiction, "/changeFlag"},
		"another UUID":            {"zendesk", `{"zendesk_event_version":"1","id":"a","detail":{"x":1}}`, `{"zendesk_event_version":"1","id":"b","detail":{"x":1}}`, source.Same, ""},
		"another detail":          {"zendesk", `{"zendesk_event_version":"1","detail":{"x":1}}`, `{"zendesk_event_version":"1","detail":{"x":2}}`, source.Contradiction, "/detail/x"},
		"a backfill":              {"zendesk", `{"detail":{"x":"1"}}`, `{"zendesk_event_version":"1","detail":{"x":1,"y":2}}`, source.OtherForm, ""},
		"another app's":           {"intercom", `{"topic":"t","id":"n1","delivery_attempts":1,"data":{"item":{"created_at":1}}}`, `{"topic":"t","id":"n2","delivery_attempts":2,"data":{"item":{"created_at":1}}}`, source.Same, ""},
		"another body":            {"intercom", `{"topic":"t","data":{"item":{"body":"a"}}}`, `{"topic":"t","data":{"item":{"body":"b"}}}`, source.Contradiction, "/data/item/body"},
		"REST and bulk":           {"marketo", rest, `{"marketoGUID":"1","leadId":"5","activityTypeId":"12","attributes":"{\"a\":\"b\"}"}`, source.OtherForm, ""},
		"another lead":            {"marketo", rest, strings.Replace(rest, `"leadId":5`, `"leadId":6`, 1), source.Contradiction, "/leadId"},
		"another plan's title":    {"looker", row, strings.Replace(strings.Replace(row, `"a"`, `"b"`, 1), `72`, `72.0`, 1), source.Same, ""},
		"another row":             {"looker", row, strings.Replace(row, `72`, `73`, 1), source.Contradiction, "/row/n"},
		"other columns":           {"looker", `{"history.id":1}`, `{"history.id":1,"x":2}`, source.OtherForm, ""},
		"an unknown source":       {"nobody", `{"a":1,"attempt":1}`, `{"a":1,"attempt":2}`, source.Contradiction, "/attempt"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c, d rawjson.Doc
			a, err := c.Parse([]byte(tt.a))
			require.NoError(t, err)
			b, err := d.Parse([]byte(tt.b))
			require.NoError(t, err)
			got, pointer := Set().Compare(tt.source, a, b)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.pointer, pointer)
			require.Equal(t, got == source.Same, Set().Digest(tt.source, a) == Set().Digest(tt.source, b))
		})
	}
}
