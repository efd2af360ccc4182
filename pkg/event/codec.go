package event

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/hamba/avro/v2"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/schemas"
)

// The Confluent wire format: a zero byte, the schema's id, the Avro body.
const (
	magic      = 0
	headerSize = 5
)

// maxSlice bounds any one string or bytes that a decoder accepts: the largest
// record of our topics, so that garbage cannot make it allocate more.
const maxSlice = 8 << 20

// maxElements bounds a decoded array (headers, references), which otherwise
// takes its length from the bytes and asks for that much memory at once.
const maxElements = 10_000

// Encoder writes events of the current schemas. It is safe for concurrent use.
type Encoder struct {
	api     avro.API
	event   encoding
	letter  encoding
	writers sync.Pool
}

type encoding struct {
	schema avro.Schema
	header [headerSize]byte
}

// NewEncoder registers the current schemas under the two topics' names and
// gives an encoder for them. A registry that does not answer is Transient; one
// that refuses the schema (it would break readers) is Permanent.
func NewEncoder(ctx context.Context, r *Registry, eventTopic, letterTopic string) (*Encoder, error) {
	e := &Encoder{api: newAPI()}
	e.writers.New = func() any { return avro.NewWriter(nil, 2048, avro.WithWriterConfig(e.api)) }
	for _, s := range []struct {
		into          *encoding
		topic, schema string
	}{{&e.event, eventTopic, schemas.AccountEvent}, {&e.letter, letterTopic, schemas.DeadLetter}} {
		id, err := r.register(ctx, s.topic, s.schema)
		if err != nil {
			return nil, err
		}
		if s.into.schema, err = parse(s.schema); err != nil {
			return nil, err
		}
		s.into.header[0] = magic
		binary.BigEndian.PutUint32(s.into.header[1:], uint32(id))
	}
	return e, nil
}

// AccountEvent gives ev as a record value.
func (e *Encoder) AccountEvent(ev *AccountEvent) ([]byte, error) {
	var a accountEventAvro
	a.from(ev)
	return e.encode(&e.event, &a)
}

// DeadLetter gives d as a record value.
func (e *Encoder) DeadLetter(d *DeadLetter) ([]byte, error) {
	var a deadLetterAvro
	a.from(d)
	return e.encode(&e.letter, &a)
}

func (e *Encoder) encode(enc *encoding, v any) ([]byte, error) {
	w := e.writers.Get().(*avro.Writer)
	defer func() {
		w.Reset(nil)
		e.writers.Put(w)
	}()
	w.Reset(nil)
	if _, err := w.Write(enc.header[:]); err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	w.WriteVal(enc.schema, v)
	if w.Error != nil {
		return nil, fault.Permanent(fault.Malformed, fmt.Errorf("encoding %s: %w", enc.schema.(avro.NamedSchema).Name(), w.Error))
	}
	return append(make([]byte, 0, w.Buffered()), w.Buffer()...), nil
}

// Decoder reads events that any released schema wrote. It fetches each writer's
// schema once, by the id in the record. It is safe for concurrent use.
type Decoder struct {
	registry *Registry
	api      avro.API
	event    avro.Schema
	letter   avro.Schema

	mu       sync.RWMutex
	resolved map[resolvedKey]avro.Schema
}

type resolvedKey struct {
	reader avro.Schema
	id     int
}

// NewDecoder makes a decoder; it does not connect.
func NewDecoder(r *Registry) (*Decoder, error) {
	d := &Decoder{registry: r, api: newAPI(), resolved: map[resolvedKey]avro.Schema{}}
	var err error
	if d.event, err = parse(schemas.AccountEvent); err != nil {
		return nil, err
	}
	if d.letter, err = parse(schemas.DeadLetter); err != nil {
		return nil, err
	}
	return d, nil
}

// AccountEvent reads a record value of account-events into ev. What is not such
// a value is Permanent(Malformed); a registry that does not answer is Transient.
func (d *Decoder) AccountEvent(ctx context.Context, value []byte, ev *AccountEvent) error {
	var a accountEventAvro
	if err := d.decode(ctx, d.event, value, &a); err != nil {
		return err
	}
	if err := a.to(ev); err != nil {
		return fault.Permanent(fault.Malformed, err)
	}
	return nil
}

// DeadLetter reads a record value of account-events.dlq into l, with the same
// errors as AccountEvent.
func (d *Decoder) DeadLetter(ctx context.Context, value []byte, l *DeadLetter) error {
	var a deadLetterAvro
	if err := d.decode(ctx, d.letter, value, &a); err != nil {
		return err
	}
	a.to(l)
	return nil
}

func (d *Decoder) decode(ctx context.Context, reader avro.Schema, value []byte, into any) (err error) {
	if len(value) < headerSize || value[0] != magic {
		return fault.Permanent(fault.Malformed, errors.New("the value is not in the Confluent wire format"))
	}
	schema, err := d.schema(ctx, reader, int(binary.BigEndian.Uint32(value[1:headerSize])))
	if err != nil {
		return err
	}
	r := avro.NewReader(nil, 0, avro.WithReaderConfig(d.api)).Reset(value[headerSize:])
	r.ReadVal(schema, into)
	if r.Error != nil {
		return fault.Permanent(fault.Malformed, fmt.Errorf("decoding: %w", r.Error))
	}
	if r.Peek(); r.Error == nil { // the library stops at the record's end and does not look further
		return fault.Permanent(fault.Malformed, errors.New("decoding: more bytes follow the record"))
	}
	return nil
}

// schema gives what to decode with: the writer's schema, resolved against ours.
func (d *Decoder) schema(ctx context.Context, reader avro.Schema, id int) (avro.Schema, error) {
	key := resolvedKey{reader, id}
	d.mu.RLock()
	schema, ok := d.resolved[key]
	d.mu.RUnlock()
	if ok {
		return schema, nil
	}
	text, err := d.registry.schema(ctx, id)
	if err != nil {
		return nil, err
	}
	writer, err := parse(text)
	if err != nil {
		return nil, fault.Permanent(fault.Malformed, err)
	}
	if schema, err = resolve(reader, writer); err != nil {
		return nil, fault.Permanent(fault.Malformed, fmt.Errorf("schema %d: %w", id, err))
	}
	d.mu.Lock()
	d.resolved[key] = schema
	d.mu.Unlock()
	return schema, nil
}

// resolve gives the schema that reads what writer wrote as reader has it.
func resolve(reader, writer avro.Schema) (avro.Schema, error) {
	if reader.Fingerprint() == writer.Fingerprint() {
		return reader, nil
	}
	return avro.NewSchemaCompatibility().Resolve(reader, writer)
}

func newAPI() avro.API {
	return avro.Config{MaxByteSliceSize: maxSlice, MaxSliceAllocSize: maxElements}.Freeze()
}

// parse reads a schema with a cache of its own: the library's default one is
// global, and two versions of a record would meet in it.
func parse(text string) (avro.Schema, error) {
	schema, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("parsing an Avro schema: %w", err)
	}
	return schema, nil
}
