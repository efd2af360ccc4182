package write

import (
	"context"
	"fmt"
	"strconv"
	"time"

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
			e.row.QuarantineID = id
		}
		entries = append(entries, e)
	}
	return entries, dead, nil
}

// store writes entries; a refused batch is halved until each guilty row stands
// alone. It gives up early once so many are refused that the breaker will open.
func (s *Sink) store(ctx context.Context, entries []entry) (postgres.Result, []failed, error) {
	rows := make([]postgres.Row, len(entries))
	for i := range entries {
		rows[i] = entries[i].row
	}
	var total postgres.Result
	var refused []failed
	var halve func(from, to int) error
	halve = func(from, to int) error {
		result, err := s.writer.Upsert(ctx, rows[from:to])
		switch {
		case err == nil:
			total.Inserted += result.Inserted
			total.AlreadyPresent += result.AlreadyPresent
			return nil
		case !fault.IsPermanent(err):
			return err
		case to-from == 1:
			refused = append(refused, failed{entries[from], err})
			// Once most of the batch is refused the good rest cannot keep the breaker shut.
			if good := len(rows) - len(refused); len(refused) > good {
				return s.breaker.check(len(refused), good)
			}
			return nil
		}
		middle := from + (to-from)/2
		if err := halve(from, middle); err != nil {
			return err
		}
		return halve(middle, to)
	}
	if len(rows) == 0 {
		return total, nil, nil
	}
	if err := halve(0, len(rows)); err != nil {
		return total, nil, err
	}
	return total, refused, nil
}

// bury publishes dead letters and returns when all are acknowledged.
func (s *Sink) bury(ctx context.Context, dead []failed) error {
	records := make([]*kgo.Record, 0, len(dead))
	for _, f := range dead {
		letter := event.DeadLetter{
			Value: f.rec.Value, Topic: f.rec.Topic, Partition: f.rec.Partition, Offset: f.rec.Offset, Key: f.rec.Key,
			Reason: string(fault.DeadLetterReason(f.err)), Error: clip(f.err.Error()), References: []source.Reference{},
			FirstSeen: time.Now(), Attempts: 1,
			Source: f.event.Source, Tenant: f.event.Tenant, Type: f.event.Type, SourceEventID: f.event.SourceEventID,
		}
		for _, h := range f.rec.Headers {
			letter.Headers = append(letter.Headers, event.Header{Key: h.Key, Value: h.Value})
		}
		value, err := s.encoder.DeadLetter(&letter)
		if err != nil {
			return fault.Transient(fault.Unavailable, err)
		}
		records = append(records, &kgo.Record{Topic: stream.DeadLetters, Key: f.rec.Key, Value: value})
	}
	if err := s.letters.Publish(ctx, records...); err != nil {
		return fault.Transient(fault.Unavailable, fmt.Errorf("dead-lettering %d records: %w", len(records), err))
	}
	return nil
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

// breaker tells a bad row from a bad deployment: when limit rows in a row are
// refused without a good one between them, no more are dead-lettered until one
// is stored again.
type breaker struct {
	limit   int // 0: never opens
	refused int // in a row, in batches that went through
}

// check is asked with a batch's refused and stored rows, and gives a Transient
// error when the breaker is open.
func (b *breaker) check(refused, stored int) error {
	if b.limit == 0 {
		return nil
	}
	inARow := refused
	if stored == 0 {
		inARow += b.refused
	}
	if inARow >= b.limit && refused > stored {
		return fault.Transient(fault.Unavailable, fmt.Errorf(
			"the breaker is open: Postgres refused %d rows in a row, so nothing is dead-lettered; look for a migration or a deployment that went wrong (or set THROUGHLINE_SINK_BREAKER_ROWS=0 to dead-letter them)", inARow))
	}
	return nil
}

// note counts a batch that went through.
func (b *breaker) note(refused, stored int) {
	if stored > 0 {
		b.refused = 0
		return
	}
	b.refused += refused
}

// clip bounds the sentence in a dead letter.
func clip(s string) string {
	const most = 1000
	if len(s) > most {
		return s[:most]
	}
	return s
}
