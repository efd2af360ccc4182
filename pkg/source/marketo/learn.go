package marketo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of leads. Source: Adobe's developer guide, "Leads" (filterType=id with up to
// 300 filterValues; id and email are always there). Not confirmed: that
// externalCompanyId is given with a lead, and the name sfdcAccountId for the account
// that the Salesforce sync knows; an instance without a field refuses it (1006, 1003),
// and is then asked without. What Merge Leads (32) calls its attribute is that of
// public instances.
const (
	mostLeads = 300
	// mergesSince and mostMergePages bound how far back merges are looked for.
	mergesSince    = 90 * day
	mostMergePages = 5
	mergeType      = "32"
	mergedIDs      = "Merge IDs"
)

// leadFields are asked for; all but the first two may be refused.
var leadFields = []string{"id", "email", "externalCompanyId", "sfdcAccountId"}

var _ source.Learner = marketo{}

// Learns implements source.Learner.
func (marketo) Learns() []source.Learnable {
	return []source.Learnable{{Kind: kindLead, Most: mostLeads}}
}

// Learn implements source.Learner. A company's name is no lead: whoever fills in a form
// may write one. Leads that are no more are looked for among the merges of the last 90
// days, in a few requests.
func (marketo) Learn(ctx context.Context, api source.Doer, kind string, ids []string) ([]source.Learned, error) {
	if kind != kindLead || len(ids) == 0 || len(ids) > mostLeads {
		return nil, fault.Permanent(fault.Unsupported, fmt.Errorf("Marketo is asked about up to %d leads, not %d of kind %s", mostLeads, len(ids), kind))
	}
	var asked []string
	var learned []source.Learned
	for _, id := range ids {
		if isNumber(id) {
			asked = append(asked, id)
			continue
		}
		learned = append(learned, source.Learned{ID: id, Gone: true, Evidence: json.RawMessage(`{"id":"no number, as Marketo's are"}`)})
	}
	if len(asked) == 0 {
		return learned, nil
	}
	answer, err := leads(ctx, api, asked)
	if err != nil {
		return nil, fmt.Errorf("asking about leads: %w", err)
	}
	told := map[string]bool{}
	for _, lead := range answer.Get("result").Elements() {
		id := lead.Get("id").Literal()
		if told[id] || !slices.Contains(asked, id) {
			return nil, lie("the answer is about other leads than were asked about")
		}
		told[id] = true
		learned = append(learned, learn(id, lead))
	}
	asked = slices.DeleteFunc(asked, func(id string) bool { return told[id] })
	if len(asked) == 0 {
		return learned, nil
	}
	into, err := merged(ctx, api, asked)
	if err != nil {
		return nil, fmt.Errorf("asking about merged leads: %w", err)
	}
	for _, id := range asked {
		l := source.Learned{ID: id, MergedInto: into[id], Gone: into[id] == "", Evidence: json.RawMessage(`{"leads":"does not have it"}`)}
		if !l.Gone {
			l.Evidence, _ = json.Marshal(map[string]string{"activityTypeId": mergeType, "leadId": into[id]})
		}
		learned = append(learned, l)
	}
	return learned, nil
}

// leads asks for leads, without those fields that the instance refuses.
func leads(ctx context.Context, api source.Doer, ids []string) (answer rawjson.Value, err error) {
	fields := slices.Clone(leadFields)
	for range leadFields {
		answer, err = get(ctx, api, "/rest/v1/leads.json", url.Values{
			"filterType": {"id"}, "filterValues": {strings.Join(ids, ",")}, "fields": {strings.Join(fields, ",")},
		})
		var refused *refusal
		if !errors.As(err, &refused) {
			break
		}
		at := slices.Index(fields, refused.field())
		if at < 2 {
			break
		}
		fields = slices.Delete(fields, at, at+1)
	}
	if err == nil && answer.Get("result").Kind() != rawjson.Array && answer.Get("result").Exists() {
		err = lie("the answer's result is no array")
	}
	return answer, err
}

// learn gives what a lead points at.
func learn(id string, lead rawjson.Value) source.Learned {
	l := source.Learned{ID: id}
	evidence := map[string]string{}
	add := func(from, kind, ref string, by source.LeadLevel, field string) {
		refs := source.References{Source: from}
		refs.Add(kind, ref)
		for _, r := range refs.List() {
			l.Leads = append(l.Leads, source.Lead{Reference: r, By: by, Field: field})
			if by != source.LeadPerson {
				evidence[field] = r.ID
			}
		}
	}
	company := lead.Get("externalCompanyId").Literal()
	add(name, source.KindAccountUUID, company, source.LeadVendor, "externalCompanyId")
	add(name, kindCompany, company, source.LeadVendor, "externalCompanyId")
	if account := lead.Get("sfdcAccountId").Literal(); isName(account) && (len(account) == 15 || len(account) == 18) {
		add("salesforce", "account", account, source.LeadVendor, "sfdcAccountId")
	}
	add(name, source.KindEmail, lead.Get("email").Literal(), source.LeadPerson, "email")
	l.Evidence, _ = json.Marshal(evidence)
	return l
}

// merged gives the leads that these were merged into, as far as recent merges say.
func merged(ctx context.Context, api source.Doer, ids []string) (into map[string]string, err error) {
	into = map[string]string{}
	q := source.Query{Stream: streamActivities, From: time.Now().Add(-mergesSince).Truncate(time.Second), To: time.Now().Add(day), Types: []string{mergeType}}
	for range mostMergePages {
		page, err := walk(ctx, api, q)
		if err != nil {
			return nil, err
		}
		for _, part := range page.Parts {
			winner := part.Object.Get("leadId").Literal()
			for _, id := range losers(part.Object) {
				if id != winner && slices.Contains(ids, id) && isNumber(winner) {
					into[id] = winner
				}
			}
		}
		if page.Next == nil || len(into) == len(ids) {
			break
		}
		q.Cursor = page.Next
	}
	return into, nil
}

// losers are the leads that a merge took in, written as an array or as text of one.
func losers(merge rawjson.Value) []string {
	for _, a := range merge.Get("attributes").Elements() {
		if a.Get("name").Is(mergedIDs) {
			v := a.Get("value")
			text := v.Literal()
			if text == "" {
				text = string(v.Bytes())
			}
			return strings.FieldsFunc(text, func(c rune) bool { return c < '0' || c > '9' })
		}
	}
	return nil
}
