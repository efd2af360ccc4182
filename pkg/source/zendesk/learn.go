package zendesk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// mostShown bounds the ids of one request. Source:
// developer.zendesk.com/api-reference/ticketing/tickets/tickets/#show-multiple-tickets,
// and those of users and organizations.
const mostShown = 100

// learnables are the lists that show_many is asked for.
var learnables = map[string]string{kindTicket: "tickets", kindUser: "users", kindOrganization: "organizations"}

var _ source.Learner = zendesk{}

// Learns implements source.Learner.
func (zendesk) Learns() []source.Learnable {
	var all []source.Learnable
	for _, kind := range []string{kindTicket, kindUser, kindOrganization} {
		all = append(all, source.Learnable{Kind: kind, Most: mostShown})
	}
	return all
}

// Learn implements source.Learner. An id that the answer leaves out is that of an
// object that was deleted: Zendesk's API says of none what it was merged into, its
// webhook does.
func (zendesk) Learn(ctx context.Context, api source.Doer, kind string, ids []string) ([]source.Learned, error) {
	list, ok := learnables[kind]
	if !ok || len(ids) == 0 || len(ids) > mostShown {
		return nil, fault.Permanent(fault.Unsupported, fmt.Errorf("Zendesk is asked about up to %d tickets, users or organizations, not %d of kind %s", mostShown, len(ids), kind))
	}
	// An id that is no number would have the whole request refused.
	var asked []string
	var learned []source.Learned
	for _, id := range ids {
		if strings.Trim(id, "0123456789") == "" && id != "" {
			asked = append(asked, id)
			continue
		}
		learned = append(learned, source.Learned{ID: id, Gone: true, Evidence: json.RawMessage(`{"id":"no number, as Zendesk's are"}`)})
	}
	if len(asked) == 0 {
		return learned, nil
	}
	answer, _, err := get(ctx, api, "/api/v2/"+list+"/show_many.json", url.Values{"ids": {strings.Join(asked, ",")}})
	if err != nil {
		return nil, fmt.Errorf("asking about %s: %w", list, err)
	}
	objects := answer.Get(list)
	if objects.Kind() != rawjson.Array {
		return nil, lie("the answer has no array %s", list)
	}
	told := map[string]bool{}
	for _, o := range objects.Elements() {
		id := text(o.Get("id"))
		if told[id] || !slices.Contains(asked, id) {
			return nil, lie("the answer is about other %s than were asked about", list)
		}
		told[id] = true
		learned = append(learned, learn(kind, id, o))
	}
	for _, id := range asked {
		if !told[id] {
			learned = append(learned, source.Learned{ID: id, Gone: true, Evidence: json.RawMessage(`{"show_many":"does not have it"}`)})
		}
	}
	return learned, nil
}

// learn gives what an object points at.
func learn(kind, id string, o rawjson.Value) source.Learned {
	l := source.Learned{ID: id}
	evidence := map[string]string{}
	add := func(kind string, v rawjson.Value, by source.LeadLevel, field string) {
		refs := source.References{Source: name}
		refs.Add(kind, text(v))
		for _, r := range refs.List() {
			l.Leads = append(l.Leads, source.Lead{Reference: r, By: by, Field: field})
			if by != source.LeadPerson {
				evidence[field] = r.ID
			}
		}
	}
	switch kind {
	case kindTicket:
		l.Gone = o.Get("status").Is("deleted")
		add(kindOrganization, o.Get("organization_id"), source.LeadVendor, "organization_id")
		add(kindUser, o.Get("requester_id"), source.LeadVendor, "requester_id")
	case kindUser:
		l.Gone = o.Get("active").Kind() == rawjson.Bool && !o.Get("active").Bool()
		add(source.KindAccountUUID, o.Get("external_id"), source.LeadDeclared, "external_id")
		add(kindOrganization, o.Get("organization_id"), source.LeadVendor, "organization_id")
		if role := strings.ToLower(text(o.Get("role"))); role != "agent" && role != "admin" {
			add(source.KindEmail, o.Get("email"), source.LeadPerson, "email")
		}
	case kindOrganization:
		l.Gone = text(o.Get("deleted_at")) != ""
		l.Name = o.Get("name").Text()
		add(source.KindAccountUUID, o.Get("external_id"), source.LeadDeclared, "external_id")
		add(kindOrganizationExternal, o.Get("external_id"), source.LeadDeclared, "external_id")
	}
	l.Evidence, _ = json.Marshal(evidence)
	return l
}
