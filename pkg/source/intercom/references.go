package intercom

import (
	"strings"

	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/source"
)

// references finds whom an item tells of: companies first, then contacts, what
// they carry, and at last the conversation or ticket, which can be linked when
// nothing else is known. An item is the object itself or has it nested
// (contact_tag, content_stat.*, ticket parts, ticket.closed of 2.15 on).
func references(app string, item *object) []source.Reference {
	refs := source.References{Source: name, Tenant: app}
	objects := []*object{item}
	for _, nested := range []gjson.Result{item.ticket, item.conversation} {
		if nested.IsObject() {
			o := readObject(nested)
			objects = append(objects, &o)
		}
	}
	var people []person
	for _, object := range objects {
		people = addPeople(people, object)
	}
	for _, object := range objects {
		addCompanies(&refs, object)
	}
	for i := range people {
		addCompaniesOfPerson(&refs, &people[i])
	}
	for i := range people {
		refs.Add(kindContact, people[i].id)
	}
	for i := range people {
		addExternal(&refs, people[i].externalID)
		addExternal(&refs, people[i].userID) // 1.x
	}
	for i := range people {
		refs.Add(source.KindEmail, people[i].email)
	}
	if item.kind == "event" { // event.created names its contact flat
		refs.Add(kindContact, item.intercomUserID)
		addExternal(&refs, item.userID)
		refs.Add(source.KindEmail, item.email)
	}
	for _, object := range objects {
		addSelf(&refs, object)
	}
	refs.Add(kindConversation, text(in(item.conversation, "model.id"))) // conversation.contact.*
	return refs.List()
}

// addPeople appends the contacts of an object, never a teammate or a bot: their
// addresses say who we are.
func addPeople(people []person, o *object) []person {
	add := func(v gjson.Result) {
		if v.IsObject() {
			people = append(people, readPerson(v))
		}
	}
	switch o.kind {
	case "contact", "user", "lead", "visitor":
		add(o.raw)
	}
	add(o.contact)
	add(o.user) // 1.x
	for _, list := range []gjson.Result{in(o.contacts, "contacts"), in(o.contacts, "data"), o.contacts, o.customers} {
		each(list, add)
	}
	author := func(v gjson.Result) {
		if !v.IsObject() {
			return
		}
		if p := readPerson(v); roleOf(p.kind) == customer {
			people = append(people, p)
		}
	}
	author(in(o.source, "author"))
	author(in(o.message, "author")) // 1.x
	each(in(o.conversationParts, "conversation_parts"), func(part gjson.Result) { author(part.Get("author")) })
	author(in(o.ticketPart, "author"))
	add(o.mergedFrom)
	return people
}

func addCompanies(refs *source.References, o *object) {
	if o.kind == "company" {
		addCompany(refs, o.raw)
		return
	}
	addCompany(refs, o.company)
	refs.Add(kindCompany, unlessNone(o.companyID))
}

// addCompaniesOfPerson reads companies.data of 2.x and companies.companies of 1.x.
func addCompaniesOfPerson(refs *source.References, p *person) {
	for _, list := range []string{"data", "companies"} {
		each(in(p.companies, list), func(company gjson.Result) { addCompany(refs, company) })
	}
	addCompany(refs, p.company)
}

// addCompany adds the id of the customer's own system before Intercom's. A
// company made while qualifying a lead has a company_id that Intercom made up,
// "<id>-qualification-company": it says nothing beside the real id.
func addCompany(refs *source.References, company gjson.Result) {
	if !company.IsObject() {
		return
	}
	own, id := unlessNone(text(company.Get("company_id"))), unlessNone(text(company.Get("id")))
	if strings.HasSuffix(own, "-qualification-company") && id != "" {
		own = ""
	}
	refs.Add(kindCompany, own)
	refs.Add(kindCompany, id)
	refs.Add(source.KindAccountUUID, own)
}

func addExternal(refs *source.References, id string) {
	if _, ok := source.UUID(id); ok {
		refs.Add(source.KindAccountUUID, id)
		return
	}
	refs.Add(kindExternal, id)
}

func addSelf(refs *source.References, o *object) {
	switch o.kind {
	case "conversation":
		refs.Add(kindConversation, o.id)
	case "ticket":
		refs.Add(kindTicket, o.id)
	}
	refs.Add(kindConversation, o.conversationID)
}

// unlessNone: an object without a company can have -1 for it.
func unlessNone(id string) string {
	if id == "-1" {
		return ""
	}
	return id
}
