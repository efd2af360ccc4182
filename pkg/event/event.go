// Package event is the form that events take on the topics that others consume:
// AccountEvent and DeadLetter, as Avro in the Confluent wire format. It is the
// only importer of the Avro library, so that the library can be exchanged.
package event

import (
	"fmt"
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
	Payload       string // JSON
	OccurredAt    time.Time
	IngestedAt    time.Time
	Tenant        string
	Delivery      source.Mode
}

// DeadLetter is a record that could not go on, as on topic account-events.dlq.
type DeadLetter struct {
	Value     []byte
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte // nil: the record had none
	Headers   []Header

	Reason     string // a fault.Reason that DeadLetterReason gives
	Error      string
	References []source.Reference
	FirstSeen  time.Time
	Attempts   int32

	// What the event could be described as; empty when it could not.
	Source        string
	Tenant        string
	Type          string
	SourceEventID string
}

// Header is one header of the original record.
type Header struct {
	Key   string
	Value []byte
}

// The Avro sides of the types above. Field order and names are the schemas'.
type (
	accountEventAvro struct {
		AccountID     string    `avro:"account_id"`
		EventType     string    `avro:"event_type"`
		Source        string    `avro:"source"`
		SourceEventID string    `avro:"source_event_id"`
		Payload       string    `avro:"payload"`
		OccurredAt    time.Time `avro:"occurred_at"`
		IngestedAt    time.Time `avro:"ingested_at"`
		Tenant        string    `avro:"tenant"`
		Delivery      string    `avro:"delivery"`
	}
	deadLetterAvro struct {
		Value         []byte          `avro:"value"`
		Topic         string          `avro:"topic"`
		Partition     int32           `avro:"partition"`
		Offset        int64           `avro:"offset"`
		Key           *[]byte         `avro:"key"`
		Headers       []headerAvro    `avro:"headers"`
		Reason        string          `avro:"reason"`
		Error         string          `avro:"error"`
		References    []referenceAvro `avro:"references"`
		FirstSeen     time.Time       `avro:"first_seen"`
		Attempts      int32           `avro:"attempts"`
		Source        string          `avro:"source"`
		Tenant        string          `avro:"tenant"`
		EventType     string          `avro:"event_type"`
		SourceEventID string          `avro:"source_event_id"`
	}
	headerAvro struct {
		Key   string `avro:"key"`
		Value []byte `avro:"value"`
	}
	referenceAvro struct {
		Source string `avro:"source"`
		Tenant string `avro:"tenant"`
		Kind   string `avro:"kind"`
		ID     string `avro:"id"`
	}
)

func (a *accountEventAvro) from(e *AccountEvent) {
	*a = accountEventAvro{
		AccountID: e.AccountID.String(), EventType: e.Type, Source: e.Source, SourceEventID: e.SourceEventID,
		Payload: e.Payload, OccurredAt: e.OccurredAt, IngestedAt: e.IngestedAt, Tenant: e.Tenant, Delivery: string(e.Delivery),
	}
}

func (a *accountEventAvro) to(e *AccountEvent) error {
	id, err := uuid.Parse(a.AccountID) // Avro's uuid is a string that the library does not look at
	if err != nil {
		return fmt.Errorf("account_id %q is not a UUID", a.AccountID)
	}
	*e = AccountEvent{
		AccountID: id, Type: a.EventType, Source: a.Source, SourceEventID: a.SourceEventID,
		Payload: a.Payload, OccurredAt: a.OccurredAt.UTC(), IngestedAt: a.IngestedAt.UTC(), Tenant: a.Tenant, Delivery: source.Mode(a.Delivery),
	}
	return nil
}

func (a *deadLetterAvro) from(d *DeadLetter) {
	*a = deadLetterAvro{
		Value: d.Value, Topic: d.Topic, Partition: d.Partition, Offset: d.Offset,
		Headers: make([]headerAvro, len(d.Headers)), References: make([]referenceAvro, len(d.References)),
		Reason: d.Reason, Error: d.Error, FirstSeen: d.FirstSeen, Attempts: d.Attempts,
		Source: d.Source, Tenant: d.Tenant, EventType: d.Type, SourceEventID: d.SourceEventID,
	}
	if d.Key != nil {
		a.Key = &d.Key
	}
	for i, h := range d.Headers {
		a.Headers[i] = headerAvro(h)
	}
	for i, r := range d.References {
		a.References[i] = referenceAvro(r)
	}
}

func (a *deadLetterAvro) to(d *DeadLetter) {
	*d = DeadLetter{
		Value: a.Value, Topic: a.Topic, Partition: a.Partition, Offset: a.Offset,
		Headers: make([]Header, len(a.Headers)), References: make([]source.Reference, len(a.References)),
		Reason: a.Reason, Error: a.Error, FirstSeen: a.FirstSeen.UTC(), Attempts: a.Attempts,
		Source: a.Source, Tenant: a.Tenant, Type: a.EventType, SourceEventID: a.SourceEventID,
	}
	if a.Key != nil {
		d.Key = *a.Key
	}
	for i, h := range a.Headers {
		d.Headers[i] = Header(h)
	}
	for i, r := range a.References {
		d.References[i] = source.Reference(r)
	}
}
