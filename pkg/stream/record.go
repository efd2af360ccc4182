package stream

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/source"
)

// The headers of a raw record. All are optional to a reader: missing or odd
// ones never lose an event.
const (
	HeaderSource      = "tl-source"
	HeaderReceivedAt  = "tl-received-at" // RFC 3339 with nanoseconds
	HeaderDelivery    = "tl-delivery"    // webhook, poll, backfill or replay
	HeaderTenant      = "tl-tenant"
	HeaderTraceparent = "traceparent" // W3C Trace Context
	// The next three are set on a replay only.
	HeaderQuarantineID = "tl-quarantine-id" // decimal id of the quarantine row
	HeaderAttempts     = "tl-attempts"      // decimal, how often it was tried before
	HeaderFirstSeen    = "tl-first-seen"    // RFC 3339 with nanoseconds
)

// RawRecord makes the Kafka record of a source's event, for an installation without
// a prefix. traceparent may be "".
// The record aliases r's bytes.
func RawRecord(sourceName string, r source.Record, traceparent string) *kgo.Record {
	return Names{}.RawMaker(sourceName).Record(r, traceparent)
}

// RawMaker is RawRecord for one source: what all of its records have in common
// is made once. Records share that, so nobody writes to their header values.
type RawMaker struct {
	topic  string
	source []byte
}

// RawMaker makes a RawMaker of this source.
func (n Names) RawMaker(sourceName string) RawMaker {
	return RawMaker{topic: n.Raw(sourceName), source: []byte(sourceName)}
}

// rawParts are a record and what its headers are made of, as one allocation.
type rawParts struct {
	record  kgo.Record
	headers [5]kgo.RecordHeader
	text    [len(time.RFC3339Nano) + len(source.ModeBackfill)]byte
}

// Record is RawRecord.
func (m RawMaker) Record(r source.Record, traceparent string) *kgo.Record {
	p := &rawParts{}
	at := r.ReceivedAt.UTC().AppendFormat(p.text[:0], time.RFC3339Nano)
	mode := append(at[len(at):], r.Mode...)
	headers := append(p.headers[:0],
		kgo.RecordHeader{Key: HeaderSource, Value: m.source},
		kgo.RecordHeader{Key: HeaderReceivedAt, Value: at[:len(at):len(at)]},
		kgo.RecordHeader{Key: HeaderDelivery, Value: mode})
	if r.Tenant != "" {
		headers = append(headers, kgo.RecordHeader{Key: HeaderTenant, Value: []byte(r.Tenant)})
	}
	if traceparent != "" {
		headers = append(headers, kgo.RecordHeader{Key: HeaderTraceparent, Value: []byte(traceparent)})
	}
	p.record = kgo.Record{Topic: m.topic, Key: r.Key, Value: r.Value, Headers: headers}
	return &p.record
}

// Raw is what a raw record says, headers read.
type Raw struct {
	source.Record
	Replay
	Source      string // the topic's; the header only repeats it
	Traceparent string // of at most maxTraceparent bytes
}

// maxTraceparent bounds the header that is handed on: version 00 has 55 bytes,
// and later ones may have more.
const maxTraceparent = 256

// maxTimeBytes bounds a header that is a time.
const maxTimeBytes = 64

// ReadRaw reads a record of a raw topic. Where a header is missing or odd, the
// broker's time stands in for the receipt and the mode is backfill, which is
// what a third party that publishes only a value does.
func ReadRaw(rec *kgo.Record) Raw {
	name, _ := SourceOfTopic(rec.Topic)
	raw := Raw{Source: name, Record: source.Record{
		Value: rec.Value, Key: rec.Key, Mode: source.ModeBackfill, ReceivedAt: rec.Timestamp.UTC(),
	}}
	for _, h := range rec.Headers {
		switch h.Key {
		case HeaderReceivedAt:
			var t time.Time
			if len(h.Value) <= maxTimeBytes && t.UnmarshalText(h.Value) == nil && plausible(t, rec.Timestamp) {
				raw.ReceivedAt = t.UTC()
			}
		case HeaderDelivery:
			readMode(h.Value, &raw.Mode)
		case HeaderTenant:
			readTenant(h.Value, &raw.Tenant)
		case HeaderTraceparent:
			raw.Traceparent = traceparent(h.Value)
		default:
			raw.read(h, rec.Timestamp)
		}
	}
	if raw.Mode != source.ModeReplay && raw.ReceivedAt.Before(rec.Timestamp.Add(-maxUnderWay)) {
		raw.ReceivedAt = rec.Timestamp.UTC()
	}
	return raw
}

func readMode(value []byte, mode *source.Mode) {
	for _, m := range [...]source.Mode{source.ModeWebhook, source.ModePoll, source.ModeBackfill, source.ModeReplay} {
		if string(value) == string(m) {
			*mode = m // not value's text, which would be another allocation
		}
	}
}

func readTenant(value []byte, tenant *string) {
	if len(value) <= source.MaxTenantBytes {
		if text := string(value); source.IsText(text) {
			*tenant = text
		}
	}
}

// ReadOrigin gives what ReadRaw says of how a record's event came and of its tenant, for a caller
// that needs neither times nor traces.
func ReadOrigin(rec *kgo.Record) (mode source.Mode, tenant string) {
	mode = source.ModeBackfill
	for _, h := range rec.Headers {
		switch h.Key {
		case HeaderDelivery:
			readMode(h.Value, &mode)
		case HeaderTenant:
			readTenant(h.Value, &tenant)
		}
	}
	return mode, tenant
}

// maxUnderWay bounds how long before the broker had it an event was received: a
// spool keeps deliveries while brokers are away, for days at most. A release's
// event may have waited for years.
const maxUnderWay = 90 * 24 * time.Hour

func traceparent(value []byte) string {
	if len(value) <= maxTraceparent {
		if text := string(value); source.IsText(text) {
			return text
		}
	}
	return ""
}

// ReadTraceparent gives the trace that a record of any topic belongs to, or "".
func ReadTraceparent(rec *kgo.Record) string { return traceparent(Header(rec, HeaderTraceparent)) }

// Header gives the value of a record's last header of this key, or nil.
func Header(rec *kgo.Record, key string) []byte {
	for i := len(rec.Headers) - 1; i >= 0; i-- {
		if rec.Headers[i].Key == key {
			return rec.Headers[i].Value
		}
	}
	return nil
}

// plausible: an event was not received after the broker had it, but for clock skew.
func plausible(received, stored time.Time) bool {
	return received.After(source.OldestOccurredAt) && (stored.IsZero() || received.Before(stored.Add(source.MaxClockAhead)))
}
