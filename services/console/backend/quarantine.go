package backend

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
)

// quarantinePlace is a cursor of quarantined records.
type quarantinePlace struct {
	LastSeen time.Time
	ID       int64
}

// Quarantine is Reader's.
func (b *Service) Quarantine(ctx context.Context, q QuarantineQuery) (Page[api.QuarantineRecord], error) {
	var none Page[api.QuarantineRecord]
	limit, err := q.size()
	if err := errors.Join(err, texts("reason", q.Reason, "source", q.Source, "reference", q.Reference)); err != nil {
		return none, first(err)
	}
	if err := b.knownFilters(ctx, q.Source, q.Reason); err != nil {
		return none, err
	}
	f := quarantine.Filter{Reason: q.Reason, Source: q.Source, Status: quarantine.Status(q.Status), Since: q.Since, Limit: limit + 1}
	switch q.Status {
	case "":
		f.Status = quarantine.Open
	case "all":
		f.Status = ""
	}
	if q.Reference != "" {
		if f.Keys, err = b.keys(q.Reference); err != nil {
			return none, err
		}
	}
	of := []any{"quarantine", q.Reason, q.Source, q.Reference, string(f.Status), q.Since.UTC().String()}
	place, err := readCursor[quarantinePlace](q.Cursor, of...)
	if err != nil {
		return none, err
	}
	if place != nil {
		f.Before = &quarantine.Record{LastSeen: place.LastSeen, ID: place.ID}
	}
	var list []quarantine.Record
	err = b.reading(ctx, func(tx pgx.Tx) error {
		list, err = b.quarantine.In(tx).List(ctx, f)
		return err
	})
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(r quarantine.Record) quarantinePlace { return quarantinePlace{r.LastSeen, r.ID} }, of...)
	return page(list, next, api.NewQuarantineRecord), nil
}

// QuarantineGroups is Reader's.
func (b *Service) QuarantineGroups(ctx context.Context, reason, sourceName string, p Paging) (Page[api.QuarantineGroup], error) {
	var none Page[api.QuarantineGroup]
	limit, err := p.size()
	if err := errors.Join(err, texts("reason", reason, "source", sourceName)); err != nil {
		return none, first(err)
	}
	if err := b.knownFilters(ctx, sourceName, reason); err != nil {
		return none, err
	}
	after, err := readCursor[quarantine.Group](p.Cursor, "groups", reason, sourceName)
	if err != nil {
		return none, err
	}
	var list []quarantine.Group
	suggested := map[string][]api.Suggestion{}
	err = b.reading(ctx, func(tx pgx.Tx) error {
		if list, err = b.quarantine.In(tx).Groups(ctx, quarantine.GroupFilter{Reason: reason, Source: sourceName, After: after, Limit: limit + 1}); err != nil {
			return err
		}
		var refs []source.Reference
		for _, g := range list {
			if g.Reference != (source.Reference{}) {
				refs = append(refs, g.Reference)
			}
		}
		found, err := b.suggestions.In(tx).Of(ctx, refs)
		for _, s := range found {
			suggested[s.Reference.Key()] = append(suggested[s.Reference.Key()], api.NewSuggestion(s))
		}
		return err
	})
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(g quarantine.Group) quarantine.Group { return g }, "groups", reason, sourceName)
	return page(list, next, func(g quarantine.Group) api.QuarantineGroup {
		view := api.QuarantineGroup{Reason: g.Reason, Source: g.Source, Records: g.Records, AtLeast: g.AtLeast, Oldest: g.Oldest, Newest: g.Newest}
		if g.Reference != (source.Reference{}) {
			view.Reference, view.Suggestions = g.Reference.String(), suggested[g.Reference.Key()]
		}
		return view
	}), nil
}

// QuarantineRecord is Reader's.
func (b *Service) QuarantineRecord(ctx context.Context, id int64) (api.QuarantineDetail, error) {
	var d quarantine.Detail
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		d, err = b.quarantine.In(tx).Show(ctx, id)
		return err
	})
	if err != nil {
		return api.QuarantineDetail{}, err
	}
	return api.NewQuarantineDetail(d), nil
}
