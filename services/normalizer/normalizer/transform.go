package normalizer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Transform turns a batch of raw records into the records of account-events and
// of the dead letter topic, in the batch's order: one for each record, none for
// a tombstone, nil in the place of what nobody may keep because what it refers to
// was erased, and for a page one for each of its elements. It has no effects but
// that such events are counted, and gives the same bytes whenever it is given the same records and links. An
// error is Transient and concerns the whole batch.
func (n *Normalizer) Transform(ctx context.Context, batch []*kgo.Record) ([]*kgo.Record, error) {
	return n.transform(ctx, batch, nil)
}

// transform is Transform, where the brokers refused records of an earlier output
// of the same batch: a dead letter stands in the place of an account event then,
// and one without the record's bytes in the place of a dead letter.
func (n *Normalizer) transform(ctx context.Context, batch []*kgo.Record, refused map[int][]stream.Refusal) ([]*kgo.Record, error) {
	ahead := n.resolver.Ahead(ctx)
	shares := make([]described, sharesOf(len(batch)))
	inShares(len(batch), len(shares), func(share, from, to int) {
		room := to - from
		if share == 0 {
			room = len(batch) // what the others find comes behind
		}
		shares[share] = n.describe(batch[from:to], room)
	})
	items := shares[0].items
	for _, d := range shares[1:] {
		items = append(items, d.items...)
	}
	references := make([][]source.Reference, len(items))
	for i := range items {
		references[i] = items[i].event.References
	}
	resolutions, err := ahead.Resolve(ctx, references)
	if err != nil {
		return nil, err
	}
	if err := n.mentionsErased(ctx, ahead, items, resolutions); err != nil {
		return nil, err
	}
	records := make([]kgo.Record, len(items)) // one allocation for all
	out := make([]*kgo.Record, len(items))
	failures := make([]error, sharesOf(len(items)))
	inShares(len(items), len(failures), func(share, from, to int) {
		var a arena
		for i := from; i < to && failures[share] == nil; i++ {
			if resolutions[i].Erased {
				items[i].erased = true
				continue
			}
			out[i] = &records[i]
			failures[share] = n.finish(ctx, &a, &items[i], &resolutions[i], refused[i], out[i])
		}
	})
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	if refused == nil { // else they are counted already
		if err := n.countErased(ctx, items); err != nil {
			return nil, err
		}
		n.metrics.count(items, shares)
	}
	return out, nil
}

// minShare is how many records are worth a goroutine.
const minShare = 64

func sharesOf(count int) int { return max(1, min(runtime.GOMAXPROCS(0), count/minShare)) }

// inShares calls do for the shares of 0 to count-1, each on a goroutine of its
// own, and returns when all are done.
func inShares(count, shares int, do func(share, from, to int)) {
	var group sync.WaitGroup
	for share := range shares - 1 {
		group.Go(func() { do(share, count*share/shares, count*(share+1)/shares) })
	}
	do(shares-1, count*(shares-1)/shares, count) // the caller takes the last one
	group.Wait()
}

// finish makes the one record that it becomes.
func (n *Normalizer) finish(ctx context.Context, a *arena, it *item, found *resolve.Resolution, refused []stream.Refusal, into *kgo.Record) error {
	if it.err == nil && !found.Found {
		it.err = fault.Permanent(fault.Unresolved, fmt.Errorf("no account: %s", found.Why))
	}
	if len(refused) > 0 && refused[0].Topic == n.encoder.EventTopic() {
		if cause := refused[0].Err; it.err == nil {
			it.err = fault.Permanent(fault.ReasonOf(cause), fmt.Errorf("the brokers refuse its account event: %w", cause))
		}
		refused = refused[1:]
	}
	if it.err == nil {
		it.rule = found.Rule
		if it.err = n.accountEvent(ctx, a, it, found, into); it.err == nil {
			return nil
		}
	}
	return n.deadLetter(it, refused, into)
}

// accountEvent makes the record of account-events.
func (n *Normalizer) accountEvent(ctx context.Context, a *arena, it *item, found *resolve.Resolution, into *kgo.Record) error {
	ev := event.AccountEvent{
		AccountID: found.AccountID, Type: it.event.Type, Source: it.raw.Source, SourceEventID: it.event.ID, Payload: it.value,
		OccurredAt: it.event.OccurredAt, IngestedAt: it.raw.ReceivedAt, Tenant: it.event.Tenant, Delivery: it.raw.Mode,
		Subject: it.event.Subject, Rule: found.Rule, Reference: found.Reference.Key(),
		RawTopic: it.rec.Topic, RawPartition: it.rec.Partition, RawOffset: it.rec.Offset, RawIndex: it.index, Livemode: !it.event.Test,
	}
	buffer, err := n.encoder.AppendAccountEvent(a.room(len(ev.Payload)+len(ev.Subject)+fieldBytes), &ev)
	if err != nil {
		return err
	}
	into.Topic, into.Value = n.encoder.EventTopic(), a.take(buffer)
	into.Key = a.take(event.AppendUUID(a.room(len(uuid.UUID{})*2+4), ev.AccountID))
	if it.raw.Traceparent != "" {
		if next := n.span(ctx, it); next != "" {
			into.Headers = append(into.Headers, kgo.RecordHeader{Key: stream.HeaderTraceparent, Value: []byte(next)})
		}
	}
	if it.index < 0 { // what was released is the page, not its elements
		into.Headers = append(into.Headers, it.raw.Replay.Headers()...)
	}
	return nil
}

// arena is where a share's output is written: it lives as long as the batch, and
// one piece of memory costs less than thousands.
type arena struct{ free []byte }

const (
	arenaBytes = 256 << 10
	fieldBytes = 512 // of an account event beside its payload and subject, mostly
)

// room gives a buffer to append to; it has room for about this many bytes.
func (a *arena) room(bytes int) []byte {
	if cap(a.free) < bytes {
		a.free = make([]byte, 0, max(arenaBytes, bytes))
	}
	return a.free[:0:cap(a.free)]
}

// take gives what was appended to room's buffer, and goes on behind it.
func (a *arena) take(buffer []byte) []byte {
	if n := len(buffer); n <= cap(a.free) && n > 0 && &buffer[0] == &a.free[:1][0] {
		a.free = a.free[n:n:cap(a.free)]
	}
	return buffer[:len(buffer):len(buffer)]
}

// span marks this stage in the event's trace and gives the traceparent that
// the next stage continues; "" for a header that is none.
func (n *Normalizer) span(ctx context.Context, it *item) string {
	parent := service.WithTraceparent(context.WithoutCancel(ctx), it.raw.Traceparent)
	switch above := trace.SpanContextFromContext(parent); {
	case !above.IsValid():
		return ""
	case !above.IsSampled() || it.index >= 0: // a page's trace would have thousands of spans
		return it.raw.Traceparent
	}
	child, span := n.deps.Runtime.Tracer.Start(parent, "normalize", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.destination.name", it.rec.Topic),
		attribute.String("throughline.event_type", it.event.Type)))
	defer span.End()
	return service.Traceparent(child)
}
