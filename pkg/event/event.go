// Package event is the form that events take on the topics that others consume:
// AccountEvent and DeadLetter, as Avro in the Confluent wire format. It is the
// only importer of the Avro library, so that the library can be exchanged.
package event

import (
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/source"
)

// AccountEvent is one event on one account's timeline, as on topic
// account-events. The record's key is AccountID as text.
type AccountEvent struct {
	AccountID     uuid.UUID
	Type          string // event_type
	Source        string
	SourceEventID string
	// Payload is a JSON object: the vendor's own bytes. Where RawTopic is empty
	// it is the timeline's payload, the subject spliced in already.
	Payload    []byte
	OccurredAt time.Time // kept to the microsecond
	IngestedAt time.Time // kept to the microsecond
	Tenant     string
	Delivery   source.Mode

	// The fields from here on are those of version 2. Events that version 1
	// wrote have the schema's defaults: empty text, -1 and true.

	Subject   string // one line for a person; "": none
	Rule      string // the resolution rule that found the account
	Reference string // source.Reference.Key of the reference that led there

	RawTopic     string // where the event came from; "": written by version 1
	RawPartition int32
	RawOffset    int64
	RawIndex     int32 // place in a raw record that is a page; -1: the record itself
	Livemode     bool  // false: a vendor's test data
}

// Spliced reports whether Payload has the subject in it already, as version 1
// wrote it.
func (e *AccountEvent) Spliced() bool { return e.RawTopic == "" }

// DeadLetter is a record that could not go on, as on topic account-events.dlq.
type DeadLetter struct {
	Value     []byte // the record's bytes; of a page's element, that element's
	Topic     string // where the record is
	Partition int32
	Offset    int64
	Key       []byte // nil: the record had none
	Headers   []Header

	Reason     string // a fault.Reason that DeadLetterReason gives
	Error      string // one sentence for a person
	References []source.Reference
	FirstSeen  time.Time // when the event was first dead-lettered, to the microsecond
	Attempts   int32     // how often it was tried, this time included

	// What the event could be described as; empty when it could not.
	Source        string
	Tenant        string
	Type          string
	SourceEventID string

	RawIndex int32 // the element's place in a record that is a page; -1: the record itself
}

// Header is one header of the original record.
type Header struct {
	Key   string
	Value []byte
}
