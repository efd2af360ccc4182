package zendesk

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"

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
	subject string // "zen:ticket:5158"
	time    string
	object  string // the id of the ticket, user or organization
	detail  detail
	event   gjson.Result
}

// detail is what detail holds that is looked at, of all three domains.
type detail struct {
	id, subject, externalID, organizationID, organizationExternalID string
	requesterID, requesterEmail, role, email                        string
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
	at, err := parseTime(m.time)
	if err != nil {
		return source.Event{}, fmt.Errorf("reading the event's time: %w", err)
	}
	event := source.Event{
		ID: id, Type: typeName(m.vendor), OccurredAt: at, Tenant: m.account, References: m.references(),
	}
	if m.vendor == ticketCreated {
		event.Subject = rawjson.SubjectLine(m.detail.subject)
	}
	return event, nil
}

func read(value []byte) (message, error) {
	m := envelope(value)
	if m.vendor == "" {
		return message{}, fault.Permanent(fault.Unsupported, errors.New("not a Zendesk event: it has no type; "+
			"subscribe the webhook to events, or give the trigger the body that the source's README shows"))
	}
	if m.account == "" {
		return message{}, fault.Permanent(fault.Malformed, errors.New("the event has no account_id"))
	}
	m.vendor = trimPrefix(m.vendor)
	m.domain, _, _ = strings.Cut(m.vendor, ".")
	m.object = m.detail.id
	if m.object == "" {
		m.object, _ = strings.CutPrefix(m.subject, "zen:"+m.domain+":")
		if m.object == m.subject {
			m.object = ""
		}
	}
	return m, nil
}

// envelope reads the top and detail, each once.
func envelope(value []byte) (m message) {
	gjson.ParseBytes(value).ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "type":
			m.vendor = text(v)
		case "account_id":
			m.account = text(v)
		case "id":
			m.id = text(v)
		case "subject":
			m.subject = text(v)
		case "time":
			m.time = text(v)
		case "detail":
			m.detail = readDetail(v)
		case "event":
			m.event = v
		}
		return true
	})
	return m
}

func readDetail(v gjson.Result) (d detail) {
	if !v.IsObject() {
		return d
	}
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "id":
			d.id = text(v)
		case "subject":
			d.subject = text(v)
		case "external_id":
			d.externalID = text(v)
		case "organization_id":
			d.organizationID = text(v)
		case "organization_external_id": // of the trigger template
			d.organizationExternalID = text(v)
		case "requester_id":
			d.requesterID = text(v)
		case "requester_email": // of the trigger template
			d.requesterEmail = text(v)
		case "role":
			d.role = text(v)
		case "email":
			d.email = text(v)
		}
		return true
	})
	return d
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
	external := func(id string) {
		refs.Add(source.KindAccountUUID, id)
		refs.Add(kindOrganizationExternal, id)
	}
	switch d := &m.detail; m.domain {
	case "organization":
		refs.Add(kindOrganization, m.object)
		external(d.externalID)
	case "user":
		refs.Add(kindOrganization, d.organizationID)
		refs.Add(kindUser, m.object)
		refs.Add(source.KindAccountUUID, d.externalID)
		// An agent's address says who we are, not who the customer is.
		if role := strings.ToLower(d.role); role != "agent" && role != "admin" {
			refs.Add(source.KindEmail, d.email)
		}
	default:
		refs.Add(kindOrganization, d.organizationID)
		external(d.organizationExternalID)
		refs.Add(kindUser, d.requesterID)
		refs.Add(source.KindEmail, d.requesterEmail)
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
	if minutes := len("2013-12-12T05:35"); len(s) > minutes && s[minutes] != ':' {
		if t, err := time.Parse("2006-01-02T15:04Z07:00", s); err == nil {
			return t.UTC(), nil
		}
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
