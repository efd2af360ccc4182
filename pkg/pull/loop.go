package pull

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/source"
)

// loop is one Run.
type loop struct {
	o      Options
	stream source.Stream
	period Period
	began  time.Time
	asking retry.Told
	taking retry.Told
	// publish returns once a batch cannot be lost; nil: a dry run. It may be called
	// again with the same batch after a Transient error.
	publish func(context.Context, batch) error
	// identities: batches say which events they hold.
	identities bool

	begun  started
	at     position // what is published lies before it
	counts Counts
	// gaps are the first of what the vendor does not give, of gapCount.
	gaps     []source.Gap
	gapCount int
}

// mostGaps bounds what a run remembers of gaps.
const mostGaps = 100

func (l *loop) start(b started) { l.begun, l.period, l.at = b, b.period, b.at }

func (l *loop) progress() Progress {
	return Progress{Counts: l.counts, From: l.period.From, To: l.period.To, Through: l.at.WindowFrom, Took: time.Since(l.began)}
}

// run takes batches as they come: while one is published the next is collected.
func (l *loop) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	pages, batches := make(chan fetched), make(chan batch)
	var working sync.WaitGroup
	defer func() { cancel(); working.Wait() }()
	working.Go(func() { defer close(pages); l.fetch(ctx, pages) })
	working.Go(func() { defer close(batches); collect(ctx, pages, batches, l.o.BatchEvents) })
	for b := range batches {
		if b.counts.Pages > 0 {
			if err := l.take(ctx, b); err != nil {
				return err
			}
		}
		if b.err != nil {
			return b.err
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", l.o.Doing, context.Cause(ctx))
	}
	return nil
}

// take publishes a batch, and keeps the checkpoint after it.
func (l *loop) take(ctx context.Context, b batch) error {
	if l.publish != nil && len(b.records)+int(b.counts.NotGiven) > 0 {
		if err := l.patiently(ctx, &l.taking, "publishing events", func() error { return l.publish(ctx, b) }); err != nil {
			return err
		}
	}
	counts := l.counts.with(b.counts)
	if l.o.Store != nil {
		if err := l.patiently(ctx, &l.taking, "keeping the checkpoint", func() error { return l.o.Store.advance(ctx, l.begun, b.at, counts) }); err != nil {
			return err
		}
	}
	l.counts, l.at = counts, b.at
	l.gaps = append(l.gaps, b.gaps[:min(len(b.gaps), mostGaps-len(l.gaps))]...)
	l.gapCount += len(b.gaps)
	if l.o.Progress != nil {
		l.o.Progress(l.progress())
	}
	return nil
}

// page asks for one page until it comes, or there is no sense in asking again.
func (l *loop) page(ctx context.Context, at position, s *sentry) (page source.APIPage, err error) {
	q := source.Query{Stream: l.stream.Name, From: at.WindowFrom, To: at.WindowTo, Types: l.period.Types, Cursor: at.Cursor}
	err = l.patiently(ctx, &l.asking, l.o.Doing, func() error {
		if page, err = l.o.Source.Page(ctx, l.o.API, q); err != nil {
			return err
		}
		return s.check(q, page, l.o.MostPages)
	})
	if err == nil {
		s.pass(page)
	}
	return page, err
}

// lies is how often in a row an answer may be none that the API gives.
const lies = 5

// patiently does work until it succeeds, a failure is Permanent, a vendor lies again
// and again, or patience is at its end.
func (l *loop) patiently(ctx context.Context, told *retry.Told, doing string, work func() error) error {
	pauses := l.o.Pauses.BackOff()
	began, lied := time.Now(), 0
	for {
		err := work()
		switch {
		case err == nil:
			told.Succeeded(doing)
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
		case fault.IsPermanent(err):
			return fmt.Errorf("%s: %w", doing, err)
		}
		if fault.ReasonOf(err) == fault.Malformed {
			if lied++; lied == lies {
				return fault.Permanent(fault.Malformed, fmt.Errorf("%s: %w (%d times in a row)", doing, err, lies))
			}
		} else {
			lied = 0
		}
		pause := pauses.NextBackOff()
		if asked := source.After(err); asked > l.o.Patience {
			return fault.Transient(fault.Unavailable, fmt.Errorf("%s: %w: it wants to be asked again in %s", doing, err, asked))
		} else if asked > 0 {
			pause = asked
		}
		if time.Since(began)+pause > l.o.Patience {
			return fault.Transient(fault.Unavailable, fmt.Errorf("%s: %w: given up after %s", doing, err, l.o.Patience))
		}
		told.Failed(doing, err, pause)
		if waited := l.wait(ctx, pause, err); waited != nil {
			return fmt.Errorf("%s: %w", doing, waited)
		}
	}
}

// wait waits so long, or less where cause is a vendor's pause that somebody lifts.
func (l *loop) wait(ctx context.Context, long time.Duration, cause error) error {
	if l.o.Budget != nil && source.After(cause) > 0 {
		return l.o.Budget.Rest(ctx, long, cause)
	}
	return pause(ctx, long)
}

// records makes the raw records of a page, as the receiver makes those of a delivery.
// What cannot be described has no key; the normalizer says why.
func (l *loop) records(page source.APIPage) fetched {
	now := time.Now()
	f := fetched{records: make([]source.Record, len(page.Parts)), gaps: page.Gaps, counts: Counts{Pages: 1, Events: int64(len(page.Parts))}}
	if l.identities {
		f.events = make([]identity, len(page.Parts))
	}
	for _, gap := range page.Gaps {
		f.counts.NotGiven += int64(max(1, gap.Missing))
	}
	for i, part := range page.Parts {
		r := source.Record{Value: part.Value, Object: part.Object, Tenant: part.Tenant, Mode: l.o.Mode, ReceivedAt: now}
		if r.Tenant == "" {
			r.Tenant = l.period.Tenant
		}
		keyed, event, err := source.Keyed(l.o.Source, r)
		if err != nil {
			f.counts.Unread++
		} else {
			f.counts.see(event.OccurredAt)
		}
		keyed.Object = rawjson.Value{} // its index is larger than the event, and nobody asks it again
		f.records[i] = keyed
		f.bytes += len(part.Value)
		if l.identities {
			f.events[i] = identity{event.ID, event.Type, event.OccurredAt, err}
		}
	}
	return f
}

func (c *Counts) see(at time.Time) {
	if c.Oldest.IsZero() || at.Before(c.Oldest) {
		c.Oldest = at
	}
	if at.After(c.Newest) {
		c.Newest = at
	}
}

// with gives the sum.
func (c Counts) with(more Counts) Counts {
	c.Pages, c.Events, c.Unread, c.NotGiven = c.Pages+more.Pages, c.Events+more.Events, c.Unread+more.Unread, c.NotGiven+more.NotGiven
	for _, at := range []time.Time{more.Oldest, more.Newest} {
		if !at.IsZero() {
			c.see(at)
		}
	}
	return c
}
