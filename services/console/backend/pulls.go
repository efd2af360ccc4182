package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
)

// PullRequests is Reader's.
func (b *Service) PullRequests(ctx context.Context, sourceName string, open bool, p Paging) (Page[api.PullRequest], error) {
	if err := texts("source", sourceName); err != nil {
		return Page[api.PullRequest]{}, err
	}
	if err := b.knownFilters(ctx, sourceName, ""); err != nil {
		return Page[api.PullRequest]{}, err
	}
	var list []pull.Request
	limit, next, err := b.newestFirst(ctx, p, func(tx pgx.Tx, before int64, limit int) (err error) {
		list, err = b.pulls.In(tx).Requests(ctx, pull.RequestFilter{Source: sourceName, Open: open, Before: before, Limit: limit})
		return err
	}, func(i int) int64 { return list[i].ID }, func() int { return len(list) }, "pull requests", fmt.Sprint(sourceName, open))
	if err != nil {
		return Page[api.PullRequest]{}, err
	}
	return page(list[:min(limit, len(list))], next, api.NewPullRequest), nil
}

// StartPull is Decider's.
func (b *Service) StartPull(ctx context.Context, n NewPull) (api.PullRequest, error) {
	target := ""
	if texts("source", n.Source, "stream", n.Stream) == nil {
		target = strings.TrimSpace(n.Source + " " + n.Stream)
	}
	return act(ctx, b, deed{role: access.Operator, action: "startPull", target: target, dryRun: n.DryRun}, func(ctx context.Context, by access.Actor) (api.PullRequest, error) {
		if err := texts("source", n.Source, "stream", n.Stream, "types", strings.Join(n.Types, ","), "idempotency_key", n.Key); err != nil {
			return api.PullRequest{}, err
		}
		pager, err := b.pager(n)
		if err != nil {
			return api.PullRequest{}, err
		}
		if n.Since.After(time.Now()) {
			return api.PullRequest{}, malformed("since", "since lies in the future")
		}
		if !n.Since.IsZero() && n.Since.Before(pull.Earliest()) {
			return api.PullRequest{}, malformed("since", "no vendor has events from before %s", pull.Earliest().Format(time.DateOnly))
		}
		if n.Until.After(time.Now().Add(time.Minute)) {
			return api.PullRequest{}, malformed("until", "until lies in the future: leave it out to bring in what there is until now")
		}
		if !n.Until.IsZero() && !n.Since.Before(n.Until) {
			return api.PullRequest{}, malformed("until", "until is not after since")
		}
		r, err := b.pulls.Ask(ctx, pull.Ask{Source: pager, Stream: n.Stream, Types: n.Types, Anyway: n.Anyway, Since: n.Since, Until: n.Until, DryRun: n.DryRun, By: by.Who, Key: n.Key,
			KeySetting: settings.SourceVariable(n.Source, "API_KEY")})
		var unknown *source.UnknownTypeError
		if errors.As(err, &unknown) {
			err = fault.Permanent(fault.Malformed, fmt.Errorf("%w: with \"anyway\": true it is asked for all the same", err))
		}
		return api.NewPullRequest(r), fieldOf("types", err)
	})
}

// pager gives the source that a backfill is asked of.
func (b *Service) pager(n NewPull) (source.Pager, error) {
	var can []string
	for _, src := range b.o.Sources.Sources() {
		pager, ok := src.(source.Pager)
		if !ok {
			continue
		}
		if src.Name() != n.Source {
			can = append(can, src.Name())
			continue
		}
		var streams []string
		for _, s := range pager.Streams() {
			streams = append(streams, s.Name)
		}
		switch {
		case n.Stream != "" && !slices.Contains(streams, n.Stream):
			return nil, malformed("stream", "the source has no stream of that name: it has %s", strings.Join(streams, ", "))
		case n.Since.IsZero():
			return nil, malformed("since", "say since when")
		}
		return pager, nil
	}
	return nil, malformed("source", "no source of that name has an API that can be asked for past events: those are %s", strings.Join(can, ", "))
}

// CancelPull is Decider's.
func (b *Service) CancelPull(ctx context.Context, id int64) (api.PullRequest, error) {
	return act(ctx, b, deed{role: access.Operator, action: "cancelPull", target: fmt.Sprint(id)}, func(ctx context.Context, by access.Actor) (api.PullRequest, error) {
		r, err := b.pulls.Cancel(ctx, id, by.Who)
		return api.NewPullRequest(r), err
	})
}

// Pulls is Reader's.
func (b *Service) Pulls(ctx context.Context, sourceName string, p Paging) (Page[api.Pull], error) {
	if err := texts("source", sourceName); err != nil {
		return Page[api.Pull]{}, err
	}
	if err := b.knownFilters(ctx, sourceName, ""); err != nil {
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
