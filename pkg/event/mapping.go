package event

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/source"
)

// The types as the Avro library maps them to schemas. Dead letters are written
// and read this way, and account events that an older schema wrote.
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
		Subject       string    `avro:"subject"`
		Rule          string    `avro:"rule"`
		Reference     string    `avro:"reference"`
		RawTopic      string    `avro:"raw_topic"`
		RawPartition  int32     `avro:"raw_partition"`
		RawOffset     int64     `avro:"raw_offset"`
		RawIndex      int32     `avro:"raw_index"`
		Livemode      bool      `avro:"livemode"`
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
		RawIndex      int32           `avro:"raw_index"`
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

func (a *accountEventAvro) to(e *AccountEvent) error {
	id, err := accountID(a.AccountID)
	if err != nil {
		return err
	}
	*e = AccountEvent{
		AccountID: id, Type: a.EventType, Source: a.Source, SourceEventID: a.SourceEventID,
		Payload: []byte(a.Payload), OccurredAt: a.OccurredAt.UTC(), IngestedAt: a.IngestedAt.UTC(), Tenant: a.Tenant, Delivery: source.Mode(a.Delivery),
		Subject: a.Subject, Rule: a.Rule, Reference: a.Reference,
		RawTopic: a.RawTopic, RawPartition: a.RawPartition, RawOffset: a.RawOffset, RawIndex: a.RawIndex, Livemode: a.Livemode,
	}
	return nil
}

// uuidLength is that of the only text form of a UUID that the schema allows.
const uuidLength = 36

// accountID parses what Avro calls a uuid: a string that the library does not
// look at.
func accountID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != uuidLength {
		return uuid.UUID{}, fmt.Errorf("account_id %.50q is not a UUID", text)
	}
	return id, nil
}

func (a *deadLetterAvro) from(d *DeadLetter) {
	*a = deadLetterAvro{
		Value: d.Value, Topic: d.Topic, Partition: d.Partition, Offset: d.Offset,
		Headers: make([]headerAvro, len(d.Headers)), References: make([]referenceAvro, len(d.References)),
		Reason: d.Reason, Error: d.Error, FirstSeen: d.FirstSeen, Attempts: d.Attempts,
		Source: d.Source, Tenant: d.Tenant, EventType: d.Type, SourceEventID: d.SourceEventID, RawIndex: d.RawIndex,
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
		Source: a.Source, Tenant: a.Tenant, Type: a.EventType, SourceEventID: a.SourceEventID, RawIndex: a.RawIndex,
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
