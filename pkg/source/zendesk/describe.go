package zendesk

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/fault"
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
	detail  gjson.Result
	event   gjson.Result
}

// Describe reads one event, or one body of the trigger template.
func (zendesk) Describe(r source.Record) (source.Event, error) {
	m, err := read(r.Value)
	if err != nil {
		return source.Event{}, err
	}
	id, err := m.identity()
	if err != nil {
		return source.Event{}, err
	}
	at, err := parseTime(text(gjson.GetBytes(r.Value, "time")))
	if err != nil {
		return source.Event{}, fmt.Errorf("reading the event's time: %w", err)
	}
	event := source.Event{
		ID: id, Type: typeName(m.vendor), OccurredAt: at, Tenant: m.account, References: m.references(),
	}
	if m.vendor == ticketCreated {
		event.Subject = source.SubjectLine(text(m.detail.Get("subject")))
	}
	return event, nil
}

func read(value []byte) (message, error) {
	vendor := text(gjson.GetBytes(value, "type"))
	if vendor == "" {
		return message{}, fault.Permanent(fault.Unsupported, errors.New("not a Zendesk event: it has no type; "+
			"subscribe the webhook to events, or give the trigger the body that the source's README shows"))
	}
	account := text(gjson.GetBytes(value, "account_id"))
	if account == "" {
		return message{}, fault.Permanent(fault.Malformed, errors.New("the event has no account_id"))
	}
	vendor = trimPrefix(vendor)
	domain, _, _ := strings.Cut(vendor, ".")
	m := message{
		vendor: vendor, domain: domain, account: account, id: text(gjson.GetBytes(value, "id")),
		detail: gjson.GetBytes(value, "detail"), event: gjson.GetBytes(value, "event"),
	}
	m.object = text(m.detail.Get("id"))
	if m.object == "" { // "zen:ticket:5158"
		subject := text(gjson.GetBytes(value, "subject"))
		m.object = strings.TrimPrefix(subject, "zen:"+domain+":")
		if m.object == subject {
			m.object = ""
		}
	}
	return m, nil
}

// identity is the fact where a backfill can state it too, else the event's UUID.
func (m message) identity() (string, error) {
	switch m.vendor {
	case ticketCreated, userCreated, organizationCreated:
		if m.object != "" {
			return m.account + ":" + m.domain + ":" + m.object + ":created", nil
		}
	case commentAdded:
		if comment := text(m.event.Get("comment.id")); comment != "" {
			return m.account + ":comment:" + comment, nil
		}
	}
	if m.id == "" {
		return "", fault.Permanent(fault.Malformed, errors.New("the event has no id"))
	}
	return m.account + ":" + m.id, nil
}

func (m message) references() []source.Reference {
	refs := source.References{Source: name, Tenant: m.account}
	detail := func(field string) string { return text(m.detail.Get(field)) }
	external := func(id string) {
		refs.Add(source.KindAccountUUID, id)
		refs.Add(kindOrganizationExternal, id)
	}
	switch m.domain {
	case "organization":
		refs.Add(kindOrganization, m.object)
		external(detail("external_id"))
	case "user":
		refs.Add(kindOrganization, detail("organization_id"))
		refs.Add(kindUser, m.object)
		refs.Add(source.KindAccountUUID, detail("external_id"))
		// An agent's address says who we are, not who the customer is.
		if role := strings.ToLower(detail("role")); role != "agent" && role != "admin" {
			refs.Add(source.KindEmail, detail("email"))
		}
	default:
		refs.Add(kindOrganization, detail("organization_id"))
		external(detail("organization_external_id")) // of the trigger template
		refs.Add(kindUser, detail("requester_id"))
		refs.Add(source.KindEmail, detail("requester_email")) // of the trigger template
		if m.domain == "ticket" {
			refs.Add(kindTicket, m.object)
		}
	}
	return refs.List()
}

// parseTime also takes a trigger's {{ticket.updated_at_with_timestamp}}, which
// has no seconds ("2013-12-12T05:35Z").
// Source: support.zendesk.com, Zendesk placeholders reference.
func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse("2006-01-02T15:04Z07:00", s); err == nil {
		return t.UTC(), nil
	}
	return source.ParseTime(s)
}

// text gives a string, or a number as it is written; "" for anything else and
// for Zendesk's ways of saying none ("0", "").
func text(r gjson.Result) string {
	s := ""
	switch r.Type {
	case gjson.String:
		s = strings.TrimSpace(r.Str)
	case gjson.Number:
		s = r.Raw
	}
	if s == "0" {
		return ""
	}
	return s
}
