package resolve

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Ahead is a Resolve of which the first query, for the epoch of all links and accounts, runs beside what its caller
// does meanwhile. A link that was committed before Ahead was called counts.
type Ahead struct {
	resolver *Resolver
	done     chan struct{} // closed once the two below are set
	now      moment
	err      error
}

// Ahead begins. The caller must call Resolve on what it gives, once, which waits for the query; ctx bounds it. Only a
// Resolver with a cache has it.
func (r *Resolver) Ahead(ctx context.Context) *Ahead {
	a := &Ahead{resolver: r, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.now, a.err = postgres.Bound(ctx, postgres.BatchTimeout, func(ctx context.Context) (moment, error) { return currentMoment(ctx, r.pool) })
	}()
	return a
}

// Resolve is Resolver.Resolve. What the cache knows costs no query but the one that has begun. Of what it does not
// know, the most telling reference of each event is asked for first, because one that is linked decides: the others,
// often of an event's own and never linked, cost a query only for the events that are left. When links or accounts
// change meanwhile, everything is asked for again in one query, as one snapshot answers it.
func (a *Ahead) Resolve(ctx context.Context, batch [][]source.Reference) ([]Resolution, error) {
	<-a.done
	verdicts := make([]*verdict, count(batch))
	if len(verdicts) == 0 { // needs nothing of the database, which may be away
		return decide(batch, verdicts), nil
	}
	if a.err != nil {
		return nil, postgres.Classify(fmt.Errorf("resolving a batch of %d events: reading the epoch of the links: %w", len(batch), a.err))
	}
	if a.now.epoch != (uuid.UUID{}) {
		a.resolver.cache.look(a.now.epoch, a.now.mentions, batch, verdicts)
		same, err := a.inSteps(ctx, batch, verdicts)
		if err != nil {
			return nil, err
		}
		if same {
			return decide(batch, verdicts), nil
		}
		clear(verdicts)
	}
	if _, err := a.ask(ctx, batch, verdicts, allUnknown); err != nil {
		return nil, err
	}
	return decide(batch, verdicts), nil
}

// Mentions reports, after Resolve, whether events that only mention what is erased are erased, too: whether their texts
// have to be looked at (Addresses, Suppressed). What is erased after that is for whoever stores the events.
func (a *Ahead) Mentions() bool {
	<-a.done
	return a.now.mentions
}

// inSteps asks for what is unknown, and reports whether all answers are of a's epoch.
func (a *Ahead) inSteps(ctx context.Context, batch [][]source.Reference, verdicts []*verdict) (same bool, err error) {
	steps := []extent{firstUnknown, allUnknown}
	if a.now.mentions { // each reference matters
		steps = []extent{everyUnknown}
	}
	for _, which := range steps {
		found, err := a.ask(ctx, batch, verdicts, which)
		if err != nil || found == nil {
			return true, err
		}
		if found.epoch != a.now.epoch {
			return false, nil
		}
	}
	return true, nil
}

// ask is the resolver's, for the cache too.
func (a *Ahead) ask(ctx context.Context, batch [][]source.Reference, verdicts []*verdict, which extent) (*answers, error) {
	found, err := a.resolver.ask(ctx, a.resolver.pool, batch, verdicts, which)
	if err == nil && found != nil {
		a.resolver.cache.keep(found)
	}
	return found, err
}
