package intercom

import (
	"strings"

	"github.com/tidwall/gjson"
)

// notification is the envelope.
type notification struct {
	topic, app, id  string
	createdAt, item gjson.Result
}

// readNotification, like the other readers here, goes over its object once: an
// event has some thirty fields that matter, and looking each up would read the
// body as many times.
func readNotification(raw []byte) (n notification) {
	gjson.ParseBytes(raw).ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "topic":
			n.topic = text(v)
		case "app_id":
			n.app = text(v)
		case "id":
			n.id = text(v)
		case "created_at":
			n.createdAt = v
		case "data":
			n.item = in(v, "item")
		}
		return true
	})
	return n
}

// object is one of Intercom's objects, of whatever type. A field that it does
// not have is empty.
type object struct {
	raw gjson.Result

	kind, id, email, userID, intercomUserID, companyID, conversationID, title string

	createdAt, contact, user, company, contacts, customers, mergedFrom gjson.Result
	source, message, conversationParts, ticketPart                     gjson.Result
	ticket, conversation, contentStat, ticketAttributes                gjson.Result
}

func readObject(v gjson.Result) (o object) {
	if !v.IsObject() {
		return o
	}
	o.raw = v
	v.ForEach(func(key, v gjson.Result) bool {
		if field := o.text(key.Str); field != nil {
			*field = text(v)
		} else if field := o.value(key.Str); field != nil {
			*field = v
		}
		return true
	})
	return o
}

// text gives where the text of this key goes, or nil.
func (o *object) text(key string) *string {
	switch key {
	case "type":
		return &o.kind
	case "id":
		return &o.id
	case "email":
		return &o.email
	case "user_id":
		return &o.userID
	case "intercom_user_id":
		return &o.intercomUserID
	case "company_id":
		return &o.companyID
	case "conversation_id":
		return &o.conversationID
	case "title":
		return &o.title
	}
	return nil
}

// value gives where the value of this key goes, or nil.
func (o *object) value(key string) *gjson.Result {
	switch key {
	case "created_at":
		return &o.createdAt
	case "contact":
		return &o.contact
	case "user":
		return &o.user
	case "company":
		return &o.company
	case "contacts":
		return &o.contacts
	case "customers":
		return &o.customers
	case "merged_from":
		return &o.mergedFrom
	case "source":
		return &o.source
	case "conversation_message":
		return &o.message
	case "conversation_parts":
		return &o.conversationParts
	case "ticket_part":
		return &o.ticketPart
	case "ticket":
		return &o.ticket
	case "conversation":
		return &o.conversation
	case "content_stat":
		return &o.contentStat
	case "ticket_attributes":
		return &o.ticketAttributes
	}
	return nil
}

// person is a contact, or the author of something.
type person struct {
	kind, id, externalID, userID, email string
	companies, company                  gjson.Result
}

func readPerson(v gjson.Result) (p person) {
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "type":
			p.kind = text(v)
		case "id":
			p.id = text(v)
		case "external_id":
			p.externalID = text(v)
		case "user_id":
			p.userID = text(v)
		case "email":
			p.email = text(v)
		case "companies":
			p.companies = v
		case "company":
			p.company = v
		}
		return true
	})
	return p
}

// in gives the value at path in an object, and nothing in anything else.
func in(v gjson.Result, path string) gjson.Result {
	if !v.IsObject() {
		return gjson.Result{}
	}
	return v.Get(path)
}

// each calls f with the objects of an array.
func each(list gjson.Result, f func(gjson.Result)) {
	if !list.IsArray() {
		return
	}
	list.ForEach(func(_, value gjson.Result) bool {
		if value.IsObject() {
			f(value)
		}
		return true
	})
}

// text gives a string, or a number as it is written; "" for anything else.
func text(r gjson.Result) string {
	switch r.Type {
	case gjson.String:
		return strings.TrimSpace(r.Str)
	case gjson.Number:
		return r.Raw
	default:
		return ""
	}
}
