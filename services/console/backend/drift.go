package backend

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// Drift is Reader's.
func (b *Service) Drift(ctx context.Context, sourceName, status string, p Paging) (Page[api.Finding], error) {
	q := postgres.FindingQuery{Source: sourceName}
	switch state := postgres.FindingState(cmp.Or(status, string(postgres.FindingOpen))); state {
	case "all":
	case postgres.FindingOpen, postgres.FindingAcknowledged, postgres.FindingClosed:
		q.States = []postgres.FindingState{state}
	default:
		return Page[api.Finding]{}, malformed("status", "it should be open, acknowledged, closed or all")
	}
	if err := texts("source", sourceName); err != nil {
		return Page[api.Finding]{}, err
	}
	if err := b.knownFilters(ctx, sourceName, ""); err != nil {
		return Page[api.Finding]{}, err
	}
	var list []postgres.Finding
	limit, next, err := b.newestFirst(ctx, p, func(_ pgx.Tx, before int64, limit int) (err error) {
		ctx, cancel := context.WithTimeout(ctx, b.o.StatementLimit)
		defer cancel()
		q.Before, q.Limit = before, limit
		list, err = b.drift.Findings(ctx, q)
		return err
	}, func(i int) int64 { return list[i].ID }, func() int { return len(list) }, "drift", sourceName, status)
	if err != nil {
		return Page[api.Finding]{}, err
	}
	return page(list[:min(limit, len(list))], next, api.NewFinding), nil
}
