package normalizer

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// item is one raw record on its way through a batch.
type item struct {
	rec   *kgo.Record
	raw   stream.Raw
	event source.Event
	rule  string // that found the account
	err   error  // Permanent: why this record is a dead letter
}

// Transform turns a batch of raw records into the records of account-events and
// of the dead letter topic: one for each record but tombstones, in the batch's
// order. It has no effects, and gives the same bytes whenever it is given the
// same records and links. An error is Transient and concerns the whole batch.
func (n *Normalizer) Transform(ctx context.Context, batch []*kgo.Record) ([]*kgo.Record, error) {
	items := make([]item, 0, len(batch))
	for _, rec := range batch {
		if rec.Value != nil { // a tombstone says nothing, so there is nothing to keep
			items = append(items, item{rec: rec})
		}
	}
	references := make([][]source.Reference, len(items))
	inParallel(len(items), func(i int) {
		n.describe(&items[i])
		references[i] = items[i].event.References
	})
	resolutions, err := n.resolver.Resolve(ctx, references)
	if err != nil {
		return nil, err
	}
	records := make([]kgo.Record, len(items)) // one allocation for all
	failures := make([]error, len(items))
	inParallel(len(items), func(i int) {
		failures[i] = n.finish(ctx, &items[i], &resolutions[i], &records[i])
	})
	out := make([]*kgo.Record, len(items))
	for i, err := range failures {
		if err != nil {
			return nil, err
		}
		out[i] = &records[i]
	}
	n.metrics.count(items, len(batch)-len(items))
	return out, nil
}

// minShare is how many records are worth a goroutine.
const minShare = 64

// inParallel calls do for 0 to count-1, spread over the processors, and returns
// when all are done.
func inParallel(count int, do func(i int)) {
	shares := max(1, min(runtime.GOMAXPROCS(0), count/minShare))
	var group sync.WaitGroup
	for share := range shares {
		run := func() {
			for i := count * share / shares; i < count*(share+1)/shares; i++ {
				do(i)
			}
		}
		if share == shares-1 {
			run() // the caller takes the last one
		} else {
			group.Go(run)
		}
	}
	group.Wait()
}

// describe reads one record as far as it can be read.
func (n *Normalizer) describe(it *item) {
	it.raw = stream.ReadRaw(it.rec)
	src, ok := n.deps.Sources.Find(it.raw.Source)
	if !ok {
		it.err = fault.Permanent(fault.Unsupported, fmt.Errorf("no source is named %q", it.raw.Source))
		return
	}
	if it.raw.Tenant == "" {
		it.raw.Tenant = n.options.Tenants[it.raw.Source]
	}
	_, it.event, it.err = source.Keyed(src, it.raw.Record)
}

// finish makes the one record that it becomes.
func (n *Normalizer) finish(ctx context.Context, it *item, found *resolve.Resolution, into *kgo.Record) error {
	if it.err == nil && !found.Found {
		it.err = fault.Permanent(fault.Unresolved, fmt.Errorf("no account: %s", found.Why))
	}
	if it.err == nil {
		it.rule = found.Rule
		if it.err = n.accountEvent(ctx, it, found, into); it.err == nil {
			return nil
		}
	}
	return n.deadLetter(it, into)
}

// accountEvent makes the record of account-events.
func (n *Normalizer) accountEvent(ctx context.Context, it *item, found *resolve.Resolution, into *kgo.Record) error {
	ev := event.AccountEvent{
		AccountID: found.AccountID, Type: it.event.Type, Source: it.raw.Source, SourceEventID: it.event.ID, Payload: it.rec.Value,
		OccurredAt: it.event.OccurredAt, IngestedAt: it.raw.ReceivedAt, Tenant: it.event.Tenant, Delivery: it.raw.Mode,
		Subject: rawjson.SubjectLine(it.event.Subject), Rule: found.Rule, Reference: found.Reference.Key(),
		RawTopic: it.rec.Topic, RawPartition: it.rec.Partition, RawOffset: it.rec.Offset, RawIndex: -1, Livemode: true,
	}
	value, err := n.encoder.AccountEvent(&ev)
	if err != nil {
		return err
	}
	into.Topic, into.Key, into.Value = stream.AccountEvents, []byte(ev.AccountID.String()), value
	if it.raw.Traceparent != "" {
		if next := n.span(ctx, it); next != "" {
			into.Headers = append(into.Headers, kgo.RecordHeader{Key: stream.HeaderTraceparent, Value: []byte(next)})
		}
	}
	into.Headers = append(into.Headers, it.raw.Replay.Headers()...)
	return nil
}

// span marks this stage in the event's trace and gives the traceparent that
// the next stage continues; "" for a header that is none.
func (n *Normalizer) span(ctx context.Context, it *item) string {
	parent := service.WithTraceparent(context.WithoutCancel(ctx), it.raw.Traceparent)
	switch above := trace.SpanContextFromContext(parent); {
	case !above.IsValid():
		return ""
	case !above.IsSampled():
		return it.raw.Traceparent
	}
	child, span := n.deps.Runtime.Tracer.Start(parent, "normalize", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.destination.name", it.rec.Topic),
		attribute.String("throughline.event_type", it.event.Type)))
	defer span.End()
	return service.Traceparent(child)
}
