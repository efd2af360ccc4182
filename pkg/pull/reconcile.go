package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/source"
)

// ReconcileOptions say what Reconcile compares, and with what. Fields that Options
// has too are the same.
type ReconcileOptions struct {
	Source   source.Pager
	API      source.Doer
	Store    *Store
	Stream   string
	Tenant   string
	From, To time.Time // a zero To is now, less what may be on its way
	By       string
	Patience time.Duration
	Pauses   retry.Policy
	// Publish heals: it gets what is missing. nil: nothing is healed.
	Publish func(ctx context.Context, records []source.Record) error
	// Wait is how long it looks for what it has published before it is told as
	// missing still; 0: a minute.
	Wait time.Duration
	// Retention is how long the timeline keeps events: older ones are not looked for, and
	// not missing. 0: for ever.
	Retention time.Duration
	Budget    *Budget
	// Progress, if set, hears of each batch.
	Progress func(ReconcileReport)
	Log      *zap.Logger
}

// Why an event is missing still.
const (
	// MissingNotHealed: nobody asked to heal it.
	MissingNotHealed = "not_healed"
	// MissingNotArrived: it was published, and is neither on the timeline nor in
	// quarantine yet.
	MissingNotArrived = "not_arrived"
	// MissingNotGiven: the vendor says that there are such events, and does not give them.
	MissingNotGiven = "not_given"
	// MissingOversized: the raw topic does not take it.
	MissingOversized = "oversized"
)

const (
	// onItsWay is what the end of a comparison leaves out at least: events that the
	// services have not finished with are not missing.
	onItsWay = 2 * time.Minute
	// mostWaiting bounds the events that were published and are waited for.
	mostWaiting = 10_000
	// mostMissing bounds the events that a report names.
	mostMissing = 1_000
	defaultWait = time.Minute
)

// ReconcileReport is what a comparison has found.
type ReconcileReport struct {
	ID                     int64
	Source, Tenant, Stream string
	From, To               time.Time
	// Through is up to when it has been compared.
	Through time.Time
	// Status is running, done, failed or interrupted.
	Status string
	// Heals: what is missing is published.
	Heals bool
	Pages int64
	// Said are the vendor's events. Unread of them have no identity that could be
	// compared.
	Said, Unread int64
	// OnTimeline and InQuarantine are those of the rest that were here, Missing those
	// that were not, and Healed those of the missing that are by now. Beyond are older
	// than what the timeline keeps, are not here, and need not be.
	OnTimeline, InQuarantine, Missing, Healed, Beyond int64
	// Reasons say why events are missing still, by how many.
	Reasons map[string]int64
	// KeptSince is as in Report.
	KeptSince time.Time
	// RetainedSince is from when on the vendor was asked, where the timeline keeps no
	// events from before it; else zero.
	RetainedSince                 time.Time
	Error, StartedBy              string
	StartedAt, LookedAt, Finished time.Time
}

// StillMissing is how many events are not here.
func (r ReconcileReport) StillMissing() int64 { return r.Missing - r.Healed }

// Had is how many of the vendor's events were here.
func (r ReconcileReport) Had() int64 { return r.OnTimeline + r.InQuarantine }

// missed is an event that is not here.
type missed struct {
	identity
	reason string
}

// reconciler is one Reconcile.
type reconciler struct {
	o      ReconcileOptions
	loop   *loop
	report ReconcileReport
	// waiting were published, and may come.
	waiting map[string]missed
	left    []missed // those that are missing still, mostMissing at most
	late    bool     // they have not come in time before: it waits no more
}

