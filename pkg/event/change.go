package event

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hamba/avro/v2"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/schemas"
)

// AccountChange says that an event left an account, as on topic account-changes. The record's key is FromAccount as
// text.
type AccountChange struct {
	Source        string
	SourceEventID string
	FromAccount   uuid.UUID
	ToAccount     uuid.UUID // Nil: the event is on no account now
	DecisionID    int64     // link_decisions.id
	At            time.Time // when it left; kept to the microsecond
}

// ChangeEncoder writes AccountChanges of the current schema. It is safe for concurrent use.
type ChangeEncoder struct {
	registry *Registry
	topic    string
	api      avro.API
	header   atomic.Pointer[[headerSize]byte]
}

// NewChangeEncoder registers the current schema under the topic's name, with the errors of NewEncoder.
func NewChangeEncoder(ctx context.Context, r *Registry, topic string) (*ChangeEncoder, error) {
	e := &ChangeEncoder{registry: r, topic: topic, api: newAPI()}
	_, err := e.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Topic is the topic of the changes.
func (e *ChangeEncoder) Topic() string { return e.topic }

// Refresh is Encoder.Refresh.
func (e *ChangeEncoder) Refresh(ctx context.Context) (changed bool, err error) {
	id, err := e.registry.register(ctx, e.topic, schemas.AccountChange)
	if err != nil {
		return false, err
	}
	fresh := [headerSize]byte{magic}
	binary.BigEndian.PutUint32(fresh[1:], uint32(id))
	before := e.header.Swap(&fresh)
	return before != nil && *before != fresh, nil
}

// maxChangeBytes is more than a change takes: its texts are a source's name and an event's id.
const maxChangeBytes = 64 << 10

// Encode gives c as a record value. A change with a longer identity than any event has is Permanent(Oversized).
func (e *ChangeEncoder) Encode(c *AccountChange) ([]byte, error) {
	if n := len(c.Source) + len(c.SourceEventID); n > maxChangeBytes {
		return nil, fault.Permanent(fault.Oversized, fmt.Errorf("encoding a change: the event's identity has %d bytes", n))
	}
	w := avro.NewWriter(nil, 256, avro.WithWriterConfig(e.api))
	_, _ = w.Write(e.header.Load()[:]) // a write to its buffer cannot fail
	w.WriteString(c.Source)
	w.WriteString(c.SourceEventID)
	w.WriteString(c.FromAccount.String())
	if c.ToAccount == uuid.Nil {
		w.WriteLong(0)
	} else {
		w.WriteLong(1)
		w.WriteString(c.ToAccount.String())
	}
	w.WriteLong(c.DecisionID)
	w.WriteLong(c.At.UnixMicro())
	return w.Buffer(), nil
}

// ChangeDecoder reads AccountChanges that any released schema wrote. It is safe for concurrent use.
type ChangeDecoder struct {
	registry *Registry
	api      avro.API
	reader   avro.Schema
}

// NewChangeDecoder makes a decoder; it does not connect.
func NewChangeDecoder(r *Registry) (*ChangeDecoder, error) {
	reader, err := parse(schemas.AccountChange)
	if err != nil {
		return nil, err
	}
	return &ChangeDecoder{registry: r, api: newAPI(), reader: reader}, nil
}

// accountChangeAvro is the Avro side of AccountChange. Field order and names are the schema's.
type accountChangeAvro struct {
	Source        string    `avro:"source"`
	SourceEventID string    `avro:"source_event_id"`
	FromAccount   string    `avro:"from_account"`
	ToAccount     *string   `avro:"to_account"`
	DecisionID    int64     `avro:"decision_id"`
	At            time.Time `avro:"at"`
}

// Decode reads a record value of account-changes into c. What is not such a value is Permanent(Malformed); a registry
// that does not answer is Transient.
func (d *ChangeDecoder) Decode(ctx context.Context, value []byte, c *AccountChange) error {
	if len(value) < headerSize || value[0] != magic {
		return fault.Permanent(fault.Malformed, errors.New("the value is not in the Confluent wire format"))
	}
	schema := d.reader
	text, err := d.registry.schema(ctx, int(binary.BigEndian.Uint32(value[1:headerSize])))
	switch {
	case errors.Is(err, errUnknownSchema): // a registry that was made anew: there is one version so far
	case err != nil:
		return err
	default:
		writer, err := parse(text)
		if err != nil {
			return fault.Permanent(fault.Malformed, err)
		}
		if schema, err = resolve(d.reader, writer); err != nil {
			return fault.Permanent(fault.Malformed, err)
		}
	}
	var a accountChangeAvro
	r := avro.NewReader(nil, 0, avro.WithReaderConfig(d.api)).Reset(value[headerSize:])
	r.ReadVal(schema, &a)
	if r.Error != nil {
		return fault.Permanent(fault.Malformed, fmt.Errorf("decoding a change: %w", r.Error))
	}
	return a.to(c)
}

func (a *accountChangeAvro) to(c *AccountChange) error {
	from, err := uuid.Parse(a.FromAccount)
	if err != nil {
		return fault.Permanent(fault.Malformed, fmt.Errorf("from_account %q is not a UUID", a.FromAccount))
	}
	to := uuid.Nil
	if a.ToAccount != nil {
		if to, err = uuid.Parse(*a.ToAccount); err != nil {
			return fault.Permanent(fault.Malformed, fmt.Errorf("to_account %q is not a UUID", *a.ToAccount))
		}
	}
	*c = AccountChange{Source: a.Source, SourceEventID: a.SourceEventID, FromAccount: from, ToAccount: to, DecisionID: a.DecisionID, At: a.At.UTC()}
	return nil
}
