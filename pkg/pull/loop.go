package pull

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
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

	begun  started
	at     position // what is published lies before it
	counts Counts
}

func (l *loop) start(b started) { l.begun, l.period, l.at = b, b.period, b.at }

func (l *loop) progress() Progress {
	return Progress{Counts: l.counts, From: l.period.From, To: l.period.To, Through: l.at.WindowFrom, Took: time.Since(l.began)}
}

// fetched is a page, made into records, and where the pull is once they are
// published; or why there is none.
type fetched struct {
	records []source.Record
	counts  Counts // of this page alone
	at      position
	err     error
}

// run takes pages as fetch brings them, one ahead.
func (l *loop) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	pages, done := make(chan fetched), make(chan struct{})
	defer func() { cancel(); <-done }()
	go func() {
		defer close(done)
		defer close(pages)
		l.fetch(ctx, l.at, pages)
	}()
	for page := range pages {
		if page.err != nil {
			return page.err
		}
		if err := l.take(ctx, page); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("pulling from %s: %w", l.o.Source.Profile().Title, context.Cause(ctx))
	}
	return nil
}

// take publishes a page, and keeps the checkpoint after it.
func (l *loop) take(ctx context.Context, page fetched) error {
	if l.o.Publish != nil && len(page.records) > 0 {
		if err := l.patiently(ctx, &l.taking, "publishing a page", func() error { return l.o.Publish(ctx, page.records) }); err != nil {
			return err
		}
	}
	counts := l.counts.with(page.counts)
	if l.o.Store != nil {
		if err := l.patiently(ctx, &l.taking, "keeping the checkpoint", func() error { return l.o.Store.advance(ctx, l.begun, page.at, counts) }); err != nil {
			return err
		}
	}
	l.counts, l.at = counts, page.at
	if l.o.Progress != nil {
		l.o.Progress(l.progress())
	}
	return nil
}

// fetch sends all pages from here to the period's end, or until one cannot be had.
func (l *loop) fetch(ctx context.Context, at position, pages chan<- fetched) {
	send := func(f fetched) bool {
		select {
		case pages <- f:
			return f.err == nil
		case <-ctx.Done():
			return false
		}
	}
	for at.WindowFrom.Before(l.period.To) {
		var seen sentry
		restarted := false
		for window := true; window; {
			page, err := l.page(ctx, at, &seen)
			if errors.Is(err, source.ErrCursorGone) && at.Cursor != nil && !restarted {
				// The pull stood still for longer than the vendor keeps the event: the
				// window comes again, and the timeline knows what of it is there.
				at.Cursor, seen, restarted = nil, sentry{}, true
				continue
			}
			if err != nil {
				send(fetched{err: err})
				return
			}
			if page.Next != nil {
				at.Cursor = page.Next
			} else {
				window = false
				at = position{WindowFrom: at.WindowTo, WindowTo: earlier(at.WindowTo.Add(l.stream.Window), l.period.To)}
			}
			f := l.records(page)
			f.at = at
			if !send(f) {
				return
			}
		}
	}
}

// page asks for one page until it comes, or there is no sense in asking again.
func (l *loop) page(ctx context.Context, at position, s *sentry) (page source.APIPage, err error) {
	q := source.Query{Stream: l.stream.Name, From: at.WindowFrom, To: at.WindowTo, Types: l.period.Types, Cursor: at.Cursor}
	err = l.patiently(ctx, &l.asking, "asking "+l.o.Source.Profile().Title, func() error {
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
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
		}
	}
}

// records makes the raw records of a page, as the receiver makes those of a delivery.
// What cannot be described has no key; the normalizer says why.
func (l *loop) records(page source.APIPage) fetched {
	now := time.Now()
	f := fetched{records: make([]source.Record, len(page.Parts)), counts: Counts{Pages: 1, Events: int64(len(page.Parts))}}
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
		f.records[i] = keyed
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
	c.Pages, c.Events, c.Unread = c.Pages+more.Pages, c.Events+more.Events, c.Unread+more.Unread
	for _, at := range []time.Time{more.Oldest, more.Newest} {
		if !at.IsZero() {
			c.see(at)
		}
	}
	return c
}