// Reconcile asks a vendor for its events of a period, and compares them with the
// timeline and the quarantine by their identities, many at a time. It publishes what
// is missing, looks for it again, and keeps a report. What is published comes on the
// timeline once, however often. Errors are those of Run; the report says how far it
// came.
func Reconcile(ctx context.Context, o ReconcileOptions) (ReconcileReport, error) {
	o.Wait = cmp.Or(o.Wait, defaultWait)
	l, keptSince, err := prepare(Options{
		Source: o.Source, API: o.API, Stream: o.Stream, Mode: source.ModeBackfill, Tenant: o.Tenant, From: o.From, To: o.end(time.Now()),
		By: o.By, Patience: o.Patience, Pauses: o.Pauses, Budget: o.Budget, Log: o.Log,
	})
	if err != nil {
		return ReconcileReport{}, err
	}
	p := l.period
	var retained time.Time
	if o.Retention > 0 {
		retained = l.began.Add(-o.Retention).UTC().Truncate(time.Second)
		switch {
		case !p.To.After(retained):
			return ReconcileReport{}, wrong("all before %s is older than what the timeline keeps (%s): there is nothing to compare", p.To.Format(timeLayout), o.Retention)
		case !retained.After(p.From):
			retained = time.Time{}
		}
	}
	r := &reconciler{o: o, loop: l, waiting: map[string]missed{}, report: ReconcileReport{
		Source: p.Source, Tenant: p.Tenant, Stream: p.Stream, From: p.From, To: p.To, Through: p.From, Status: "running", Heals: o.Publish != nil,
		KeptSince: keptSince, RetainedSince: retained, StartedBy: o.By, Reasons: map[string]int64{},
	}}
	// Before it the vendor says nothing, or what it says is no longer kept here: what it does not say is not compared.
	l.period.From = later(p.From, later(keptSince, retained))
	if err := o.Store.beginReport(ctx, &r.report); err != nil {
		return r.report, err
	}
	l.identities, l.publish = true, r.take
	l.o.Progress = func(p Progress) {
		r.report.Pages, r.report.Said, r.report.Through = p.Pages, p.Events+p.NotGiven, p.Through
		if o.Progress != nil {
			o.Progress(r.report)
		}
	}
	l.start(started{period: l.period, at: firstWindow(l.period, l.stream.Window)})
	err = l.run(ctx)
	if err == nil {
		err = l.patiently(ctx, &l.taking, "looking for what was published", func() error { return r.lookAgain(ctx) })
	}
	return r.report, errors.Join(err, r.finish(ctx, err))
}

// CheckRetention refuses what --timeline-retention cannot be: so short that nothing
// would be left to compare.
func CheckRetention(d time.Duration) error {
	if d != 0 && d < 24*time.Hour {
		return fmt.Errorf("--timeline-retention is %s: it should be 24h or more, or 0 where events are kept for ever", d)
	}
	return nil
}

// end leaves out what may be on its way.
func (o ReconcileOptions) end(now time.Time) time.Time {
	late := onItsWay
	for _, s := range o.Source.Streams() {
		if s.Name == o.Stream || o.Stream == "" {
			late = max(late, Late(s))
			break
		}
	}
	if end := now.Add(-late); o.To.IsZero() || o.To.After(end) {
		return end
	}
	return o.To
}

// Late is how late the API of a stream may tell of an event.
func Late(s source.Stream) time.Duration { return cmp.Or(s.Late, time.Minute) }

