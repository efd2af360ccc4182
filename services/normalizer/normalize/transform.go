package normalize

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// maxLetterValue is the largest value that a dead letter can carry: what the
// dead letter topic takes, less room for its other fields.
const maxLetterValue = 3 << 20

// maxErrorBytes bounds the sentence in a dead letter.
const maxErrorBytes = 1000

// item is one raw record on its way through a batch.
type item struct {
	rec   *kgo.Record
	raw   stream.Raw
	event source.Event
	err   error // Permanent: why this record is a dead letter
}

// Transform turns a batch of raw records into the records of account-events and
// of the dead letter topic, one for each record but tombstones. It has no
// effects. An error is Transient and concerns the whole batch.
func (n *Normalizer) Transform(ctx context.Context, batch []*kgo.Record) ([]*kgo.Record, error) {
	items := make([]item, 0, len(batch))
	references := make([][]source.Reference, 0, len(batch))
	for _, rec := range batch {
		if rec.Value == nil {
			n.metrics.tombstones.Inc() // says nothing, so there is nothing to keep
			continue
		}
		it := n.describe(rec)
		items = append(items, it)
		references = append(references, it.event.References)
	}
	resolutions, err := n.resolver.Resolve(ctx, references)
	if err != nil {
		return nil, err
	}
	out := make([]*kgo.Record, 0, len(items))
	for i := range items {
		it, found := &items[i], resolutions[i]
		if it.err == nil && !found.Found {
			it.err = fault.Permanent(fault.Unresolved, fmt.Errorf("no account: %s", found.Why))
		}
		if it.err == nil {
			rec, err := n.accountEvent(ctx, it, found.AccountID)
			if err == nil {
				n.metrics.resolved(it.raw.Source, found.Rule)
				out = append(out, rec)
				continue
			}
			it.err = err
		}
		rec, err := n.deadLetter(it)
		if err != nil {
			return nil, err
		}
		n.metrics.deadLettered(it.raw.Source, fault.DeadLetterReason(it.err))
		out = append(out, rec)
	}
	return out, nil
}

// describe reads one record as far as it can be read.
func (n *Normalizer) describe(rec *kgo.Record) item {
	it := item{rec: rec, raw: stream.ReadRaw(rec)}
	src, ok := n.sources[it.raw.Source]
	if !ok {
		it.err = fault.Permanent(fault.Unsupported, fmt.Errorf("no source is named %q", it.raw.Source))
		return it
	}
	if it.raw.Tenant == "" {
		it.raw.Tenant = n.options.Tuning.Tenants[it.raw.Source]
	}
	if it.err = source.CheckJSON(rec.Value); it.err != nil {
		return it
	}
	ev, err := src.Describe(it.raw.Record)
	if err == nil {
		err = source.CheckEvent(ev, it.raw.ReceivedAt)
	}
	if err != nil {
		it.err = fault.Permanent(fault.ReasonOf(err), err)
		return it
	}
	it.event = ev
	return it
}

// accountEvent makes the record of account-events.
func (n *Normalizer) accountEvent(ctx context.Context, it *item, account [16]byte) (*kgo.Record, error) {
	ev := event.AccountEvent{
		AccountID: account, Type: it.event.Type, Source: it.raw.Source, SourceEventID: it.event.ID,
		Payload:    string(source.Payload(it.rec.Value, it.event.Subject)),
		OccurredAt: it.event.OccurredAt, IngestedAt: it.raw.ReceivedAt, Tenant: it.event.Tenant, Delivery: it.raw.Mode,
	}
	value, err := n.encoder.AccountEvent(&ev)
	if err != nil {
		return nil, err
	}
	rec := &kgo.Record{Topic: stream.AccountEvents, Key: []byte(ev.AccountID.String()), Value: value}
	if it.raw.Traceparent != "" {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: stream.HeaderTraceparent, Value: []byte(n.span(ctx, it))})
	}
	if it.raw.QuarantineID != 0 {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: stream.HeaderQuarantineID, Value: strconv.AppendInt(nil, it.raw.QuarantineID, 10)})
	}
	return rec, nil
}

// span marks this stage in the event's trace and gives the traceparent that
// the next stage continues.
func (n *Normalizer) span(ctx context.Context, it *item) string {
	parent := service.WithTraceparent(context.WithoutCancel(ctx), it.raw.Traceparent)
	if !trace.SpanContextFromContext(parent).IsSampled() {
		return it.raw.Traceparent
	}
	child, span := n.options.Runtime.Tracer.Start(parent, "normalize", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.destination.name", it.rec.Topic),
		attribute.String("throughline.event_type", it.event.Type)))
	defer span.End()
	return service.Traceparent(child)
}

// deadLetter makes the record of the dead letter topic. Its key is the raw
// record's, so that what belongs together stays in order there too.
func (n *Normalizer) deadLetter(it *item) (*kgo.Record, error) {
	text := it.err.Error()
	value := it.rec.Value
	if len(value) > maxLetterValue {
		// Only a topic that takes more than ours can bring this. The bytes stay where they are.
		text = fmt.Sprintf("%s; its %d bytes are too many for a dead letter and remain at %s/%d offset %d",
			text, len(value), it.rec.Topic, it.rec.Partition, it.rec.Offset)
		value = nil
	}
	if len(text) > maxErrorBytes {
		text = text[:maxErrorBytes]
	}
	letter := event.DeadLetter{
		Value: value, Topic: it.rec.Topic, Partition: it.rec.Partition, Offset: it.rec.Offset, Key: it.rec.Key,
		Headers: make([]event.Header, 0, len(it.rec.Headers)), Reason: string(fault.DeadLetterReason(it.err)), Error: string(bytes.ToValidUTF8([]byte(text), []byte("\uFFFD"))),
		References: it.event.References, FirstSeen: it.raw.FirstSeen, Attempts: it.raw.Attempts + 1,
		Source: it.raw.Source, Tenant: it.raw.Tenant, Type: it.event.Type, SourceEventID: it.event.ID,
	}
	if it.event.Tenant != "" {
		letter.Tenant = it.event.Tenant
	}
	if letter.FirstSeen.IsZero() {
		letter.FirstSeen = it.rec.Timestamp
	}
	if letter.FirstSeen.IsZero() {
		letter.FirstSeen = time.Now()
	}
	hasReceipt := false
	for _, h := range it.rec.Headers {
		letter.Headers = append(letter.Headers, event.Header{Key: h.Key, Value: h.Value})
		hasReceipt = hasReceipt || h.Key == stream.HeaderReceivedAt
	}
	if !hasReceipt {
		// A release writes the record anew: without this its receipt would move.
		letter.Headers = append(letter.Headers, event.Header{Key: stream.HeaderReceivedAt, Value: it.raw.ReceivedAt.AppendFormat(nil, time.RFC3339Nano)})
	}
	encoded, err := n.encoder.DeadLetter(&letter)
	if err != nil {
		return nil, fault.Transient(fault.Unavailable, err)
	}
	return &kgo.Record{Topic: stream.DeadLetters, Key: it.rec.Key, Value: encoded}, nil
}
