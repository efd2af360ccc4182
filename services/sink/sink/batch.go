package sink

import (
	"context"
	"crypto/sha256"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// entry is one record on its way to the table.
type entry struct {
	rec   *kgo.Record
	event event.AccountEvent
	row   postgres.Row
	// quarantineID is the quarantine's record that this one was released from; 0: none.
	quarantineID int64
}

// failed is a record that cannot be stored, and why.
type failed struct {
	entry
	err error
}

// decode reads the batch. What is not an AccountEvent within its bounds is given
// back as failed; a registry that does not answer fails the batch.
func (s *Sink) decode(ctx context.Context, batch []*kgo.Record) ([]entry, []failed, error) {
	entries := make([]entry, 0, len(batch))
	var dead []failed
	var doc rawjson.Doc
	for _, rec := range batch {
		e := entry{rec: rec}
		if err := stream.Unreadable(rec); err != nil {
			dead = append(dead, failed{e, err})
			continue
		}
		if rec.Value == nil {
			continue // a tombstone says nothing
		}
		err := s.decoder.AccountEvent(ctx, rec.Value, &e.event)
		if err == nil {
			e.row, err = rowOf(&doc, &e.event)
		}
		switch {
		case fault.IsPermanent(err):
			dead = append(dead, failed{e, err})
			continue
		case err != nil:
			return nil, nil, err
		}
		e.quarantineID = stream.ReadReplay(rec).QuarantineID
		entries = append(entries, e)
	}
	return entries, dead, nil
}

// split gives the parts of several partitions by partition, and else the halves.
func split(part []entry) [][]entry {
	var parts [][]entry
	at := map[int32]int{}
	for _, e := range part {
		i, known := at[e.rec.Partition]
		if !known {
			i = len(parts)
			at[e.rec.Partition] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], e)
	}
	if len(parts) == 1 {
		return [][]entry{part[:len(part)/2], part[len(part)/2:]}
	}
	return parts
}

// upsert writes the entries in one transaction, and with them takes off those that
// were erased while they were on their way, corrects those
// whose link was undone while they were on their way, finds those that contradict
// what is stored, and resolves the quarantine's records that the others were
// released from.
func (s *Sink) upsert(ctx context.Context, part []entry) (postgres.Result, []conflict, error) {
	rows := make([]postgres.Row, len(part))
	var arrivals []quarantine.Arrival
	for i := range part {
		e := &part[i]
		rows[i] = e.row
		if e.quarantineID != 0 {
			arrivals = append(arrivals, quarantine.Arrival{
				Row: i, ID: e.quarantineID, Source: e.event.Source, SourceEventID: e.event.SourceEventID, SHA256: sha256.Sum256(e.event.Payload),
			})
		}
	}
	var conflicts []conflict
	passed := map[string]int64{}
	result, err := s.writer.Upsert(ctx, rows, s.erased(part, passed), s.mover.AfterUpsert(rows), s.resolve(rows, arrivals, &conflicts), countErased(passed))
	if err == nil {
		for _, n := range passed {
			s.metrics.erased.Add(float64(n))
		}
	}
	return result, conflicts, err
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
			_, span := s.deps.Runtime.Tracer.Start(parent, "upsert", trace.WithSpanKind(trace.SpanKindConsumer),
				trace.WithTimestamp(entries[i].rec.Timestamp))
			span.End()
		}
	}
}
