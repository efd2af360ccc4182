package intercom

import (
	"strings"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// references finds whom an item tells of: companies first, then contacts, what
// they carry, and at last the conversation or ticket, which can be linked when
// nothing else is known. An item is the object itself or has it nested
// (contact_tag, content_stat.*, ticket parts, ticket.closed of 2.15 on).
func references(app string, item rawjson.Value) []source.Reference {
	refs := source.References{Source: name, Tenant: app}
	objects := [...]rawjson.Value{item, item.Get("ticket"), item.Get("conversation")}
	people := make([]rawjson.Value, 0, 8) // most items have two or three
	for _, o := range objects {
		people = appendPeople(people, o)
	}
	for _, o := range objects {
		addCompanies(&refs, o)
	}
	for _, p := range people {
		addCompaniesOfPerson(&refs, p)
	}
	for _, p := range people {
		refs.Add(kindContact, p.Get("id").Literal())
	}
	for _, p := range people {
		addExternal(&refs, p.Get("external_id"))
		addExternal(&refs, p.Get("user_id")) // 1.x
	}
	for _, p := range people {
		refs.Add(source.KindEmail, p.Get("email").Text())
	}
	if item.Get("type").Is("event") { // event.created names its contact flat
		refs.Add(kindContact, item.Get("intercom_user_id").Literal())
		addExternal(&refs, item.Get("user_id"))
		refs.Add(source.KindEmail, item.Get("email").Text())
	}
	for _, o := range objects {
		addSelf(&refs, o)
	}
	if item.Get("type").Is("call") {
		refs.Add(kindContact, item.Get("contact_id").Literal())
	}
	refs.Add(kindConversation, item.At("conversation", "model", "id").Literal()) // conversation.contact.*
	return refs.List()
}

// appendPeople appends the contacts of an object, never a teammate or a bot:
// their addresses say who we are.
func appendPeople(people []rawjson.Value, o rawjson.Value) []rawjson.Value {
	add := func(v rawjson.Value) {
		if v.Kind() == rawjson.Object {
			people = append(people, v)
		}
	}
	author := func(v rawjson.Value) {
		if author := v.Get("author"); roleOf(author.Get("type")) == customer {
			add(author)
		}
	}
	if roleOf(o.Get("type")) == customer {
		add(o)
	}
	add(o.Get("contact"))
	add(o.Get("user")) // 1.x
	contacts := o.Get("contacts")
	for _, list := range [...]rawjson.Value{contacts.Get("contacts"), contacts.Get("data"), contacts, o.Get("customers")} {
		for _, v := range list.Elements() {
			add(v)
		}
	}
	author(o.Get("source"))
	author(o.Get("conversation_message")) // 1.x
	for _, part := range o.At("conversation_parts", "conversation_parts").Elements() {
		author(part)
	}
	author(o.Get("ticket_part"))
	add(o.Get("merged_from"))
	return people
}

func addCompanies(refs *source.References, o rawjson.Value) {
	if o.Get("type").Is("company") {
		addCompany(refs, o)
		return
	}
	addCompany(refs, o.Get("company"))
	refs.Add(kindCompany, idOf(o.Get("company_id")))
}

// addCompaniesOfPerson reads companies.data of 2.x and companies.companies of 1.x.
func addCompaniesOfPerson(refs *source.References, person rawjson.Value) {
	companies := person.Get("companies")
	for _, list := range [...]rawjson.Value{companies.Get("data"), companies.Get("companies")} {
		for _, company := range list.Elements() {
			addCompany(refs, company)
		}
	}
	addCompany(refs, person.Get("company"))
}

// addCompany adds the id of the customer's own system before Intercom's. A
// company made while qualifying a lead has a company_id that Intercom made up,
// "<id>-qualification-company": it says nothing beside the real id.
func addCompany(refs *source.References, company rawjson.Value) {
	own, id := idOf(company.Get("company_id")), idOf(company.Get("id"))
	if strings.HasSuffix(own, "-qualification-company") && id != "" {
		own = ""
	}
	refs.Add(kindCompany, own)
	refs.Add(kindCompany, id)
	refs.Add(source.KindAccountUUID, own)
}

// addExternal adds an id of the customer's own system, which may be an account's.
func addExternal(refs *source.References, v rawjson.Value) {
	id := v.Literal()
	refs.Add(source.KindAccountUUID, id)
	refs.Add(kindExternal, id)
}

func addSelf(refs *source.References, o rawjson.Value) {
	switch kind := o.Get("type"); {
	case kind.Is("conversation"):
		refs.Add(kindConversation, o.Get("id").Literal())
	case kind.Is("ticket"):
		refs.Add(kindTicket, o.Get("id").Literal())
	}
	refs.Add(kindConversation, o.Get("conversation_id").Literal())
}

// idOf gives a company's id: what has no company can have -1 for it.
func idOf(v rawjson.Value) string {
	if id := v.Literal(); id != "-1" {
		return id
	}
	return ""
}
