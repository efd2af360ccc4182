package intercom

import (
	"errors"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe reads one notification, or one that a job made of Intercom's API,
// which needs no id where the fact gives one.
func (intercom) Describe(r source.Record) (source.Event, error) {
	topic, app := text(gjson.GetBytes(r.Value, "topic")), text(gjson.GetBytes(r.Value, "app_id"))
	switch {
	case topic == "":
		return source.Event{}, fault.Permanent(fault.Malformed, errors.New("not an Intercom notification: it has no topic"))
	case topic == ping:
		return source.Event{}, fault.Permanent(fault.Unsupported, errors.New("a ping tells of no event"))
	case app == "":
		return source.Event{}, fault.Permanent(fault.Malformed, errors.New("the notification has no app_id"))
	}
	item := gjson.GetBytes(r.Value, "data.item")
	f := factOf(topic, item)
	id := f.id
	if id == "" {
		id = text(gjson.GetBytes(r.Value, "id"))
	}
	if id == "" {
		return source.Event{}, fault.Permanent(fault.Malformed, errors.New("the notification has no id"))
	}
	at, ok := firstTime(f.at, gjson.GetBytes(r.Value, "created_at"))
	if !ok {
		return source.Event{}, fault.Permanent(fault.Malformed, errors.New("neither the notification nor its item has a created_at that is a time"))
	}
	return source.Event{
		ID: app + ":" + id, Type: typeName(topic, text(item.Get("content_stat.stat_type"))), OccurredAt: at,
		Tenant: app, References: references(app, item), Subject: subject(topic, item),
	}, nil
}

// fact is what a topic tells of, in words that Intercom's API has too.
type fact struct {
	id string       // "" where only the notification has an id
	at gjson.Result // the fact's own time, so that webhook and backfill agree
}

func factOf(topic string, item gjson.Result) fact {
	switch topic {
	case "conversation.user.created", "conversation.admin.single.created":
		return created("conversation", item)
	case "contact.user.created", "contact.lead.created", "contact.created", "user.created":
		return created("contact", item)
	case "company.created":
		return created("company", item)
	case "ticket.created":
		return created("ticket", item)
	case "conversation.user.replied":
		return partOf(item, customer)
	case "conversation.admin.replied", "conversation.admin.noted":
		return partOf(item, teammate)
	case "conversation.operator.replied":
		return partOf(item, bot)
	case "ticket.admin.replied", "ticket.contact.replied", "ticket.note.created":
		part := item.Get("ticket_part")
		return partFact("ticket", text(item.Get("ticket.id")), part)
	}
	// These items are the fact itself; every other item is the object that the
	// fact happened to, and its created_at is much older.
	kind := text(item.Get("type"))
	if strings.HasPrefix(kind, "content_stat.") || kind == "event" || strings.HasSuffix(kind, "_tag") && strings.HasSuffix(topic, ".created") {
		return fact{at: item.Get("created_at")}
	}
	return fact{}
}

func created(kind string, item gjson.Result) fact {
	id := text(item.Get("id"))
	if id == "" {
		return fact{}
	}
	return fact{id: kind + ":" + id + ":created", at: item.Get("created_at")}
}

func partFact(kind, id string, part gjson.Result) fact {
	partID := text(part.Get("id"))
	if id == "" || partID == "" {
		return fact{at: part.Get("created_at")}
	}
	return fact{id: kind + ":" + id + ":part:" + partID, at: part.Get("created_at")}
}

// partOf finds the part that a conversation's reply or note is: the last one
// that this role wrote, one with words or attachments before one without (an
// assignment after the reply). Intercom sends the one part, but where another's
// stands beside it, taking that would make two replies one.
func partOf(item gjson.Result, role role) fact {
	var last, silent gjson.Result
	each(item.Get("conversation_parts.conversation_parts"), func(part gjson.Result) {
		switch by := roleOf(part.Get("author")); {
		case by != role && by != nobody:
		case text(part.Get("body")) != "" || part.Get("attachments.0").Exists():
			last = part
		default:
			silent = part
		}
	})
	if !last.Exists() {
		last = silent
	}
	return partFact("conversation", text(item.Get("id")), last)
}

// role is who wrote something.
type role int

const (
	nobody role = iota // not said
	customer
	teammate
	bot
)

func roleOf(author gjson.Result) role {
	switch text(author.Get("type")) {
	case "":
		return nobody
	case "user", "lead", "contact", "visitor":
		return customer
	case "admin", "team":
		return teammate
	default:
		return bot
	}
}

// firstTime gives the first that is a time since Intercom could have sent any:
// seconds, or ISO 8601, by the app's API version.
func firstTime(times ...gjson.Result) (time.Time, bool) {
	for _, t := range times {
		if at, err := source.ParseTime(text(t)); err == nil && at.After(source.OldestOccurredAt) {
			return at, true
		}
	}
	return time.Time{}, false
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
