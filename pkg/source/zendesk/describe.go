package zendesk

import (
	"errors"
	"fmt"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// message is the envelope that every event shares, and that a trigger's
// template copies. Ids come as text, or as numbers where a job made them of the
// REST API. Source: developer.zendesk.com/api-reference/webhooks/event-types/.
type message struct {
	vendor  string // "ticket.created", without Zendesk's prefix
	domain  string // "ticket"
	account string
	id      string // the event's own
	object  string // the id of the ticket, user or organization
	detail  rawjson.Value
	event   rawjson.Value
}

// Describe reads one event, or one body of the trigger template.
func (zendesk) Describe(r source.Record) (source.Event, error) {
	m, err := read(r)
	if err != nil {
		return source.Event{}, err
	}
	id, err := m.identity()
	if err != nil {
		return source.Event{Type: typeName(m.vendor), Tenant: m.account}, err
	}
	at, err := source.ParseTime(text(r.Object.Get("time")))
	if err != nil {
		return source.Event{ID: id, Type: typeName(m.vendor), Tenant: m.account}, fmt.Errorf("reading the event's time: %w", err)
	}
	event := source.Event{ID: id, Type: typeName(m.vendor), OccurredAt: at, Tenant: m.account}
	if r.Brief {
		return event, nil
	}
	event.References = m.references()
	if m.vendor == ticketCreated {
		event.Subject = rawjson.SubjectLine(text(m.detail.Get("subject")))
	}
	return event, nil
}

// TypeOf implements source.Typer, for events of the types that Zendesk documents which have what
// identity asks for first.
func (zendesk) TypeOf(r source.Record) (string, bool) {
	top := r.Object
	n, known := typeNames()[string(top.Get("type").TextBytes())]
	if !known {
		return "", false
	}
	account := idBytes(top.Get("account_id"))
	if len(account) == 0 {
		account = []byte(r.Tenant)
	}
	event, sure := top.Get("event"), certain(account)
	switch n.vendor {
	case commentAdded:
		sure = sure && certain(idBytes(event.At("comment", "id")))
	case ticketCreated, userCreated, organizationCreated:
		sure = sure && certain(idBytes(top.At("detail", "id")))
	default:
		sequence := event.At("meta", "sequence")
		sure = sure && certain(idBytes(top.At("detail", "id"))) && certain(idBytes(sequence.Get("id"))) && certain(idBytes(sequence.Get("position")))
	}
	return n.eventType, sure && source.CertainTime(top.Get("time"), r.ReceivedAt)
}

// certain: text gives an id as it is, and the bound of an identity holds four of it.
func certain(id []byte) bool {
	return source.Certain(id, source.MaxIDBytes/16) && string(id) != "0"
}

// idBytes gives what text is made of, without a copy: a boolean is none, unlike in a Literal.
func idBytes(v rawjson.Value) []byte {
	switch v.Kind() {
	case rawjson.String:
		return v.TextBytes()
	case rawjson.Number:
		return v.Bytes()
	}
	return nil
}

func read(r source.Record) (message, error) {
	top := r.Object
	m := message{
		vendor: text(top.Get("type")), account: text(top.Get("account_id")), id: text(top.Get("id")),
		detail: top.Get("detail"), event: top.Get("event"),
	}
	if m.vendor == "" {
		return message{}, fault.Permanent(fault.Unsupported, errors.New("not a Zendesk event: it has no type; "+
			"subscribe the webhook to events, or give the trigger the body that the source's README shows"))
	}
	if m.account == "" {
		m.account = r.Tenant
	}
	if m.account == "" {
		return message{}, source.Malformed("the event has no account_id: set THROUGHLINE_ZENDESK_TENANT to it")
	}
	m.vendor = trimPrefix(m.vendor)
	m.domain, _, _ = strings.Cut(m.vendor, ".")
	if m.object = text(m.detail.Get("id")); m.object == "" {
		// zen:ticket:141, also where the type is messaging_ticket.message_added.
		if object, ok := strings.CutPrefix(text(top.Get("subject")), "zen:"+m.thing()+":"); ok {
			m.object = object
		}
	}
	return m, nil
}

// identity is the fact where a backfill can state it too, else the event's UUID.
func (m message) identity() (string, error) {
	switch m.vendor {
	case ticketCreated, userCreated, organizationCreated:
		if m.object != "" {
			return source.ID(m.account, m.domain, m.object, "created"), nil
		}
	case commentAdded:
		if comment := text(m.event.At("comment", "id")); comment != "" {
			return source.ID(m.account, "comment", comment), nil
		}
	}
	// The sequence numbers the events of an object, so it is the same in a retry,
	// whose UUID may not be.
	if sequence, position := text(m.event.At("meta", "sequence", "id")), text(m.event.At("meta", "sequence", "position")); sequence != "" && position != "" {
		return source.ID(m.account, m.domain, m.object, "sequence", sequence, position), nil
	}
	if m.id == "" {
		return "", source.Malformed("the event has no id")
	}
	return source.ID(m.account, m.id), nil
}

// thing is what the event is of: a messaging ticket is a ticket.
func (m message) thing() string {
	if m.domain == "messaging_ticket" {
		return "ticket"
	}
	return m.domain
}

func (m message) references() []source.Reference {
	refs := source.References{Source: name, Tenant: m.account}
	external := func(id string) {
		refs.Add(source.KindAccountUUID, id)
		refs.Add(kindOrganizationExternal, id)
	}
	switch d := m.detail; m.thing() {
	case "organization":
		refs.Add(kindOrganization, m.object)
		external(text(d.Get("external_id")))
	case "user":
		refs.Add(kindOrganization, text(d.Get("organization_id")))
		if strings.HasPrefix(m.vendor, "user.organization_membership_") {
			refs.Add(kindOrganization, text(m.event.At("organization", "id")))
			refs.Add(kindOrganization, text(m.event.At("organization_membership", "organization_id")))
		}
		refs.Add(kindUser, m.object)
		refs.Add(source.KindAccountUUID, text(d.Get("external_id")))
		// An agent's address says who we are, not who the customer is.
		if role := strings.ToLower(text(d.Get("role"))); role != "agent" && role != "admin" {
			refs.Add(source.KindEmail, text(d.Get("email")))
		}
	default:
		refs.Add(kindOrganization, text(d.Get("organization_id")))
		if m.vendor == ticketOrganizationChanged { // to none: it is still the story of the one that it left
			refs.Add(kindOrganization, text(m.event.Get("current")))
			refs.Add(kindOrganization, text(m.event.Get("previous")))
		}
		external(text(d.Get("organization_external_id")))
		refs.Add(kindUser, text(d.Get("requester_id")))
		refs.Add(source.KindEmail, text(d.Get("requester_email")))
		if actor := m.event.Get("actor"); m.domain == "messaging_ticket" && actor.Get("type").Is("end_user") {
			refs.Add(kindUser, text(actor.Get("id")))
		}
		if m.thing() == "ticket" {
			refs.Add(kindTicket, m.object)
		}
	}
	return refs.List()
}

// text gives a string, or a number as it is written; "" for anything else and
// for Zendesk's ways of saying none ("0", "").
func text(v rawjson.Value) string {
	if v.Kind() == rawjson.Bool {
		return ""
	}
	s := strings.TrimSpace(v.Literal())
	if s == "0" {
		return ""
	}
	return s
}
