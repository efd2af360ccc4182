package event

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Decoder reads events that any released schema wrote. It asks the registry for
// each schema id once. It is safe for concurrent use.
//
// The registry's word is not the last: after one was lost and made anew, an id
// stands for another schema than the one that a record was written with, or for
// none, and one that is away says nothing. So a record that cannot be read by its
// id is tried with every released schema. One that no schema reads but that begins
// like our own is malformed only when the registry has just said which schema its id
// stands for, or that it knows none; while the registry is away it waits (Transient).
type Decoder struct {
	registry *Registry
	event    *record
	letter   *record
	readers  sync.Pool

	mu    sync.RWMutex
	byID  map[schemaKey]avro.Schema // resolved to the record's current schema
	asked map[schemaKey]time.Time   // when the registry last said once more what an id stands for
}

// askAgain is how long the registry's answer about an id is trusted for a record
// that it does not fit: a registry that is made anew gives the id to another schema.
const askAgain = time.Second

type schemaKey struct {
	record *record
	id     int
}

// NewDecoder makes a decoder; it does not connect.
func NewDecoder(r *Registry) (*Decoder, error) {
	d := &Decoder{registry: r, byID: map[schemaKey]avro.Schema{}, asked: map[schemaKey]time.Time{}}
	api := newAPI()
	d.readers.New = func() any { return avro.NewReader(nil, 0, avro.WithReaderConfig(api)) }
	var err error
	if d.event, err = newEventRecord(); err != nil {
		return nil, err
	}
	if d.letter, err = newLetterRecord(); err != nil {
		return nil, err
	}
	return d, nil
}

// AccountEvent reads a record value of account-events into ev. What is not such
// a value, or is of a schema that neither we nor the registry know, is
// Permanent(Malformed); a registry that does not answer is Transient. ev keeps
// nothing of value.
func (d *Decoder) AccountEvent(ctx context.Context, value []byte, ev *AccountEvent) error {
	return d.decode(ctx, d.event, value, func(r *avro.Reader, schema avro.Schema) error {
		if schema == d.event.reader {
			return readAccountEvent(r, ev)
		}
		var a accountEventAvro
		r.ReadVal(schema, &a)
		if r.Error != nil {
			return r.Error
		}
		return a.to(ev)
	})
}

// readAccountEvent reads the fields in the order of the current schema.
func readAccountEvent(r *avro.Reader, ev *AccountEvent) error {
	id, err := accountID(r.ReadString())
	*ev = AccountEvent{
		AccountID: id, Type: r.ReadString(), Source: r.ReadString(), SourceEventID: r.ReadString(),
		Payload: r.ReadBytes(), OccurredAt: micros(r), IngestedAt: micros(r), Tenant: r.ReadString(), Delivery: source.Mode(r.ReadString()),
		Subject: r.ReadString(), Rule: r.ReadString(), Reference: r.ReadString(),
		RawTopic: r.ReadString(), RawPartition: r.ReadInt(), RawOffset: r.ReadLong(), RawIndex: r.ReadInt(), Livemode: r.ReadBool(),
	}
	if r.Error != nil {
		return r.Error
	}
	return err
}

func micros(r *avro.Reader) time.Time { return time.UnixMicro(r.ReadLong()).UTC() }

// DeadLetter reads a record value of account-events.dlq into l, with the same
// errors as AccountEvent.
func (d *Decoder) DeadLetter(ctx context.Context, value []byte, l *DeadLetter) error {
	return d.decode(ctx, d.letter, value, func(r *avro.Reader, schema avro.Schema) error {
		var a deadLetterAvro
		r.ReadVal(schema, &a)
		if r.Error != nil {
			return r.Error
		}
		a.to(l)
		return nil
	})
}

