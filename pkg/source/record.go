package source

import (
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// Record is one event as it lies, or will lie, in a raw topic.
type Record struct {
	// Value is the vendor's event, byte for byte.
	Value []byte
	// Object is Value scanned; zero when it has not been. Describe gets it always.
	Object rawjson.Value
	// Key orders an object's events and brings duplicates together: the first
	// reference's Key, else the event's id. Records of third parties may have none.
	Key []byte
	// Tenant is the vendor account that the event belongs to, or "" when unknown.
	Tenant string
	// Mode is how the event came.
	Mode Mode
	// ReceivedAt is when Throughline first had it: the receiver's clock, else
	// the broker's.
	ReceivedAt time.Time
	// Brief: neither key, References nor Subject are asked for, so that Describe
	// may leave these two out. All else of its answer is the same with it.
	Brief bool
}

// Mode is how an event came (header tl-delivery).
type Mode string

// The modes.
const (
	ModeWebhook  Mode = "webhook"
	ModePoll     Mode = "poll"
	ModeBackfill Mode = "backfill"
	ModeReplay   Mode = "replay"
)

// Event is what a source says of a record.
type Event struct {
	// ID is source_event_id: unique within the source (scoped by tenant where
	// the vendor's id is not), 1 to MaxIDBytes bytes.
	ID string
	// Type is event_type, "thing.happened", 1 to MaxTypeBytes bytes.
	Type string
	// OccurredAt is the vendor's time of the event, or ReceivedAt where the
	// vendor gives none.
	OccurredAt time.Time
	// Tenant is the vendor account, from the event itself where it says, else
	// from the record.
	Tenant string
	// References point at the customer, the most telling first. None: the event
	// belongs to nobody and waits in quarantine.
	References []Reference
	// Subject is the line that a person would read, or "".
	Subject string
	// Test: the vendor says that it is test data.
	Test bool
}

// docs are kept because a scan of a small event costs less than its index.
var docs = sync.Pool{New: func() any { return new(rawjson.Doc) }}

// Keyed checks a record (rawjson.Doc.Parse, unless r.Object is noted already),
// describes it, and holds what s says against the bounds of an event. It gives r
// with the event's key and tenant, and the event. r.Tenant, the tenant that
// somebody set or the delivery told, is taken where the event does not say.
//
// It is the only place that makes a record's key, which a Brief one keeps as it was.
// After an error, which is Permanent, it gives r as it was, and of the event what is
// known of its id, type and tenant, for whoever looks at the dead letter.
func Keyed(s Source, r Record) (Record, Event, error) {
	scanned := r
	if r.Object.Noted() {
		if err := r.Object.Check(); err != nil {
			return r, Event{}, err
		}
	} else {
		doc := docs.Get().(*rawjson.Doc)
		defer docs.Put(doc)
		object, err := doc.Parse(r.Value)
		if err != nil {
			return r, Event{}, err
		}
		scanned.Object = object
	}
	event, err := s.Describe(scanned)
	if err != nil {
		return r, event.known(), err
	}
	if r.Brief {
		event.References, event.Subject = nil, ""
	}
	event.Subject = rawjson.SubjectLine(event.Subject)
	if err := CheckEvent(event, r.ReceivedAt); err != nil {
		return r, event.known(), err
	}
	if r.Tenant = event.Tenant; !r.Brief {
		r.Key = recordKey(event.References, event.ID)
	}
	return r, event, nil
}

// known is what a refused event is known by, within the bounds.
func (e Event) known() Event {
	within := func(text string, most int) string {
		if len(text) > most || !IsText(text) {
			return ""
		}
		return text
	}
	return Event{ID: within(e.ID, MaxIDBytes), Type: within(e.Type, MaxTypeBytes), Tenant: within(e.Tenant, MaxTenantBytes)}
}

// recordKey is the Kafka key for an event with these references and this id:
// the first reference's Key, else the id.
func recordKey(refs []Reference, id string) []byte {
	if len(refs) > 0 {
		return refs[0].key()
	}
	return []byte(id)
}
