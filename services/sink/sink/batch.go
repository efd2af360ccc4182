package sink

import (
	"context"
	"crypto/sha256"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// entry is one record on its way to the table.
type entry struct {
	rec   *kgo.Record
	row   postgres.Row
	event event.AccountEvent
}

// failed is a record that cannot be stored, and why.
type failed struct {
	entry
	err error
}

// decode reads the batch. What is not an AccountEvent is given back as failed;
// a registry that does not answer fails the batch.
func (s *Sink) decode(ctx context.Context, batch []*kgo.Record) ([]entry, []failed, error) {
	entries := make([]entry, 0, len(batch))
	var dead []failed
	for _, rec := range batch {
		if rec.Value == nil {
			continue // a tombstone says nothing
		}
		e := entry{rec: rec}
		if err := s.decoder.AccountEvent(ctx, rec.Value, &e.event); err != nil {
			if !fault.IsPermanent(err) {
				return nil, nil, err
			}
			dead = append(dead, failed{e, err})
			continue
		}
		e.row = postgres.Row{
			AccountID: e.event.AccountID, EventType: e.event.Type, Source: e.event.Source, SourceEventID: e.event.SourceEventID,
			Payload: []byte(e.event.Payload), OccurredAt: e.event.OccurredAt, IngestedAt: e.event.IngestedAt,
		}
		if id, err := strconv.ParseInt(string(stream.Header(rec, stream.HeaderQuarantineID)), 10, 64); err == nil && id > 0 {
			e.row.QuarantineID, e.row.RawSHA256 = id, sha256.Sum256(source.Original(e.row.Payload))
		}
		entries = append(entries, e)
	}
	return entries, dead, nil
}

// store writes entries and gives those that Postgres refuses: a refused batch is
// halved until each guilty row stands alone. undecoded is how many records of
// the batch are lost already; with them it gives up as soon as the breaker is
// bound to open, because halving a batch of bad rows takes long.
func (s *Sink) store(ctx context.Context, entries []entry, undecoded int) ([]failed, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	rows := make([]postgres.Row, len(entries))
	for i := range entries {
		rows[i] = entries[i].row
	}
	var refused []failed
	var halve func(from, to int) error
	halve = func(from, to int) error {
		result, err := s.writer.Upsert(ctx, rows[from:to])
		switch {
		case err == nil:
			s.metrics.wrote(result)
			return nil
		case !fault.IsPermanent(err):
			return err
		case to-from == 1:
			refused = append(refused, failed{entries[from], err})
			return s.breaker.check(undecoded+len(refused), len(rows)-len(refused))
		}
		middle := from + (to-from)/2
		if err := halve(from, middle); err != nil {
			return err
		}
		return halve(middle, to)
	}
	if err := halve(0, len(rows)); err != nil {
		return nil, err
	}
	return refused, nil
}

// trace ends the traces of the sampled events: from the poll to the commit.
func (s *Sink) trace(ctx context.Context, entries []entry) {
	for i := range entries {
		header := stream.Header(entries[i].rec, stream.HeaderTraceparent)
		if header == nil {
			continue
		}
		parent := service.WithTraceparent(context.WithoutCancel(ctx), string(header))
		if trace.SpanContextFromContext(parent).IsSampled() {
			_, span := s.options.Runtime.Tracer.Start(parent, "upsert", trace.WithSpanKind(trace.SpanKindConsumer),
				trace.WithTimestamp(entries[i].rec.Timestamp))
			span.End()
		}
	}
}
