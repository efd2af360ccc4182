package event

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/hamba/avro/v2"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/schemas"
)

// Encoder writes events of the current schemas. It is safe for concurrent use.
type Encoder struct {
	registry *Registry
	topics   struct{ event, letter string }
	letter   avro.Schema
	headers  atomic.Pointer[headers]
	writers  sync.Pool
}

// headers are what values begin with: which schema they are of.
type headers struct{ event, letter [headerSize]byte }

// NewEncoder finds the current schemas under the two topics' names in the
// registry, registers those that are not there, and gives an encoder for them.
// A registry that does not answer is Transient; one that refuses the schema (it
// would break readers) is Permanent.
func NewEncoder(ctx context.Context, r *Registry, eventTopic, letterTopic string) (*Encoder, error) {
	letter, err := parse(schemas.DeadLetter)
	if err != nil {
		return nil, err
	}
	api := newAPI()
	e := &Encoder{registry: r, letter: letter}
	e.topics.event, e.topics.letter = eventTopic, letterTopic
	e.writers.New = func() any { return avro.NewWriter(nil, 2048, avro.WithWriterConfig(api)) }
	if _, err := e.Refresh(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// Refresh finds or registers the schemas again, and reports whether they have other
// ids than before: the registry was lost and made anew. Errors are those of
// NewEncoder, and leave the ids in use.
func (e *Encoder) Refresh(ctx context.Context) (changed bool, err error) {
	var fresh headers
	for _, s := range []struct {
		into          *[headerSize]byte
		topic, schema string
	}{{&fresh.event, e.topics.event, schemas.AccountEvent}, {&fresh.letter, e.topics.letter, schemas.DeadLetter}} {
		id, err := e.registry.register(ctx, s.topic, s.schema)
		if err != nil {
			return false, err
		}
		s.into[0] = magic
		binary.BigEndian.PutUint32(s.into[1:], uint32(id))
	}
	before := e.headers.Swap(&fresh)
	return before != nil && *before != fresh, nil
}

// EventTopic is the topic of the account events.
func (e *Encoder) EventTopic() string { return e.topics.event }

// LetterTopic is the topic of the dead letters.
func (e *Encoder) LetterTopic() string { return e.topics.letter }

// AccountEvent gives ev as a record value. One that no decoder would take is
// Permanent(Oversized).
func (e *Encoder) AccountEvent(ev *AccountEvent) ([]byte, error) {
	return e.AppendAccountEvent(nil, ev)
}

// AppendAccountEvent appends ev as a record value to dst and gives the extended
// slice, like append. On an error, as of AccountEvent, it gives dst itself.
func (e *Encoder) AppendAccountEvent(dst []byte, ev *AccountEvent) ([]byte, error) {
	w := e.writers.Get().(*avro.Writer)
	defer e.release(w)
	writeAccountEvent(w, ev)
	if n := w.Buffered(); n > maxSlice {
		return dst, fault.Permanent(fault.Oversized, fmt.Errorf("encoding an account event of %d bytes: the bound is %d", n, maxSlice))
	}
	if dst == nil {
		dst = make([]byte, 0, headerSize+w.Buffered())
	}
	return append(append(dst, e.headers.Load().event[:]...), w.Buffer()...), nil
}

// writeAccountEvent writes the fields in the order of the current schema, to the
// byte what the library makes of it.
func writeAccountEvent(w *avro.Writer, ev *AccountEvent) {
	w.WriteLong(uuidLength)
	var id [uuidLength]byte
	_, _ = w.Write(AppendUUID(id[:0], ev.AccountID)) // a write to its buffer cannot fail
	w.WriteString(ev.Type)
	w.WriteString(ev.Source)
	w.WriteString(ev.SourceEventID)
	w.WriteBytes(ev.Payload)
	w.WriteLong(ev.OccurredAt.UnixMicro())
	w.WriteLong(ev.IngestedAt.UnixMicro())
	w.WriteString(ev.Tenant)
	w.WriteString(string(ev.Delivery))
	w.WriteString(ev.Subject)
	w.WriteString(ev.Rule)
	w.WriteString(ev.Reference)
	w.WriteString(ev.RawTopic)
	w.WriteInt(ev.RawPartition)
	w.WriteLong(ev.RawOffset)
	w.WriteInt(ev.RawIndex)
	w.WriteBool(ev.Livemode)
}

// AppendUUID appends the 36-character text form of an account id, as it is in events
// and in their records' keys.
func AppendUUID(dst []byte, id uuid.UUID) []byte {
	const digits = "0123456789abcdef"
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, digits[b>>4], digits[b&0xf])
	}
	return dst
}

// DeadLetter gives d as a record value. An error is Permanent.
func (e *Encoder) DeadLetter(d *DeadLetter) ([]byte, error) {
	w := e.writers.Get().(*avro.Writer)
	defer e.release(w)
	_, _ = w.Write(e.headers.Load().letter[:])
	var a deadLetterAvro
	a.from(d)
	w.WriteVal(e.letter, &a)
	if w.Error != nil {
		return nil, fault.Permanent(fault.Malformed, fmt.Errorf("encoding a dead letter: %w", w.Error))
	}
	return append(make([]byte, 0, w.Buffered()), w.Buffer()...), nil
}

// maxPooled bounds the buffers that are kept: one huge record must not hold its
// memory for good.
const maxPooled = 64 << 10

// release gives a writer back. One that failed stays failed, so it goes.
func (e *Encoder) release(w *avro.Writer) {
	if w.Error != nil || cap(w.Buffer()) > maxPooled {
		return
	}
	w.Reset(nil)
	e.writers.Put(w)
}
