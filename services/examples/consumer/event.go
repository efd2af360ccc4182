package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
)

// wanted is the reader's schema: the fields that this program uses. Avro gives
// them whatever schema the event was written with, as long as that one has
// them; fields that are added later do not disturb.
const wanted = `{"type": "record", "name": "AccountEvent", "namespace": "dev.throughline", "fields": [
  {"name": "account_id", "type": {"type": "string", "logicalType": "uuid"}},
  {"name": "event_type", "type": "string"},
  {"name": "source", "type": "string"},
  {"name": "source_event_id", "type": "string"},
  {"name": "payload", "type": "string"},
  {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-micros"}}
]}`

// event is one event of one account.
type event struct {
	AccountID     string    `avro:"account_id" json:"account_id"`
	EventType     string    `avro:"event_type" json:"event_type"`
	Source        string    `avro:"source" json:"source"`
	SourceEventID string    `avro:"source_event_id" json:"source_event_id"`
	Payload       string    `avro:"payload" json:"-"`
	OccurredAt    time.Time `avro:"occurred_at" json:"occurred_at"`
}

// decoder reads events, with each writer's schema fetched once.
type decoder struct {
	registry *sr.Client
	reader   *avro.Schema
	writers  map[int]*avro.Schema // by id, resolved to the reader's
}

func newDecoder(registry *sr.Client) *decoder {
	return &decoder{registry: registry, reader: avro.MustParse(wanted), writers: map[int]*avro.Schema{}}
}

// decode reads the Confluent wire format: a zero byte, the schema's id, Avro.
func (d *decoder) decode(ctx context.Context, value []byte) (event, error) {
	var e event
	id, body, err := new(sr.ConfluentHeader).DecodeID(value)
	if err != nil {
		return e, fmt.Errorf("reading the schema's id: %w", err)
	}
	schema, ok := d.writers[id]
	if !ok {
		if schema, err = d.fetch(ctx, id); err != nil {
			return e, err
		}
		d.writers[id] = schema
	}
	rest, err := schema.Decode(body, &e)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes are left over", len(rest))
	}
	return e, err
}

func (d *decoder) fetch(ctx context.Context, id int) (*avro.Schema, error) {
	text, err := d.registry.SchemaByID(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("fetching schema %d: %w", id, err)
	}
	writer, err := avro.Parse(text.Schema)
	if err != nil {
		return nil, fmt.Errorf("reading schema %d: %w", id, err)
	}
	return avro.Resolve(writer, d.reader)
}

// printer prints one event a line.
type printer struct {
	out  *bufio.Writer
	json *json.Encoder // nil: for people
}

func newPrinter(out *bufio.Writer, asJSON bool) *printer {
	p := &printer{out: out}
	if asJSON {
		p.json = json.NewEncoder(out)
		p.json.SetEscapeHTML(false)
	}
	return p
}

func (p *printer) print(e event) error {
	if p.json == nil {
		_, err := fmt.Fprintf(p.out, "%s  %s  %-8s  %-24s  %q\n", e.OccurredAt.UTC().Format(time.RFC3339), e.AccountID, e.Source, e.EventType, e.SourceEventID)
		return err
	}
	// The payload is the vendor's JSON with one key, subject, added at most.
	return p.json.Encode(struct {
		event
		Payload json.RawMessage `json:"payload"`
	}{e, json.RawMessage(e.Payload)})
}

func (p *printer) flush() error { return p.out.Flush() }
