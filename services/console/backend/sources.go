package backend

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/alert"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/pull"
)

// sourcesFor is how long the state of the sources is given again.
const sourcesFor = 5 * time.Second

// Sources is Reader's. What it gives is at most some seconds old.
func (b *Service) Sources(ctx context.Context) ([]api.SourceState, error) {
	var states []api.SourceState
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		states, err = b.sourceStates(ctx, tx)
		return err
	})
	return states, err
}

func (b *Service) sourceStates(ctx context.Context, tx pgx.Tx) ([]api.SourceState, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if now.Before(b.sources.until) {
		return slices.Clone(b.sources.value), nil
	}
	activity, err := b.activity.Look(ctx, tx, now)
	if err != nil {
		return nil, err
	}
	names := b.o.Sources.Names()
	for name := range activity {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	open, err := b.quarantine.In(tx).Open(ctx, names)
	if err != nil {
		return nil, err
	}
	reports, err := b.pulls.In(tx).Reports(ctx, "")
	if err != nil {
		return nil, err
	}
	learning, err := learn.Status(ctx, tx)
	if err != nil {
		return nil, err
	}
	var rejected map[string]map[string]int64
	if b.o.Rejected != nil {
		rejected, _ = b.o.Rejected(ctx) // left out where it cannot be read
	}
	states := make([]api.SourceState, len(names))
	for i, name := range names {
		a := activity[name]
		s := api.SourceState{Source: name, NormalSeconds: int64(a.Normal / time.Second), OpenQuarantine: open[name].Records, Rejected: rejected[name], Spark: a.Hours}
		if rejected != nil && s.Rejected == nil {
			s.Rejected = map[string]int64{} // it is known that there are none
		}
		if s.Spark == nil {
			s.Spark = make([]int64, 24)
		}
		if a.Last != nil {
			s.LastEvent = line(*a.Last)
			s.Stale = a.Normal > 0 && now.Sub(a.Last.IngestedAt) > a.Normal
		}
		for _, r := range reports {
			if view := api.NewReconciled(r); r.Source == name && (s.Gap == nil || view.StillMissing > s.Gap.StillMissing) {
				s.Gap = &view
			}
		}
		for j, l := range learning {
			if l.Source == name {
				s.Learning = &api.NewLearning(learning[j : j+1])[0]
			}
		}
		states[i] = s
	}
	b.sources, b.open = cached[[]api.SourceState]{states, time.Now().Add(sourcesFor)}, open[""]
	return slices.Clone(states), nil
}

// Overview is Reader's.
func (b *Service) Overview(ctx context.Context) (api.Overview, error) {
	o := api.Overview{At: time.Now().UTC(), FailedPulls: []api.Pull{}, PendingMoves: []api.Move{}}
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		if o.Sources, err = b.sourceStates(ctx, tx); err != nil {
			return err
		}
		b.mu.Lock()
		o.OpenQuarantine, o.OldestQuarantine = b.open.Records, b.open.Oldest // as old as the sources' state
		b.mu.Unlock()
		if o.OpenSuggestions, err = b.suggestions.In(tx).Open(ctx); err != nil {
			return err
		}
		if o.OpenFindings, err = postgres.CountOpenFindings(ctx, tx); err != nil {
			return err
		}
		if o.FiringAlerts, err = alert.CountFiring(ctx, tx); err != nil {
			return err
		}
		unfinished, err := b.pulls.In(tx).Unfinished(ctx, "")
		if err != nil {
			return err
		}
		unfinished = slices.DeleteFunc(unfinished, func(p pull.Pull) bool { return p.Status == "cancelled" }) // as somebody wanted it
		for _, p := range unfinished[:min(len(unfinished), 20)] {
			o.FailedPulls = append(o.FailedPulls, api.NewPull(p, nil))
		}
		moves, err := b.accounts.In(tx).Moves(ctx, accounts.MoveFilter{Pending: true, Limit: 20})
		for _, m := range moves {
			o.PendingMoves = append(o.PendingMoves, api.NewMove(m))
		}
		return err
	})
	if err != nil {
		return api.Overview{}, err
	}
	return o, nil
}
