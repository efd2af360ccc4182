package sink

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// outcome is what became of a batch that went through.
type outcome struct {
	refused []failed        // by Postgres
	twice   []failed        // conflicts with what is stored
	counts  tally           // by partition
	open    map[int32]error // the partitions that are held: their breaker is open, or a row of theirs waits for a lock
}

// unprovenTries bounds the refusals of a batch of which nothing could be stored,
// and nothing else proves that the table takes rows at all.
const unprovenTries = 32

// storing is the work of writing one batch.
type storing struct {
	sink    *Sink
	outcome outcome
	proven  bool  // the table takes rows: what it refuses is those rows' own fault
	probed  bool  // the table was asked
	suspect error // the first refusal that may be all rows', where nothing is proven
	tries   int   // such refusals
}

// store writes entries. A batch that Postgres refuses, or that takes too long, is
// written a partition at a time, and those are halved until each guilty row
// stands alone. A partition is given up as soon as its breaker opens, because
// halving many bad rows takes long, and when a row of its waits for a lock. What
// is written before an error stays.
//
// Many refusals are as likely a row's (a trigger, row security) as the table's (a
// right that is missing). They are the row's when any row can be stored: one of
// the batch, or one that was stored before.
func (s *Sink) store(ctx context.Context, entries []entry) (outcome, error) {
	w := storing{sink: s, outcome: outcome{counts: tallyOf(entries), open: map[int32]error{}}}
	for len(entries) > 0 {
		part := entries[:min(s.size.now(), len(entries))]
		entries = entries[len(part):]
		if err := w.write(ctx, part); err != nil {
			return w.outcome, err
		}
	}
	if !w.proven && w.suspect != nil {
		return w.outcome, w.suspect
	}
	return w.outcome, nil
}

func (w *storing) write(ctx context.Context, part []entry) error {
	partition := part[0].rec.Partition
	if w.outcome.open[partition] != nil && sameWhole(part) {
		return nil
	}
	result, conflicts, err := w.sink.upsert(ctx, part)
	timedOut, suspect := postgres.TimedOut(err), postgres.Suspect(err)
	switch {
	case err == nil:
		w.proven = true
		w.sink.size.took(len(part))
		for _, c := range conflicts {
			w.outcome.twice = append(w.outcome.twice, failed{part[c.row], c.err})
		}
		w.sink.metrics.wrote(result, len(conflicts))
		return nil
	case !fault.IsPermanent(err) && !timedOut && !suspect:
		return err
	case (timedOut || suspect) && !w.prove(ctx):
		if w.tries++; timedOut || w.tries >= unprovenTries {
			return err
		}
		if w.suspect == nil {
			w.suspect = err
		}
	}
	if timedOut {
		w.sink.size.tooLong(len(part))
	}
	if len(part) > 1 {
		for _, smaller := range split(part) {
			if err := w.write(ctx, smaller); err != nil {
				return err
			}
		}
		return nil
	}
	if timedOut {
		w.outcome.open[partition] = err
		return nil
	}
	w.refuse(part[0], err)
	return nil
}

// refuse notes a row that stands alone.
func (w *storing) refuse(e entry, err error) {
	if !fault.IsPermanent(err) {
		err = fault.Permanent(fault.Unstorable, err)
	}
	partition := e.rec.Partition
	w.outcome.refused = append(w.outcome.refused, failed{e, err})
	w.outcome.counts.refuse(partition)
	if err := w.sink.breaker.check(partition, w.outcome.counts[partition], err); err != nil {
		w.outcome.open[partition] = err
	}
}

// prove reports whether the table is known to take rows. It asks once a batch.
func (w *storing) prove(ctx context.Context) bool {
	if !w.proven && !w.probed {
		w.probed = true
		w.proven = w.sink.writer.Probe(ctx) == nil
	}
	return w.proven
}

// sameWhole reports whether all of part is of one partition.
func sameWhole(part []entry) bool {
	return !slices.ContainsFunc(part, func(e entry) bool { return e.rec.Partition != part[0].rec.Partition })
}

// batchSize remembers how many rows Postgres lately could write in time, so that a
// batch which took too long is not tried whole again.
type batchSize struct {
	full int
	most atomic.Int64 // 0: full
	good atomic.Int64 // batches of this size in a row that did not take too long
}

// growAfter is how many batches prove that larger ones may be tried.
const growAfter = 8

func (b *batchSize) now() int {
	if most := int(b.most.Load()); most > 0 {
		return most
	}
	return b.full
}

// tooLong makes the next batches half as large as one that took too long.
func (b *batchSize) tooLong(rows int) {
	b.most.Store(int64(max(1, rows/2)))
	b.good.Store(0)
}

// took lets the next batches be twice as large, after some that were as large as
// they might be.
func (b *batchSize) took(rows int) {
	now := b.now()
	if now == b.full || rows < now || b.good.Add(1) < growAfter {
		return
	}
	b.good.Store(0)
	if twice := int64(2 * now); twice < int64(b.full) {
		b.most.Store(twice)
	} else {
		b.most.Store(0)
	}
}
