package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pattern"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/services/console/problem"
)

const (
	// patternsAtOnce bounds how many patterns are looked for at a time: each may keep a core of the server busy.
	patternsAtOnce = 2
	// mostMonths bounds the months that are counted.
	mostMonths = 120
)

// Pattern is Reader's.
func (b *Service) Pattern(ctx context.Context, text string, since time.Time, limit int) (api.PatternAnswer, error) {
	var none api.PatternAnswer
	if err := access.ActorOf(ctx).Require(access.Viewer); err != nil {
		return none, err
	}
	limit, err := Paging{Limit: limit}.size()
	if err != nil {
		return none, err
	}
	p, err := pattern.Parse(text)
	if err != nil {
		return none, problem.Field("pattern", err)
	}
	select {
	case b.patterns <- struct{}{}:
		defer func() { <-b.patterns }()
	case <-ctx.Done():
		return none, fault.Transient(fault.Unavailable, errors.New("others look for patterns: try again in a moment"))
	}
	a := api.PatternAnswer{Pattern: p.String(), Words: p.Explained(), Months: []api.PatternMonth{}}
	q := pattern.Query{Now: time.Now(), Since: since, Limit: limit}
	each := b.o.StatementLimit * 2 / 3 // a request has time for two statements that take all of it
	find := func(p *pattern.Pattern) (*api.PatternMatches, error) {
		found, err := pattern.Find(ctx, b.o.Pool, each, p, q)
		return &found, slow(ctx, each, err)
	}
	if !p.Now() {
		if a.Complete, err = find(p); err != nil {
			return none, err
		}
		months := q
		months.Limit = mostMonths
		if a.Months, err = pattern.Months(ctx, b.o.Pool, each, p, months); err != nil {
			return none, slow(ctx, each, err)
		}
	}
	if begun, err := p.Begun(); err == nil {
		if a.Open, err = find(begun); err != nil {
			return none, err
		}
	}
	return a, nil
}

// slow tells who asks what to do about a pattern that took too long.
func slow(ctx context.Context, limit time.Duration, err error) error {
	if !postgres.TimedOut(err) || ctx.Err() != nil {
		return err
	}
	return problem.Shown(fault.Transient(fault.Unavailable, fmt.Errorf("the pattern meets too many events to be looked for in %s: ask about less time, or for event types without a wildcard; "+
		"throughline find --timeout 10m takes longer", limit.Round(100*time.Millisecond))))
}
