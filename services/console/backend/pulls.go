package backend

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/pull"
)

// Pulls is Reader's.
func (b *Service) Pulls(ctx context.Context, sourceName string, p Paging) (Page[api.Pull], error) {
	if err := texts("source", sourceName); err != nil {
		return Page[api.Pull]{}, err
	}
	var list []pull.Pull
	var paused []pull.Paused
	limit, next, err := b.newestFirst(ctx, p, func(tx pgx.Tx, before int64, limit int) (err error) {
		if paused, err = b.pulls.In(tx).Pauses(ctx, sourceName); err == nil {
			list, err = b.pulls.In(tx).List(ctx, pull.Filter{Source: sourceName, Before: before, Limit: limit})
		}
		return err
	}, func(i int) int64 { return list[i].ID }, func() int { return len(list) }, "pulls", sourceName)
	if err != nil {
		return Page[api.Pull]{}, err
	}
	return page(list[:min(limit, len(list))], next, func(p pull.Pull) api.Pull { return api.NewPull(p, paused) }), nil
}

// Gaps is Reader's.
func (b *Service) Gaps(ctx context.Context) ([]api.Gap, error) {
	gaps := []api.Gap{}
	err := b.reading(ctx, func(tx pgx.Tx) error {
		reports, err := b.pulls.In(tx).Reports(ctx, "")
		if err != nil {
			return err
		}
		unfinished, err := b.pulls.In(tx).Unfinished(ctx, "")
		if err != nil {
			return err
		}
		for _, r := range reports {
			report := api.NewReconciled(r)
			gaps = append(gaps, api.Gap{Source: r.Source, Tenant: r.Tenant, Stream: r.Stream, Report: &report})
		}
		for _, u := range unfinished {
			at := -1
			for i, g := range gaps {
				if g.Source == u.Source && g.Tenant == u.Tenant && g.Stream == u.Stream {
					at = i
				}
			}
			if at < 0 {
				at = len(gaps)
				gaps = append(gaps, api.Gap{Source: u.Source, Tenant: u.Tenant, Stream: u.Stream})
			}
			gaps[at].Unfinished = append(gaps[at].Unfinished, api.Unfinished{Checkpoint: u.Checkpoint, Mode: string(u.Mode), Through: u.Through, To: u.To, Status: u.Status, Error: u.Error})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return gaps, nil
}
