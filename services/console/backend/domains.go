package backend

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/learn"
)

// Domains is Reader's.
func (b *Service) Domains(ctx context.Context, limit int) ([]api.SuspectDomain, error) {
	limit, err := Paging{Limit: limit}.size()
	if err != nil {
		return nil, err
	}
	var list []learn.SuspectDomain
	err = b.reading(ctx, func(tx pgx.Tx) error {
		list, err = learn.NewSuspects(tx).List(ctx, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return api.NewSuspectDomains(list), nil
}

// DecideDomain is Decider's.
func (b *Service) DecideDomain(ctx context.Context, domain, decision, reason string) (api.SuspectDomain, error) {
	if err := texts("domain", domain, "decision", decision); err != nil {
		return api.SuspectDomain{}, err
	}
	return act(ctx, b, deed{role: access.Operator, action: "decideDomain", target: domain, why: reason}, func(ctx context.Context, by access.Actor) (api.SuspectDomain, error) {
		d, err := learn.NewSuspects(b.o.Pool).Decide(ctx, domain, decision, by.Who, reason)
		return api.NewSuspectDomain(d), fieldOf("domain", err)
	})
}
