package intercom

import (
	"strings"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/source"
)

// references finds whom an item tells of: companies first, then contacts, what
// they carry, and at last the conversation or ticket, which can be linked when
// nothing else is known. An item is the object itself or has it nested
// (contact_tag, content_stat.*, ticket parts, ticket.closed of 2.15 on).
func references(app string, item gjson.Result) []source.Reference {
	refs := source.References{Source: name, Tenant: app}
	objects := []gjson.Result{item}
	for _, field := range []string{"ticket", "conversation"} {
		if nested := item.Get(field); nested.IsObject() {
			objects = append(objects, nested)
		}
	}
	var people []gjson.Result
	for _, object := range objects {
		people = append(people, peopleOf(object)...)
	}
	for _, object := range objects {
		addCompanies(&refs, object)
	}
	for _, person := range people {
		addCompaniesOfPerson(&refs, person)
	}
	for _, person := range people {
		refs.Add(kindContact, text(person.Get("id")))
	}
	for _, person := range people {
		addExternal(&refs, text(person.Get("external_id")))
		addExternal(&refs, text(person.Get("user_id"))) // 1.x
	}
	for _, person := range people {
		refs.Add(source.KindEmail, text(person.Get("email")))
	}
	if text(item.Get("type")) == "event" { // event.created names its contact flat
		refs.Add(kindContact, text(item.Get("intercom_user_id")))
		addExternal(&refs, text(item.Get("user_id")))
		refs.Add(source.KindEmail, text(item.Get("email")))
	}
	for _, object := range objects {
		addSelf(&refs, object)
	}
	refs.Add(kindConversation, text(item.Get("conversation.model.id"))) // conversation.contact.*
	return refs.List()
}

// peopleOf gives the contacts of an object, never a teammate or a bot: their
// addresses say who we are.
func peopleOf(object gjson.Result) []gjson.Result {
	var people []gjson.Result
	add := func(person gjson.Result) {
		if person.IsObject() {
			people = append(people, person)
		}
	}
	switch text(object.Get("type")) {
	case "contact", "user", "lead", "visitor":
		add(object)
	}
	add(object.Get("contact"))
	add(object.Get("user")) // 1.x
	for _, list := range []string{"contacts.contacts", "contacts.data", "contacts", "customers"} {
		each(object.Get(list), add)
	}
	author := func(author gjson.Result) {
		if roleOf(author) == customer {
			add(author)
		}
	}
	author(object.Get("source.author"))
	author(object.Get("conversation_message.author")) // 1.x
	each(object.Get("conversation_parts.conversation_parts"), func(part gjson.Result) { author(part.Get("author")) })
	author(object.Get("ticket_part.author"))
	add(object.Get("merged_from"))
	return people
}

func addCompanies(refs *source.References, object gjson.Result) {
	if text(object.Get("type")) == "company" {
		addCompany(refs, object)
		return
	}
	addCompany(refs, object.Get("company"))
	refs.Add(kindCompany, unlessNone(text(object.Get("company_id"))))
}

// addCompaniesOfPerson reads companies.data of 2.x and companies.companies of 1.x.
func addCompaniesOfPerson(refs *source.References, person gjson.Result) {
	for _, list := range []string{"companies.data", "companies.companies"} {
		each(person.Get(list), func(company gjson.Result) { addCompany(refs, company) })
	}
	addCompany(refs, person.Get("company"))
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
	if uuid.Validate(id) == nil {
		refs.Add(source.KindAccountUUID, id)
		return
	}
	refs.Add(kindExternal, id)
}

func addSelf(refs *source.References, object gjson.Result) {
	switch text(object.Get("type")) {
	case "conversation":
		refs.Add(kindConversation, text(object.Get("id")))
	case "ticket":
		refs.Add(kindTicket, text(object.Get("id")))
	}
	refs.Add(kindConversation, text(object.Get("conversation_id")))
}

// unlessNone: an object without a company can have -1 for it.
func unlessNone(id string) string {
	if id == "-1" {
		return ""
	}
	return id
}
