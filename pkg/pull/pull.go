package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Options say what Run pulls, and with what.
type Options struct {
	Source source.Pager
	API    source.Doer // with the key, and the bounds of the source (pkg/pull/egress)
	// Publish returns once the records cannot be lost (Publisher.Publish). nil: a dry
	// run, which reads and counts and keeps nothing.
	Publish func(ctx context.Context, records []source.Record) error
	// Store keeps the checkpoint; nil on a dry run.
	Store *Store
	// Stream is one of the source's; "": its first.
	Stream string
	// Mode is source.ModeBackfill ("" too) or source.ModePoll.
	Mode source.Mode
	// Tenant is the vendor account where events do not name it
	// (settings.SourceSetting.Tenant); the receiver has the same.
	Tenant string
	// Types are the vendor's own; none: all. Anyway asks for those, too, that the vendor did not have when this version was made.
	Types  []string
	Anyway bool
	// From and To bound when events happened, by the vendor's clock; To is not
	// included. A zero From is as far back as the vendor keeps them; a zero To is now.
	From, To time.Time
	// Restart does not go on from where an earlier run of the same period stopped.
	Restart bool
	// By is who started it: "kim", "cron".
	By string
	// Request is the number of the Request that it serves; 0: none.
	Request int64
	// Patience is how long a vendor or the brokers may be away at a time, and the
	// longest pause that a vendor may ask for; 0: half an hour.
	Patience time.Duration
	// Pauses are those between tries, where the vendor asks for none; the zero value:
	// half a second at first, half a minute at most.
	Pauses retry.Policy
	// Budget is what API takes its turns from, if from any: who waits notices there that
	// a pause was lifted, and tells of it (Budget.Waits).
	Budget *Budget
	// Doing says what is done to get a page, for errors and the log; "": "asking Stripe".
	Doing string
	// MostPages bounds the pages of one window; 0: 100,000.
	MostPages int
	// BatchEvents is how many events at least make a full batch, where bytes and time
	// do not end it before; 0: 5,000.
	BatchEvents int
	// Progress, if set, hears of each batch of pages when its checkpoint is kept.
	Progress func(Progress)
	// Log gets a line when trouble begins and ends. nil: none.
	Log *zap.Logger
}

const (
	defaultPatience = 30 * time.Minute
	defaultPages    = 100_000
	statusDone      = "done"
	statusFailed    = "failed"
	statusStopped   = "interrupted"
	// endTimeout bounds what is written after ctx has ended.
	endTimeout = 5 * time.Second
	// endsEarly is how much later than now the end of a period may be, which is in
	// whole seconds.
	endsEarly = 2 * time.Second
	// wholePeriod is longer than any: a stream without windows is one.
	wholePeriod = 200 * 365 * 24 * time.Hour
)

// Progress is how far a run is.
type Progress struct {
	Counts
	// From, To and Through: of the period From to To, all before Through is
	// published.
	From, To, Through time.Time
	// Took is how long the run has worked.
	Took time.Duration
}

// Rate is how many events a second the run has brought.
func (p Progress) Rate() float64 { return rateOf(p.Events, p.Took) }

// Report is what Run has done.
type Report struct {
	Progress
	// Checkpoint and Run number it (`throughline pulls`); 0 on a dry run.
	Checkpoint, Run int64
	// Resumed: it went on from where an earlier run stopped.
	Resumed bool
	// KeptSince: the vendor promises events since then only, which is after From: what
	// happened between may be missing. Zero: it promises all.
	KeptSince time.Time
	// Gaps are the first of what the vendor says that there is and does not give, and
	// GapCount is how many there are.
	Gaps     []source.Gap
	GapCount int
}

// Run pulls a period and returns when all of it is in the raw topic. The same
// options again go on from where a run ended that did not finish.
//
// An error is Permanent where trying again does not help before somebody has done
// something (a key that has expired, a vendor that lies, options that make no sense,
// another process that goes on with the same pull), and Transient where it may: a
// vendor or brokers that were away for longer than Patience. The report says how far
// it came in any case. When ctx ends, Run ends within seconds, with ctx's error.
func Run(ctx context.Context, o Options) (Report, error) {
	l, keptSince, err := prepare(o)
	if err != nil {
		return Report{}, err
	}
	report := Report{KeptSince: keptSince}
	b := started{period: l.period, at: firstWindow(l.period, l.stream.Window)}
	if l.o.Store != nil {
		if b, err = l.o.Store.begin(ctx, l.period, l.stream.Window, Late(l.stream)+endsEarly, keptSince, o); err != nil {
			return Report{}, err
		}
	}
	report.Checkpoint, report.Run, report.Resumed = b.checkpoint, b.run, b.resumed
	l.start(b)
	err = l.run(ctx)
	if l.o.Store != nil {
		err = errors.Join(err, l.finish(ctx, err))
	}
	report.Progress, report.Gaps, report.GapCount = l.progress(), l.gaps, l.gapCount
	return report, err
}

