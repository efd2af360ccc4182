package intercom

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe implements source.Source. It reads a notification, or one that a job
// made of Intercom's API, which needs no id where the fact gives one, or one of
// the API's own objects, which tells that it was created.
func (intercom) Describe(r source.Record) (source.Event, error) {
	n := r.Object
	topic, app, item := n.Get("topic").Text(), n.Get("app_id").Literal(), n.At("data", "item")
	if topic == "" {
		topic, item = createdTopic(n), n
		app = cmp.Or(app, n.Get("workspace_id").Text()) // a contact's
	}
	app = cmp.Or(app, r.Tenant)
	switch {
	case topic == "":
		return source.Event{}, source.Malformed("neither an Intercom notification, which has a topic, nor a conversation, contact, company or ticket of its API")
	case topic == ping:
		return source.Event{}, fault.Permanent(fault.Unsupported, errors.New("a ping tells of no event"))
	case app == "":
		return source.Event{}, source.Malformed("the event does not name its workspace (app_id): set THROUGHLINE_INTERCOM_TENANT to it")
	}
	f := factOf(topic, item)
	identity := f.identity(app)
	if id := n.Get("id").Literal(); identity == "" && id != "" {
		identity = source.ID(app, id)
	}
	event := source.Event{ID: identity, Type: typeName(topic, item.At("content_stat", "stat_type").Text()), Tenant: app}
	if identity == "" {
		return event, source.Malformed("the notification has no id")
	}
	at, ok := firstTime(f.at, n.Get("created_at"))
	if !ok {
		return event, source.Malformed("neither the notification nor its item has a created_at that is a time")
	}
	if event.OccurredAt = at; !r.Brief {
		event.References, event.Subject = references(app, item), subject(topic, item)
	}
	return event, nil
}

// TypeOf implements source.Typer, for notifications of the topics that have a name of their own here.
func (intercom) TypeOf(r source.Record) (string, bool) {
	n := r.Object
	t, known := typeNames()[string(n.Get("topic").TextBytes())]
	if !known {
		return "", false
	}
	app := n.Get("app_id").LiteralBytes()
	if len(app) == 0 {
		app = []byte(r.Tenant)
	}
	f := factOf(t.topic, n.At("data", "item"))
	sure := certain(app)
	if object, other := f.object.LiteralBytes(), f.other.LiteralBytes(); len(object) == 0 || len(other) == 0 && f.what != whatCreated {
		sure = sure && certain(n.Get("id").LiteralBytes())
	} else {
		sure = sure && certain(object) && (len(other) == 0 || certain(other))
	}
	at := f.at
	if !at.Exists() {
		at = n.Get("created_at")
	}
	return t.eventType, sure && source.CertainTime(at, r.ReceivedAt)
}

// certain: the bound of an identity holds three of it.
func certain(id []byte) bool { return source.Certain(id, source.MaxIDBytes/16) }

// createdTopic gives the topic that told of the creation of an object of the API, or "".
func createdTopic(object rawjson.Value) string {
	switch kind := object.Get("type"); {
	case kind.Is("conversation"):
		return "conversation.user.created"
	case kind.Is("contact") && object.Get("role").Is("lead"):
		return "contact.lead.created"
	case kind.Is("contact"):
		return "contact.user.created"
	case kind.Is("company"):
		return "company.created"
	case kind.Is("ticket"):
		return "ticket.created"
	}
	return ""
}

// fact is what a topic tells of, in words that Intercom's API has too.
type fact struct {
	kind, what string
	object     rawjson.Value // the id of what it happened to; Missing where only the notification has an id
	other      rawjson.Value // the id of what else it is of, Missing where that is nothing
	at         rawjson.Value // the fact's own time, so that webhook and backfill agree
}

// identity is "" where only the notification has an id.
func (f fact) identity(app string) string {
	object := f.object.Literal()
	switch other := f.other.Literal(); {
	case object == "":
		return ""
	case f.what == whatCreated:
		return source.ID(app, f.kind, object, f.what)
	case other == "":
		return ""
	default:
		return source.ID(app, f.kind, object, f.what, other)
	}
}

// What happens to an object, in an identity.
const (
	whatCreated = "created"
	whatMerged  = "merged"
	whatPart    = "part"
)

func factOf(topic string, item rawjson.Value) fact {
	switch topic {
	case "conversation.user.created", "conversation.admin.single.created":
		return created("conversation", item)
	case "contact.user.created", "contact.created", "user.created":
		return created("contact", item)
	case "contact.lead.created": // who may become a user, under the same id: another fact
		return created("lead", item)
	case "company.created":
		return created("company", item)
	case "ticket.created":
		return created("ticket", item)
	case "contact.merged": // one contact that became a part of another, which the API's merge history has too
		return fact{kind: kindContact, what: whatMerged, object: item.Get("id"), other: item.At("merged_from", "id"), at: item.Get("merged_at")}
	case "conversation.user.replied":
		return partFact("conversation", item, partOf(item, customer))
	case "conversation.admin.replied", "conversation.admin.noted":
		return partFact("conversation", item, partOf(item, teammate))
	case "conversation.operator.replied":
		return partFact("conversation", item, partOf(item, bot))
	case "ticket.admin.replied", "ticket.contact.replied", "ticket.note.created":
		return partFact("ticket", item.Get("ticket"), item.Get("ticket_part"))
	}
	// These items are the fact itself; every other item is the object that the
	// fact happened to, and its created_at is much older.
	kind := item.Get("type").Text()
	if strings.HasPrefix(kind, contentStat) || kind == "event" || strings.HasSuffix(kind, "_tag") && strings.HasSuffix(topic, ".created") {
		return fact{at: item.Get("created_at")}
	}
	return fact{}
}

func created(kind string, object rawjson.Value) fact {
	f := fact{kind: kind, what: whatCreated, object: object.Get("id")}
	if f.object.Literal() != "" {
		f.at = object.Get("created_at")
	}
	return f
}

func partFact(kind string, object, part rawjson.Value) fact {
	return fact{kind: kind, what: whatPart, object: object.Get("id"), other: part.Get("id"), at: part.Get("created_at")}
}

// partOf finds the part that a conversation's reply or note is: the last one
// that this role wrote, one with words or attachments before one without (an
// assignment after the reply). Intercom sends the one part, but where another's
// stands beside it, taking that would make two replies one.
func partOf(conversation rawjson.Value, role role) rawjson.Value {
	var last, silent rawjson.Value
	for _, part := range conversation.At("conversation_parts", "conversation_parts").Elements() {
		switch by := roleOf(part.At("author", "type")); {
		case by != role && by != nobody:
		case len(part.Get("body").TextBytes()) > 0 || part.Get("attachments").Len() > 0:
			last = part
		default:
			silent = part
		}
	}
	if !last.Exists() {
		last = silent
	}
	return last
}

// role is who wrote something.
type role int

const (
	nobody role = iota // not said
	customer
	teammate
	bot
)

// roleOf reads the type of an author.
func roleOf(kind rawjson.Value) role {
	switch string(kind.TextBytes()) {
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
func firstTime(times ...rawjson.Value) (time.Time, bool) {
	for _, t := range times {
		if !t.Exists() {
			continue
		}
		if at, err := source.ParseTime(t.Literal()); err == nil && at.After(source.OldestOccurredAt) {
			return at, true
		}
	}
	return time.Time{}, false
}