// take compares a batch and publishes what is missing. It may be called again with
// the same batch, and counts it once.
func (r *reconciler) take(ctx context.Context, b batch) error {
	if len(r.waiting) >= mostWaiting {
		if err := r.lookAgain(ctx); err != nil {
			return err
		}
	}
	if err := r.o.Store.keepReport(ctx, r.report); err != nil { // of the batches before
		return err
	}
	ids := make([]string, 0, len(b.events))
	first := make(map[string]int, len(b.events)) // where an identity comes first
	var unread int64
	for i, e := range b.events {
		if e.id == "" {
			unread++
			continue
		}
		if _, twice := first[e.id]; !twice {
			first[e.id] = i
			ids = append(ids, e.id)
		}
	}
	timeline, waits, err := r.o.Store.have(ctx, r.report.Source, ids)
	if err != nil {
		return err
	}
	var lost []missed
	var records []source.Record
	var beyond int64
	var kept time.Time // after the look: what has been deleted by then was older at that time
	if r.o.Retention > 0 {
		kept = time.Now().Add(-r.o.Retention)
	}
	for _, id := range ids {
		_, waited := r.waiting[id]
		if waited || timeline[id] || waits[id] {
			continue
		}
		e := b.events[first[id]]
		if e.at.IsZero() {
			e.at = time.Now() // of what could not be read
		}
		if e.at.Before(kept) {
			beyond++
			continue
		}
		lost = append(lost, missed{e, MissingNotHealed})
		records = append(records, b.records[first[id]])
	}
	if r.o.Publish != nil && len(lost) > 0 {
		if err := r.heal(ctx, records, lost); err != nil {
			return err
		}
	}
	r.report.Unread += unread
	r.report.Beyond += beyond
	for id := range waits { // an event that waits may be on the timeline too, as a contradiction of what is there
		if !timeline[id] {
			r.report.InQuarantine++
		}
	}
	r.report.OnTimeline += int64(len(timeline))
	r.report.Missing += int64(len(lost)) + b.counts.NotGiven
	if b.counts.NotGiven > 0 {
		r.report.Reasons[MissingNotGiven] += b.counts.NotGiven
	}
	for _, m := range lost {
		if m.reason == MissingNotArrived {
			r.waiting[m.id] = m
		} else {
			r.leave(m)
		}
	}
	return nil
}

// heal publishes what is missing. One record that the topic does not take holds no
// other up.
func (r *reconciler) heal(ctx context.Context, records []source.Record, lost []missed) error {
	err := r.o.Publish(ctx, records)
	for i := range lost {
		if err != nil && fault.ReasonOf(err) != fault.Oversized {
			return err
		}
		lost[i].reason = MissingNotArrived
		if err == nil {
			continue
		}
		switch one := r.o.Publish(ctx, records[i:i+1]); {
		case one == nil:
		case fault.ReasonOf(one) == fault.Oversized:
			lost[i].reason = MissingOversized
		default:
			return one
		}
	}
	return nil
}

// leave notes an event as missing still.
func (r *reconciler) leave(m missed) {
	r.report.Reasons[m.reason]++
	if len(r.left) < mostMissing {
		r.left = append(r.left, m)
	}
}

// lookAgain waits for what was published, as long as anybody may wait.
func (r *reconciler) lookAgain(ctx context.Context) error {
	pauses := retry.Policy{First: 100 * time.Millisecond, Most: 5 * time.Second}.BackOff()
	for began := time.Now(); len(r.waiting) > 0; {
		timeline, waits, err := r.o.Store.have(ctx, r.report.Source, slices.Collect(maps.Keys(r.waiting)))
		if err != nil {
			return err
		}
		for _, here := range []map[string]bool{timeline, waits} {
			for id := range here {
				if _, ok := r.waiting[id]; ok {
					delete(r.waiting, id)
					r.report.Healed++
				}
			}
		}
		if r.late || time.Since(began) > r.o.Wait {
			break
		}
		if len(r.waiting) == 0 {
			return nil
		}
		timer := time.NewTimer(pauses.NextBackOff())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
	for _, m := range r.waiting {
		r.late = true
		r.leave(m)
	}
	clear(r.waiting)
	return nil
}

// finish keeps how it ended, also where ctx has.
func (r *reconciler) finish(ctx context.Context, err error) error {
	r.report.Status = statusDone
	switch {
	case err == nil:
	case ctx.Err() != nil:
		r.report.Status = statusStopped
	default:
		r.report.Status, r.report.Error = statusFailed, err.Error()
	}
	for _, m := range r.waiting { // of a run that ended before its time
		r.leave(m)
	}
	clear(r.waiting)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := r.o.Store.endReport(ctx, &r.report, r.left); err != nil {
		return fmt.Errorf("keeping the report: %w", err)
	}
	return nil
}
