package webtest

import (
	"context"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/pattern"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// Pattern reads the pattern, and finds the same whatever it says.
func (f *Fake) Pattern(ctx context.Context, text string, _ time.Time, _ int) (api.PatternAnswer, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return api.PatternAnswer{}, err
	}
	defer f.mu.Unlock()
	p, err := pattern.Parse(text)
	if err != nil {
		return api.PatternAnswer{}, problem.Field("pattern", err)
	}
	a := api.PatternAnswer{Pattern: p.String(), Words: p.Explained(), Months: []api.PatternMonth{}}
	at := f.now()
	steps := func(days ...int) (list []api.PatternStep) {
		for i, d := range days {
			list = append(list, api.PatternStep{Step: i + 1, EventID: int64(1001 + i), Source: "stripe", EventType: []string{"charge.dispute.created", "subscription.deleted"}[i], OccurredAt: at.AddDate(0, 0, -d)})
		}
		return list
	}
	if !p.Now() {
		a.Complete = &api.PatternMatches{Pattern: a.Pattern, Accounts: 214, Items: []api.PatternMatch{
			{AccountID: Hostile, AccountName: HostileTexts[0], Matches: 1, ReachedAt: at.AddDate(0, 0, -9), Steps: steps(70, 9)},
			{AccountID: Quiet, AccountName: "Quiet Quarry", Matches: 3, ReachedAt: at.AddDate(0, 0, -40), Steps: steps(120, 40)},
		}}
		for i, n := range []int64{2, 5, 0, 3, 11, 7, 4, 0, 1, 2, 6, 3} {
			if n > 0 {
				a.Months = append(a.Months, api.PatternMonth{Month: at.AddDate(0, 0, 1-at.Day()).AddDate(0, -i, 0).Format("2006-01"), Matches: n, Accounts: max(1, n-1)})
			}
		}
	}
	if begun, err := p.Begun(); err == nil {
		a.Open = &api.PatternMatches{Pattern: begun.String(), Accounts: 2, Items: []api.PatternMatch{
			{AccountID: Acme, AccountName: "Acme Robotics", Matches: 1, ReachedAt: at.AddDate(0, 0, -35), OpenUntil: at.AddDate(0, 0, 55), Steps: steps(65)},
			{AccountID: Many, AccountName: "Ten to the Fifth GmbH", Matches: 2, ReachedAt: at.AddDate(0, 0, -2), Steps: steps(32)},
		}}
	}
	return a, nil
}

// Domains lists domains.
func (f *Fake) Domains(ctx context.Context, _ int) ([]api.SuspectDomain, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	return append([]api.SuspectDomain{}, f.domains...), nil
}

// DecideDomain decides about a domain that is there.
func (f *Fake) DecideDomain(ctx context.Context, domain, decision, reason string) (api.SuspectDomain, error) {
	if err := f.decide(ctx, "decideDomain", domain, access.Operator); err != nil {
		return api.SuspectDomain{}, err
	}
	defer f.mu.Unlock()
	for i := range f.domains {
		if d := &f.domains[i]; d.Domain == domain {
			d.Decision, d.DecidedBy, d.Reason = decision, access.ActorOf(ctx).Who, reason
			f.did(ctx, "decideDomain", domain, reason, false)
			return *d, nil
		}
	}
	return api.SuspectDomain{}, notFound("domain " + domain)
}
