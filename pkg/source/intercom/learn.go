package intercom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

var _ source.Learner = intercom{}

// mostLearned bounds a search by ids, since what it does not find is asked for by
// itself.
const mostLearned = 25

// Learns implements source.Learner.
func (intercom) Learns() []source.Learnable {
	return []source.Learnable{
		{Kind: kindContact, Most: mostLearned}, {Kind: kindExternal, Most: mostLearned}, {Kind: kindConversation, Most: mostLearned},
		{Kind: kindTicket, Most: mostLearned}, {Kind: kindCompany, Most: 1},
	}
}

// Learn implements source.Learner: one search for all ids, and a request for each that
// it does not find. A search leaves out what is new and what was merged; only a request
// for the object itself tells that it is gone.
func (intercom) Learn(ctx context.Context, api source.Doer, kind string, ids []string) ([]source.Learned, error) {
	var path string
	field := "id"
	switch kind {
	case kindContact:
		path = contacts
	case kindExternal:
		path, field = contacts, "external_id"
	case kindConversation:
		path = conversations
	case kindTicket:
		path = tickets
	case kindCompany:
		return learnCompany(ctx, api, ids[0])
	default:
		return nil, nil
	}
	a, err := ask(ctx, api, http.MethodPost, "/"+path+"/search", map[string]any{
		"query": map[string]any{"field": field, "operator": "IN", "value": ids}, "pagination": map[string]any{"per_page": pageContacts},
	})
	if err != nil {
		return nil, fmt.Errorf("searching %s: %w", path, err)
	}
	list, ok := intercom{}.List(a.top)
	if !ok {
		return nil, lie(errors.New("the answer is no list of " + path))
	}
	found := map[string][]rawjson.Value{}
	for _, object := range list.Elements() {
		one := object.Get(field).Literal()
		if !slices.Contains(ids, one) {
			return nil, lie(errors.New("the list has an object that was not asked for"))
		}
		found[one] = append(found[one], object)
	}
	learned := make([]source.Learned, 0, len(ids))
	for _, one := range ids {
		switch objects := found[one]; {
		case len(objects) > 0:
			learned = append(learned, told(one, kind, objects...))
		case kind == kindExternal: // new, or nobody's any more: not told
		default:
			l, err := learnOne(ctx, api, path, kind, one)
			if err != nil {
				return nil, err
			}
			learned = append(learned, l)
		}
	}
	return learned, nil
}

// learnOne asks for one object itself. One that Intercom gives under another id was
// merged into that.
func learnOne(ctx context.Context, api source.Doer, path, kind, one string) (source.Learned, error) {
	a, err := ask(ctx, api, http.MethodGet, "/"+path+"/"+url.PathEscape(one), nil)
	switch {
	case a.status == http.StatusNotFound:
		return gone(one, kind), nil
	case err != nil:
		return source.Learned{}, fmt.Errorf("reading one of the %s: %w", path, err)
	}
	switch is := a.top.Get("id").Literal(); {
	case is == "":
		return source.Learned{}, lie(errors.New("the object has no id"))
	case is != one && kind == kindContact:
		l := source.Learned{ID: one, MergedInto: is}
		l.Evidence, _ = json.Marshal(map[string]string{"object": kind, "merged_into": is})
		return l, nil
	case is != one:
		return source.Learned{}, lie(errors.New("the API gives another object than was asked for"))
	}
	return told(one, kind, a.top), nil
}

// learnCompany asks for a company by Intercom's id, and where that is none by the id
// that the customer's own system gave it.
func learnCompany(ctx context.Context, api source.Doer, one string) ([]source.Learned, error) {
	a, err := ask(ctx, api, http.MethodGet, "/companies/"+url.PathEscape(one), nil)
	if a.status == http.StatusNotFound {
		a, err = ask(ctx, api, http.MethodGet, "/companies?company_id="+url.QueryEscape(one), nil)
	}
	switch {
	case a.status == http.StatusNotFound:
		return []source.Learned{gone(one, kindCompany)}, nil
	case err != nil:
		return nil, fmt.Errorf("reading a company: %w", err)
	case a.top.Get("id").Literal() != one && a.top.Get("company_id").Literal() != one:
		return nil, lie(errors.New("the API gives another company than was asked for"))
	}
	return []source.Learned{told(one, kindCompany, a.top)}, nil
}

func gone(one, kind string) source.Learned {
	l := source.Learned{ID: one, Gone: true}
	l.Evidence, _ = json.Marshal(map[string]any{"object": kind, "gone": true})
	return l
}

// told says what objects point at; an external_id may be that of two contacts.
func told(one, kind string, objects ...rawjson.Value) source.Learned {
	l := source.Learned{ID: one}
	add := func(to, id string, by source.LeadLevel, field string) {
		refs := source.References{Source: name}
		refs.Add(to, id)
		for _, ref := range refs.List() {
			if ref.Kind == kind && ref.ID == one || slices.ContainsFunc(l.Leads, func(have source.Lead) bool { return have.Reference == ref }) {
				continue
			}
			l.Leads = append(l.Leads, source.Lead{Reference: ref, By: by, Field: field})
		}
	}
	for _, o := range objects {
		switch kind {
		case kindCompany:
			l.Name = o.Get("name").Text()
			for _, field := range []string{"company_id", "id"} {
				add(source.KindAccountUUID, idOf(o.Get(field)), source.LeadDeclared, field)
				add(kindCompany, idOf(o.Get(field)), source.LeadDeclared, field)
			}
			add(source.KindDomain, o.Get("website").Text(), source.LeadVendor, "website")
		case kindConversation, kindTicket:
			add(kindCompany, idOf(o.Get("company_id")), source.LeadVendor, "company_id")
			add(kindCompany, idOf(o.At("company", "id")), source.LeadVendor, "company")
			for _, person := range o.At("contacts", "contacts").Elements() {
				add(kindContact, person.Get("id").Literal(), source.LeadVendor, "contacts")
			}
		default:
			add(source.KindAccountUUID, o.Get("external_id").Literal(), source.LeadDeclared, "external_id")
			if kind == kindExternal {
				add(kindContact, o.Get("id").Literal(), source.LeadDeclared, "id")
			}
			for _, company := range o.At("companies", "data").Elements() {
				add(kindCompany, idOf(company.Get("id")), source.LeadVendor, "companies")
			}
			add(kindExternal, o.Get("external_id").Literal(), source.LeadDeclared, "external_id")
			add(source.KindEmail, o.Get("email").Text(), source.LeadPerson, "email")
		}
	}
	fields, companies := []string{}, []string{}
	for _, lead := range l.Leads {
		if !slices.Contains(fields, lead.Field) {
			fields = append(fields, lead.Field)
		}
		if lead.Reference.Kind == kindCompany {
			companies = append(companies, lead.Reference.ID)
		}
	}
	l.Evidence, _ = json.Marshal(map[string]any{"object": kind, "fields": fields, "companies": companies})
	return l
}