// decode finds the schema that value was written with and calls read with it.
func (d *Decoder) decode(ctx context.Context, rec *record, value []byte, read func(*avro.Reader, avro.Schema) error) error {
	if len(value) < headerSize || value[0] != magic {
		return fault.Permanent(fault.Malformed, errors.New("the value is not in the Confluent wire format"))
	}
	key, body := schemaKey{rec, int(binary.BigEndian.Uint32(value[1:headerSize]))}, value[headerSize:]
	r := d.readers.Get().(*avro.Reader)
	defer func() {
		r.Reset(nil)
		d.readers.Put(r)
	}()
	schema, known := d.cached(key)
	var away error
	if !known {
		r.Error = nil
		if !rec.begins(r.Reset(body)) { // asking the registry for garbage would cost a request each
			return fault.Permanent(fault.Malformed, errors.New("decoding: the record does not begin like one of ours"))
		}
		if !d.fresh(key) {
			schema, away = d.lookup(ctx, key)
		}
	}
	failed := d.readAny(r, rec, key, body, schema, read)
	if failed == nil {
		return nil
	}
	if known {
		r.Error = nil
		if !rec.begins(r.Reset(body)) || d.fresh(key) {
			return fault.Permanent(fault.Malformed, fmt.Errorf("decoding: %w", failed))
		}
		if schema, away = d.lookup(ctx, key); schema != nil && whole(r, body, schema, read) == nil {
			return nil
		}
	}
	if away != nil {
		return away
	}
	d.told(key)
	if schema == nil {
		return fault.Permanent(fault.Malformed, fmt.Errorf("the schema registry does not know schema %d, and no released schema reads the record", key.id))
	}
	return fault.Permanent(fault.Malformed, fmt.Errorf("decoding: %w", failed))
}

// readAny reads body by schema, which may be nil, else by any released one. What
// reads a record whose id has no schema is remembered for that id.
func (d *Decoder) readAny(r *avro.Reader, rec *record, key schemaKey, body []byte, schema avro.Schema, read func(*avro.Reader, avro.Schema) error) error {
	failed := errors.New("no released schema reads it")
	if schema != nil {
		if failed = whole(r, body, schema, read); failed == nil {
			return nil
		}
	}
	for _, version := range rec.versions {
		if version == schema || whole(r, body, version, read) != nil {
			continue
		}
		if schema == nil {
			d.remember(key, version)
		}
		return nil
	}
	return failed
}

// whole reads one record, which must be all of body.
func whole(r *avro.Reader, body []byte, schema avro.Schema, read func(*avro.Reader, avro.Schema) error) error {
	r.Error = nil
	r.Reset(body)
	if err := read(r, schema); err != nil {
		return err
	}
	if r.Peek(); r.Error == nil { // the library stops at the record's end and does not look further
		return errors.New("more bytes follow the record")
	}
	return nil
}

func (d *Decoder) cached(key schemaKey) (avro.Schema, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	schema, ok := d.byID[key]
	return schema, ok
}

// maxAsked bounds the ids that are remembered: a record may have any.
const maxAsked = 10_000

// told remembers that the registry has just told of the id.
func (d *Decoder) told(key schemaKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.asked) >= maxAsked {
		clear(d.asked)
	}
	d.asked[key] = time.Now()
}

// fresh reports whether the registry has told of the id lately.
func (d *Decoder) fresh(key schemaKey) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return time.Since(d.asked[key]) < askAgain
}

// lookup asks the registry for the schema of an id and remembers the answer. It
// gives nil for an id that the registry does not know (and asks again the next
// time) and the current schema for one of another type of record, which cannot
// be what wrote a record of ours.
func (d *Decoder) lookup(ctx context.Context, key schemaKey) (avro.Schema, error) {
	text, err := d.registry.schema(ctx, key.id)
	if errors.Is(err, errUnknownSchema) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	schema := key.record.reader
	if writer, err := parse(text); err == nil {
		if resolved, err := resolve(schema, writer); err == nil {
			schema = resolved
		}
	}
	d.remember(key, schema)
	return schema, nil
}

func (d *Decoder) remember(key schemaKey, schema avro.Schema) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byID[key] = schema
}
