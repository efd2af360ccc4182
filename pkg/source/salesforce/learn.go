package salesforce

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// mostIDs is how many ids one query asks about: its text stands in a URL.
const mostIDs = 100

var _ source.Learner = salesforce{}

// Learns implements source.Learner.
func (salesforce) Learns() []source.Learnable {
	kinds := make([]source.Learnable, len(objects))
	for i, o := range objects {
		kinds[i] = source.Learnable{Kind: o.kind, Most: mostIDs}
	}
	return kinds
}

// Learn implements source.Learner. A record that was deleted or merged is still there
// for 15 days, and then none.
func (salesforce) Learn(ctx context.Context, api source.Doer, kind string, ids []string) ([]source.Learned, error) {
	at := slices.IndexFunc(objects, func(o object) bool { return o.kind == kind })
	if at < 0 {
		return nil, nil
	}
	var asked []string
	for _, text := range ids {
		if id, ok := ID(text); ok && id == text {
			asked = append(asked, id)
		}
	}
	if len(asked) == 0 {
		return nil, nil
	}
	a, err := query(ctx, api, objects[at].name, fmt.Sprintf("SELECT FIELDS(ALL) FROM %s WHERE Id IN ('%s') LIMIT %d", objects[at].name, strings.Join(asked, "','"), mostRows))
	if err != nil {
		return nil, fmt.Errorf("asking for records of %s: %w", objects[at].name, err)
	}
	found := map[string]rawjson.Value{}
	for _, record := range a.records.Elements() {
		id, _ := ID(record.Get("Id").Text()) // query has seen it
		if !slices.Contains(asked, id) {
			return nil, lie(fmt.Errorf("the answer has a %s that was not asked for", objects[at].name))
		}
		found[id] = record
	}
	var learned []source.Learned
	for _, id := range asked {
		record, ok := found[id]
		switch {
		case ok:
			learned = append(learned, learn(id, kind, record))
		case a.done:
			learned = append(learned, source.Learned{ID: id, Gone: true, Evidence: json.RawMessage(`{"gone":true}`)})
		}
	}
	return learned, nil
}

// learn takes what a record points at.
//
// The account of a contact, an opportunity, a contract, an order or an asset is what the
// organization's people and systems chose: it is declared. That of a case Salesforce
// finds by the address of whoever wrote it (Web-to-Case, Email-to-Case), and so may be
// another's: it is the vendor's.
func learn(id, kind string, record rawjson.Value) source.Learned {
	l := source.Learned{ID: id}
	evidence := map[string]any{"object": record.At("attributes", "type").Text()}
	into, _ := ID(record.Get("MasterRecordId").Text())
	if deleted := record.Get("IsDeleted"); deleted.Bool() {
		evidence["IsDeleted"] = true
		l.Gone = into == ""
		if l.MergedInto = into; into != "" {
			evidence["MasterRecordId"] = into
		}
	}
	add := func(by source.LeadLevel, from, refKind, ref, field string) {
		refs := source.References{Source: from}
		refs.Add(refKind, ref)
		for _, r := range refs.List() {
			l.Leads = append(l.Leads, source.Lead{Reference: r, By: by, Field: field})
			if by != source.LeadPerson {
				evidence[field] = r.ID
			}
		}
	}
	by := source.LeadDeclared
	if kind == "case" {
		by = source.LeadVendor
	}
	if kind == "account" {
		l.Name = record.Get("Name").Text()
		for field, value := range record.Members() {
			own, isOwn := strings.CutSuffix(field, "__c")
			switch plain := strings.ToLower(strings.ReplaceAll(own, "_", "")); {
			case !isOwn:
			case isAccountUUID(plain):
				add(by, name, source.KindAccountUUID, value.Text(), field)
			case strings.HasPrefix(value.Text(), stripeCustomer):
				add(by, "stripe", "customer", value.Text(), field)
			}
		}
		add(source.LeadVendor, name, source.KindDomain, record.Get("Website").Text(), "Website") // filled in by services too
	}
	for _, field := range [...]string{"AccountId", "ConvertedAccountId", "ContactId", "ConvertedContactId"} {
		ref, ok := ID(record.Get(field).Text())
		for _, o := range objects {
			if ok && o.kind != kind && strings.HasPrefix(ref, o.prefix) {
				add(by, name, o.kind, ref, field)
			}
		}
	}
	// Not a case's SuppliedEmail: whoever fills in a web form types it.
	for _, field := range [...]string{"Email", "PersonEmail", "ContactEmail"} {
		add(source.LeadPerson, name, source.KindEmail, record.Get(field).Text(), field)
	}
	l.Evidence, _ = json.Marshal(evidence) // texts and booleans
	return l
}

// stripeCustomer begins the ids of Stripe's customers, which nothing else begins with.
const stripeCustomer = "cus_"
