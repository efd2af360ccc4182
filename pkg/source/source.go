// Package source is the contract between Throughline and one vendor.
//
// A source knows how its vendor signs, batches, names and dates events, and
// which of their fields point at a customer. It knows nothing of Kafka,
// Postgres or HTTP servers: the loops live elsewhere, exactly once, so a source
// cannot lose an event, because it never holds one.
//
// To add a source: a folder beside this file (doc.go, <name>.go, verify.go,
// split.go, describe.go, testdata, a fuzz target, README.md), one line in
// catalog, one chart value. The suite in sourcetest then says what is missing.
package source

import (
	"iter"
	"net/http"
	"time"
)

// A Source is all that Throughline knows of one vendor. Its methods are pure,
// safe for concurrent use, and keep none of the bytes they are given.
type Source interface {
	// Name is the source's short lower-case name: it names the raw topic, the
	// webhook path, the settings and the chart value.
	Name() string

	// Profile is what the rest of Throughline must know without an event in hand.
	Profile() Profile

	// Verify says whether the vendor sent d, over its raw bytes and in constant
	// time, and which key of the ring matched (0 is the newest). Any failure is
	// Permanent(Unauthenticated); its text never holds a secret or a signature.
	Verify(d *Delivery, keys Keyring, now time.Time) (key int, err error)

	// Sign sets on d what the vendor would have set when sending it with this
	// secret at this time. It serves `throughline send`, the demo and the tests.
	Sign(d *Delivery, secret string, now time.Time)

	// Split yields the events of a verified delivery: exact bytes each, with
	// their key and tenant. An error ends the sequence and refuses the whole
	// delivery; one bad element among good ones is not an error here, it is a
	// record that Describe will refuse. Yielded bytes may alias d.Body.
	Split(d *Delivery) iter.Seq2[Record, error]

	// Describe reads one record: identity, type, time, references, subject. It
	// is called with valid JSON only (CheckJSON) whose top is an object, but for
	// any such JSON, and with or without Key, Tenant and the other fields: the
	// same fact gives the same identity however it came. Errors are Permanent.
	Describe(r Record) (Event, error)

	// Reply is the answer that makes this vendor content (nil), try again (a
	// Transient outcome) or stop (a Permanent one).
	Reply(outcome error) Response
}

// Handshaker is implemented by sources whose vendor checks an address before
// it sends there (HEAD, GET, OPTIONS). ok is false when r is not a handshake.
type Handshaker interface {
	Handshake(r *http.Request) (resp Response, ok bool)
}

// Profile is the static side of a source.
type Profile struct {
	// Title is the vendor's name as it writes it: "HubSpot".
	Title string
	// Limits bound one delivery.
	Limits Limits
	// Kinds are the kinds of reference that its events carry; the first is what
	// `throughline link` takes a bare id for.
	Kinds []Kind
	// Types lists the vendor's types that have a name of their own here. Others
	// pass through TypeName. docs/event-types.md is made from it.
	Types []EventType
	// NeedsPublicURL: the signature covers the URL that the vendor called.
	NeedsPublicURL bool
	// NeverRetries: the vendor sends once, so the receiver keeps a spool.
	NeverRetries bool
	// SignatureWindow is how far a signature's own time may be from now, both
	// ways; 0 when the scheme has none, and then only identity stops a replay.
	SignatureWindow time.Duration
}

// Kind names one kind of vendor object that a reference can point at.
type Kind struct {
	// Name as it stands in account_links: "customer", "contact", "organization".
	Name string
	// Prefix of ids that can only be of this kind ("cus_"), or "".
	Prefix string
	// Scoped: an id of this kind is unique within one tenant only, so a link of one without its tenant would take
	// another tenant's object too.
	Scoped bool
}

// EventType is one row of docs/event-types.md.
type EventType struct {
	Vendor string // the vendor's own type, in the vendor's words
	Type   string // event_type on the timeline
}

// Limits bound one delivery.
type Limits struct {
	BodyBytes int64 // largest body; over it: Oversized
	Events    int   // most events in one delivery; over it: Oversized
}

// Delivery is one HTTP request of a vendor, read whole.
type Delivery struct {
	Method     string
	URL        string // the public URL that the vendor called, query included, escaped as it came
	Header     http.Header
	Body       []byte // raw: never decompressed, never re-encoded
	ReceivedAt time.Time
}

// Record is one event as it lies, or will lie, in a raw topic.
type Record struct {
	// Value is the vendor's event, byte for byte.
	Value []byte
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
}

// Mode is how an event came (header tl-delivery).
type Mode string

// The modes.
const (
	Webhook  Mode = "webhook"
	Poll     Mode = "poll"
	Backfill Mode = "backfill"
	Replay   Mode = "replay"
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
}

// Response is an answer to a vendor.
type Response struct {
	Status int
	Header http.Header // may be nil
	Body   []byte      // JSON, or empty
}
