// Package source is the contract between Throughline and one vendor.
//
// A source knows how its vendor signs, batches, names and dates events, and
// which of their fields point at a customer. It knows nothing of Kafka,
// Postgres or HTTP servers: the loops live elsewhere, exactly once, so a source
// cannot lose an event, because it never holds one.
//
// An event is read once. Its bytes are scanned by package rawjson, which checks
// them and notes where their members lie; Describe reads from that, and Keyed
// is the only caller of Describe and the only maker of a record's key.
//
// To add a source: a folder beside this file (doc.go, <name>.go, verify.go,
// split.go, describe.go, testdata, a fuzz target, README.md), one line in
// catalog, one chart value. The suite in sourcetest then says what is missing.
package source

import (
	"iter"
	"net/http"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// A Source is what Throughline knows of one vendor. All methods of a source and
// of what it opens are pure, safe for concurrent use, and keep none of the bytes
// that they are given.
type Source interface {
	// Name is the source's short lower-case name: it names the raw topic, the
	// webhook path, the settings and the chart value.
	Name() string

	// Profile is what the rest of Throughline must know without an event in hand.
	Profile() Profile

	// Describe reads one record: identity, type, time, references, subject. Only
	// Keyed calls it, with an Object that rawjson has checked; it reads that and
	// not Value. It must do so for any such object, and with or without Key,
	// Tenant and the other fields: the same fact gives the same identity however
	// it came. Of a Brief record References and Subject need not be told. Errors are
	// Permanent; the event then holds what is known of its id, type and tenant.
	Describe(r Record) (Event, error)
}

// Webhook is a source whose vendor posts its events.
type Webhook interface {
	Source

	// Open parses a webhook's secrets, newest first; two or more are a rotation.
	// It refuses none, and any that cannot be one, and names its position
	// ("secret 2 of 3"), never its text. It is called at start and when secrets
	// are read again.
	Open(secrets []string) (Verifier, error)

	// Split yields the events of a verified delivery: exact bytes each, and what
	// only the delivery knows. An error ends the sequence and refuses the whole
	// delivery; one bad element among good ones is no error here, it is a part
	// that Keyed will refuse. Parts may alias d.Body and d.JSON. Split may be
	// called again for the same delivery and then yields the same.
	Split(d *Delivery) iter.Seq2[Part, error]

	// Reply is the answer that makes this vendor content (nil), try again (a
	// Transient outcome) or stop (a Permanent one). d may have been refused
	// before its Body was read.
	Reply(d *Delivery, outcome error) Response
}

// Verifier knows a webhook's secrets.
type Verifier interface {
	// Verify says whether the vendor sent d, over its raw bytes and in constant
	// time, and which secret matched (0 is the first). Any failure is
	// Permanent(Unauthenticated); its text never holds a secret or a signature.
	Verify(d *Delivery, now time.Time) (key int, err error)
}

// HeaderVerifier is implemented by verifiers that can refuse a delivery before
// its body is read.
type HeaderVerifier interface {
	// VerifyHeader checks what d's headers alone show; d.Body is not read yet. An
	// error is what Verify would give. complete says that the body is not signed:
	// then Verify may be called before it is read, and need not be called again.
	VerifyHeader(d *Delivery, now time.Time) (complete bool, err error)
}

// Signer is implemented by sources that can play their vendor, for `throughline
// send`, the demo and the tests.
type Signer interface {
	// Sign sets on d what the vendor would have set when sending it with this
	// secret at this time: the signature, and those of the vendor's usual headers
	// (content type, user agent) that d has not. d.Body is signed as it is.
	Sign(d *Delivery, secret string, now time.Time) error
}

// Handshaker is implemented by sources whose vendor checks an address before
// it sends there (HEAD, GET, OPTIONS). ok is false when r is not a handshake.
type Handshaker interface {
	Handshake(r *http.Request) (resp Response, ok bool)
}

// Lister is implemented by sources whose vendor's API gives events in lists of
// its own form, which a backfill job may publish whole as one raw record.
type Lister interface {
	// List finds the array of events in the vendor's list. ok is false for what
	// is not such a list, an event above all. page is an object that may not have
	// been checked (rawjson.Doc.ParseBody).
	List(page rawjson.Value) (elements rawjson.Value, ok bool)
}

// Page gives the events of a raw record of s that is a page: an array, or the
// vendor's own list. ok is false for every other record, an event above all.
// record may not have been checked (rawjson.Doc.ParseBody).
func Page(s Source, record rawjson.Value) (elements rawjson.Value, ok bool) {
	switch record.Kind() {
	case rawjson.Array:
		return record, true
	case rawjson.Object:
		if lister, is := s.(Lister); is {
			return lister.List(record)
		}
	}
	return rawjson.Value{}, false
}

// Response is an answer to a vendor. Nobody writes to its parts.
type Response struct {
	Status int
	Header http.Header // may be nil; without a Content-Type, a Body is JSON
	Body   []byte      // may be empty
}