// prepare checks the options and fills in what they leave out.
func prepare(o Options) (*loop, time.Time, error) {
	now := time.Now()
	o.Mode, o.Patience, o.MostPages = cmp.Or(o.Mode, source.ModeBackfill), cmp.Or(o.Patience, defaultPatience), cmp.Or(o.MostPages, defaultPages)
	o.BatchEvents, o.Doing = cmp.Or(o.BatchEvents, batchEvents), cmp.Or(o.Doing, "asking "+o.Source.Profile().Title)
	o.Pauses = cmp.Or(o.Pauses, retry.Policy{First: 500 * time.Millisecond, Most: 30 * time.Second})
	streams := o.Source.Streams()
	at := slices.IndexFunc(streams, func(s source.Stream) bool { return s.Name == o.Stream || o.Stream == "" })
	if at < 0 {
		return nil, time.Time{}, wrong("%s has no stream %q", o.Source.Name(), o.Stream)
	}
	s := streams[at]
	if s.Window <= 0 {
		s.Window = wholePeriod
	}
	if o.Publish == nil {
		o.Store = nil
	}
	var promised time.Time
	if s.Keeps > 0 {
		promised = now.Add(-s.Keeps)
	}
	if o.From.IsZero() && s.Keeps > 0 {
		o.From = promised
	}
	if o.To.IsZero() || o.To.After(now) {
		o.To = now.Add(time.Second) // this second's too, as far as it is told
	}
	from, to := o.From.UTC().Truncate(time.Second), o.To.UTC().Truncate(time.Second)
	switch {
	case o.From.IsZero():
		return nil, time.Time{}, wrong("say since when: %s keeps events without end", o.Source.Profile().Title)
	case !from.Before(to):
		return nil, time.Time{}, wrong("the period ends at %s, which is not after its beginning, %s", to.Format(time.RFC3339), from.Format(time.RFC3339))
	case s.MostTypes == 0 && len(o.Types) > 0:
		return nil, time.Time{}, wrong("%s cannot be asked for some types only", o.Source.Profile().Title)
	case len(o.Types) > s.MostTypes && s.MostTypes > 0:
		return nil, time.Time{}, wrong("%s can be asked for %d types at a time, not %d", o.Source.Profile().Title, s.MostTypes, len(o.Types))
	}
	if err := checkTypes(o.Source, s.Name, o.Types, o.Anyway); err != nil {
		return nil, time.Time{}, err
	}
	types := slices.Compact(slices.Sorted(slices.Values(o.Types)))
	l := &loop{o: o, stream: s, began: now, period: Period{
		Source: o.Source.Name(), Tenant: o.Tenant, Stream: s.Name, Mode: o.Mode, Types: types, From: from, To: to,
	}}
	l.asking.Log, l.taking.Log = o.Log, o.Log
	if o.Publish != nil {
		l.publish = func(ctx context.Context, b batch) error { return o.Publish(ctx, b.records) }
	}
	if from.Before(promised.Truncate(time.Second)) {
		return l, promised.UTC().Truncate(time.Second), nil
	}
	return l, time.Time{}, nil
}

// checkTypes refuses what the source's API cannot be asked for and, unless anyway, types that nobody here knows: of those
// nothing would come, which looks as if there were no such events.
func checkTypes(pager source.Pager, stream string, types []string, anyway bool) error {
	checker, ok := pager.(source.TypeChecker)
	if !ok {
		return nil
	}
	for _, t := range types {
		err := checker.CheckType(stream, t)
		var unknown *source.UnknownTypeError
		if err != nil && (!anyway || !errors.As(err, &unknown)) {
			return fault.Permanent(fault.Malformed, err)
		}
	}
	return nil
}

// finish keeps how the run ended, also where ctx has.
func (l *loop) finish(ctx context.Context, err error) error {
	status, why := statusDone, ""
	switch {
	case err == nil:
	case ctx.Err() != nil, errors.Is(err, errTaken):
		status = statusStopped
	default:
		status, why = statusFailed, err.Error()
	}
	if errors.Is(err, errTaken) {
		return nil // the other has said so
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	return l.o.Store.end(ctx, l.begun, status, l.counts, why)
}

func firstWindow(p Period, window time.Duration) position {
	return position{WindowFrom: p.From, WindowTo: earlier(p.From.Add(window), p.To)}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func wrong(format string, args ...any) error {
	return fault.Permanent(fault.Malformed, fmt.Errorf(format, args...))
}
