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
	n := readNotification(r.Value)
	switch {
	case n.topic == "":
		return source.Event{}, fault.Permanent(fault.Malformed, errors.New("not an Intercom notification: it has no topic"))
	case n.topic == ping:
		return source.Event{}, fault.Permanent(fault.Unsupported, errors.New("a ping tells of no event"))
	case n.app == "":
		return source.Event{}, fault.Permanent(fault.Malformed, errors.New("the notification has no app_id"))
	}
	item := readObject(n.item)
	f := factOf(n.topic, &item)
	id := f.id
	if id == "" {
		id = n.id
	}
	if id == "" {
		return source.Event{}, fault.Permanent(fault.Malformed, errors.New("the notification has no id"))
	}
	at, ok := firstTime(f.at, n.createdAt)
	if !ok {
		return source.Event{}, fault.Permanent(fault.Malformed, errors.New("neither the notification nor its item has a created_at that is a time"))
	}
	return source.Event{
		ID: n.app + ":" + id, Type: typeName(n.topic, text(in(item.contentStat, "stat_type"))), OccurredAt: at,
		Tenant: n.app, References: references(n.app, &item), Subject: subject(n.topic, &item),
	}, nil
}

// fact is what a topic tells of, in words that Intercom's API has too.
type fact struct {
	id string       // "" where only the notification has an id
	at gjson.Result // the fact's own time, so that webhook and backfill agree
}

func factOf(topic string, item *object) fact {
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
		return partFact("ticket", text(in(item.ticket, "id")), item.ticketPart)
	}
	// These items are the fact itself; every other item is the object that the
	// fact happened to, and its created_at is much older.
	kind := item.kind
	if strings.HasPrefix(kind, "content_stat.") || kind == "event" || strings.HasSuffix(kind, "_tag") && strings.HasSuffix(topic, ".created") {
		return fact{at: item.createdAt}
	}
	return fact{}
}

func created(kind string, item *object) fact {
	if item.id == "" {
		return fact{}
	}
	return fact{id: kind + ":" + item.id + ":created", at: item.createdAt}
}

func partFact(kind, id string, part gjson.Result) fact {
	partID := text(in(part, "id"))
	if id == "" || partID == "" {
		return fact{at: in(part, "created_at")}
	}
	return fact{id: kind + ":" + id + ":part:" + partID, at: in(part, "created_at")}
}

// partOf finds the part that a conversation's reply or note is: the last one
// that this role wrote, one with words or attachments before one without (an
// assignment after the reply). Intercom sends the one part, but where another's
// stands beside it, taking that would make two replies one.
func partOf(item *object, role role) fact {
	var last, silent gjson.Result
	each(in(item.conversationParts, "conversation_parts"), func(part gjson.Result) {
		switch by := roleOf(text(part.Get("author.type"))); {
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
	return partFact("conversation", item.id, last)
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
func roleOf(kind string) role {
	switch kind {
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
