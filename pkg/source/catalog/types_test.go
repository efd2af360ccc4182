package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
)

// TestEveryTypeGives lists what the events of HubSpot's, Intercom's and Zendesk's
// types give, each made with the objects that its vendor sends with it. Stripe has
// its own list, of the fixtures of its API.
func TestEveryTypeGives(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]func(vendor string) string{"hubspot": hubspotBody, "intercom": intercomBody, "zendesk": zendeskBody} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, ok := Set().Find(name)
			require.True(t, ok)
			var out strings.Builder
			for _, row := range s.Profile().Types {
				_, event, err := source.Keyed(s, source.Record{Value: []byte(body(row.Vendor)), ReceivedAt: foundAt})
				require.NoError(t, err, body(row.Vendor))
				require.Equal(t, row.Type, event.Type, row.Vendor)
				kinds := "none: it is nobody's"
				for i, ref := range event.References {
					if i == 0 {
						kinds = ref.Kind
					} else {
						kinds += ", " + ref.Kind
					}
				}
				fmt.Fprintf(&out, "%-64s %-36s %s\n", row.Vendor, row.Type, kinds)
			}
			requireGolden(t, "types_"+name, out.String())
		})
	}
}

// detail gives a listed type without what stands in parentheses behind it, and that.
func detail(vendor string) (bare, inside string) {
	bare, inside, _ = strings.Cut(strings.TrimSuffix(vendor, ")"), " (")
	return bare, inside
}

func hubspotBody(vendor string) string {
	subscription, which := detail(vendor)
	thing, action, _ := strings.Cut(subscription, ".")
	object := `"objectId":5`
	if action == "associationChange" {
		object = fmt.Sprintf(`"fromObjectId":5,"toObjectId":7,"associationType":"%s_TO_COMPANY","toObjectTypeId":"0-2"`, strings.ToUpper(thing))
	}
	if thing == "object" {
		object += fmt.Sprintf(`,"objectTypeId":%q,"fromObjectTypeId":%[1]q`, which)
	}
	return fmt.Sprintf(`{"portalId":1,"occurredAt":1760000000123,"subscriptionType":%q,"propertyName":%q,"messageType":%[2]q,%s}`, subscription, which, object)
}

func intercomBody(vendor string) string {
	topic, stat := detail(vendor)
	const contact = `{"type":"contact","id":"5","external_id":"u-1","email":"kim@acme.example","companies":{"data":[{"type":"company","id":"6","company_id":"c-1"}]}}`
	item := contact
	switch thing, _, _ := strings.Cut(topic, "."); thing {
	case "conversation", "conversation_part":
		item = `{"type":"conversation","id":"9","contacts":{"contacts":[{"type":"contact","id":"5"}]}}`
	case "company":
		item = `{"type":"company","id":"6","company_id":"c-1"}`
	case "ticket":
		item = `{"type":"ticket","id":"8","contacts":{"contacts":[{"type":"contact","id":"5"}]},"company_id":"6"}`
	case "content_stat":
		item = fmt.Sprintf(`{"type":%q,"content_stat":{"stat_type":%q},"contact":%s}`, topic, stat, contact)
	case "event":
		item = `{"type":"event","id":"4","event_name":"x","user_id":"u-1","email":"kim@acme.example","intercom_user_id":"5"}`
	case "call":
		item = `{"type":"call","id":"3","conversation_id":"9","contact_id":"5"}`
	}
	return fmt.Sprintf(`{"type":"notification_event","app_id":"a","id":"n","created_at":1760000000,"topic":%q,"data":{"item":%s}}`, topic, item)
}

func zendeskBody(vendor string) string {
	thing, _, _ := strings.Cut(strings.TrimPrefix(vendor, "zen:event-type:"), ".")
	detail := `{"id":"7","organization_id":"6","requester_id":"5","external_id":"x-1"}`
	switch thing {
	case "user":
		detail = `{"id":"5","organization_id":"6","email":"kim@acme.example","role":"end-user"}`
	case "organization":
		detail = `{"id":"6","external_id":"c-1"}`
	}
	return fmt.Sprintf(`{"account_id":1,"id":"e","time":"2025-10-09T08:53:20Z","type":%q,"subject":"zen:%s:7","detail":%s,"event":{"previous":"4"}}`, vendor, thing, detail)
}
