package puller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	// requestsEvery is how often it is looked for a request of a source, and whether the one that is worked on was cancelled.
	requestsEvery = time.Second
	// cancelPatience bounds how long a database that does not answer is taken for one that would not say "cancelled".
	cancelPatience = 5 * time.Second
)

// errCancelled is why the work on a request ends that somebody cancelled.
var errCancelled = errors.New("the request was cancelled")

// requests does what people ask of a source until ctx ends.
func (p *Puller) requests(ctx context.Context, v *vendor) error {
	for {
		r, err := p.store.Claim(ctx, v.pager.Name(), v.tenant)
		if err != nil {
			return err
		}
		if r.ID != 0 {
			err = p.request(ctx, v, r)
		} else {
			err = wait(ctx, requestsEvery)
		}
		if err != nil {
			return err
		}
	}
}

// served is how far a request is.
type served struct{ pages, events atomic.Int64 }

// request brings in what one asks for. An error, as one of the database, leaves it claimed, for whoever has the
// lease next; a vendor that fails ends it.
func (p *Puller) request(ctx context.Context, v *vendor, r pull.Request) error {
	log := p.deps.Runtime.Log.With(zap.String("source", r.Source), zap.Int64("request", r.ID))
	log.Info("bringing in what was asked for", zap.Time("since", r.Since), zap.Time("until", r.Until), zap.Bool("dry_run", r.DryRun))
	var at served
	if !r.DryRun { // which begins anew
		at.pages.Store(r.Pages)
		at.events.Store(r.Events)
	}
	working, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.watch(working, r.ID, &at, stop)
	}()
	notes, err := p.serve(working, v, r, &at)
	stop(nil)
	<-watched
	cancelled := errors.Is(context.Cause(working), errCancelled)
	state, reason := pull.Done, strings.Join(notes, "; ")
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case cancelled:
		log.Info("the request was cancelled")
	case pull.OfStore(err):
		return err // the vendor did nothing wrong: whoever has the database and the lease next goes on
	case err != nil:
		state, reason = pull.Failed, p.advised(v, err)
		log.Warn("what was asked for could not be brought in", zap.Error(err))
	default:
		log.Info("what was asked for is brought in", zap.Int64("events", at.events.Load()))
	}
	return p.store.EndRequest(ctx, r.ID, state, reason, at.pages.Load(), at.events.Load())
}

// watch keeps how far a request is, and stops the work on it when it was cancelled, until ctx ends.
func (p *Puller) watch(ctx context.Context, id int64, at *served, stop context.CancelCauseFunc) {
	for wait(ctx, requestsEvery) == nil {
		asking, cancel := context.WithTimeout(ctx, cancelPatience)
		claimed, err := p.store.Progressed(asking, id, at.pages.Load(), at.events.Load())
		cancel()
		if err == nil && !claimed {
			stop(errCancelled)
			return
		}
	}
}

// serve pulls the streams that are not brought in yet, and gives what a person should know of them.
func (p *Puller) serve(ctx context.Context, v *vendor, r pull.Request, at *served) (notes []string, err error) {
	brought, err := p.store.Brought(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	title := v.pager.Profile().Title
	var failed []error
	for _, s := range v.pager.Streams() {
		if r.Stream != "" && r.Stream != s.Name || slices.Contains(brought, s.Name) {
			continue
		}
		report, err := p.backfill(ctx, v, r, s, at)
		if !report.KeptSince.IsZero() {
			notes = append(notes, fmt.Sprintf("%s promises events since %s only: earlier ones may be missing", title, report.KeptSince.UTC().Format(time.RFC3339)))
		}
		if report.GapCount > 0 {
			notes = append(notes, fmt.Sprintf("the vendor does not give all of %d objects: %s", report.GapCount, report.Gaps[0].Why))
		}
		if err != nil {
			p.metrics.failed(v.pager.Name(), s.Name, source.ModeBackfill, err)
			failed = append(failed, fmt.Errorf("stream %s: %w", s.Name, err))
			if ctx.Err() != nil || pull.OfStore(err) || fault.ReasonOf(err) == fault.Unauthenticated {
				break // the others would fail as it did
			}
		}
	}
	return notes, errors.Join(failed...)
}

func (p *Puller) backfill(ctx context.Context, v *vendor, r pull.Request, s source.Stream, at *served) (pull.Report, error) {
	counted := p.metrics.counter(v.pager.Name(), s.Name, source.ModeBackfill)
	pages, events := at.pages.Load(), at.events.Load()
	o := pull.Options{ // types that nobody knows were insisted on, or Ask had refused them
		Source: v.pager, API: v.client, Stream: s.Name, Tenant: v.tenant, Types: r.Types, Anyway: true, From: r.Since, To: r.Until, By: r.AskedBy, Request: r.ID,
		Budget: v.budget, Log: p.deps.Runtime.Log, Progress: func(r pull.Progress) {
			counted(r.Pages, r.Events)
			at.pages.Store(pages + r.Pages)
			at.events.Store(events + r.Events)
		},
	}
	if !r.DryRun {
		o.Publish, o.Store = v.publisher.Publish, p.store
	}
	return pull.Run(ctx, o)
}

// advised gives why a request failed, and what to do.
func (p *Puller) advised(v *vendor, err error) string {
	if fault.ReasonOf(err) == fault.Unauthenticated {
		return err.Error() + ": check " + settings.SourceVariable(v.pager.Name(), "API_KEY") + " of the puller"
	}
	return err.Error()
}
