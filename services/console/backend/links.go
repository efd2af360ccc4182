package backend

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// AccountLinks is Reader's.
func (b *Service) AccountLinks(ctx context.Context, id uuid.UUID, p Paging) (Page[api.Link], error) {
	return b.links(ctx, accounts.LinkFilter{AccountID: id}, "", p, "account links", id.String())
}

// Links is Reader's.
func (b *Service) Links(ctx context.Context, sourceName, account string, p Paging) (Page[api.Link], error) {
	if err := texts("source", sourceName, "account", account); err != nil {
		return Page[api.Link]{}, err
	}
	if err := b.knownFilters(ctx, sourceName, ""); err != nil {
		return Page[api.Link]{}, err
	}
	return b.links(ctx, accounts.LinkFilter{Source: sourceName}, account, p, "links", sourceName, account)
}

func (b *Service) links(ctx context.Context, f accounts.LinkFilter, account string, p Paging, of ...any) (Page[api.Link], error) {
	var none Page[api.Link]
	limit, err := p.size()
	if err != nil {
		return none, err
	}
	before, err := readCursor[int64](p.Cursor, of...)
	if err != nil {
		return none, err
	}
	f.Limit = limit + 1
	if before != nil {
		f.Before = *before
	}
	var list []accounts.Link
	err = b.reading(ctx, func(tx pgx.Tx) error {
		if account != "" {
			if f.AccountID, err = b.account(ctx, tx, account); err != nil {
				return err
			}
		} else if f.AccountID != uuid.Nil {
			if err := b.accounts.In(tx).Exists(ctx, f.AccountID); err != nil {
				return err
			}
		}
		list, err = b.accounts.In(tx).Links(ctx, f)
		return err
	})
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(l accounts.Link) int64 { return l.LinkID }, of...)
	return Page[api.Link]{api.NewLinks(list), next}, nil
}

// reference reads one; the error is about the field reference.
func (b *Service) reference(text string) (source.Reference, error) {
	ref, err := accounts.ParseReference(text, b.o.Sources.Kinds)
	if err != nil {
		return ref, problem.Field("reference", err)
	}
	return ref, nil
}

// keys are what waits for a reference has.
func (b *Service) keys(text string) ([]string, error) {
	ref, err := b.reference(text)
	if err != nil {
		return nil, err
	}
	return []string{ref.Key()}, nil
}

// Reference is Reader's.
func (b *Service) Reference(ctx context.Context, text string) (api.Waits, error) {
	ref, err := b.reference(text)
	if err != nil {
		return api.Waits{}, err
	}
	w := api.Waits{Reference: ref.String(), Suggestions: []api.Suggestion{}}
	err = b.reading(ctx, func(tx pgx.Tx) error {
		store := b.accounts.In(tx)
		links, err := store.Links(ctx, accounts.LinkFilter{Source: ref.Source, Kind: ref.Kind, ID: ref.ID})
		if err != nil {
			return err
		}
		for i, l := range links {
			if l.Tenant == ref.Tenant || l.Tenant == "" || ref.Tenant == "" {
				w.Link = &api.NewLinks(links[i : i+1])[0]
				found, err := store.Summary(ctx, l.AccountID)
				if err != nil {
					return err
				}
				account := api.NewAccount(found.Account)
				w.Account = &account
				break
			}
		}
		if w.Waiting, err = b.quarantine.In(tx).Waiting(ctx, []string{ref.Key()}); err != nil {
			return err
		}
		found, err := b.suggestions.In(tx).Of(ctx, []source.Reference{ref})
		if err != nil {
			return err
		}
		w.Suggestions = api.NewSuggestions(found)
		entries, err := store.Entries(ctx, accounts.EntryFilter{Reference: &ref})
		w.Decisions = api.NewDecisions(entries)
		return err
	})
	if err != nil {
		return api.Waits{}, err
	}
	return w, nil
}

// Decisions is Reader's.
func (b *Service) Decisions(ctx context.Context, reference, account string, p Paging) (Page[api.Decision], error) {
	var none Page[api.Decision]
	limit, err := p.size()
	if err := errors.Join(err, texts("reference", reference, "account", account)); err != nil {
		return none, first(err)
	}
	f := accounts.EntryFilter{Limit: limit + 1}
	if reference != "" {
		ref, err := b.reference(reference)
		if err != nil {
			return none, err
		}
		f.Reference = &ref
	}
	before, err := readCursor[int64](p.Cursor, "decisions", reference, account)
	if err != nil {
		return none, err
	}
	if before != nil {
		f.Before = *before
	}
	var list []accounts.Entry
	err = b.reading(ctx, func(tx pgx.Tx) error {
		if f.AccountID, err = b.account(ctx, tx, account); err != nil {
			return err
		}
		list, err = b.accounts.In(tx).Entries(ctx, f)
		return err
	})
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(e accounts.Entry) int64 { return e.ID }, "decisions", reference, account)
	return Page[api.Decision]{api.NewDecisions(list), next}, nil
}

// Moves is Reader's.
func (b *Service) Moves(ctx context.Context, p Paging) (Page[api.Move], error) {
	var list []accounts.Move
	limit, next, err := b.newestFirst(ctx, p, func(tx pgx.Tx, before int64, limit int) (err error) {
		list, err = b.accounts.In(tx).Moves(ctx, accounts.MoveFilter{Before: before, Limit: limit})
		return err
	}, func(i int) int64 { return list[i].ID }, func() int { return len(list) }, "moves")
	if err != nil {
		return Page[api.Move]{}, err
	}
	return page(list[:min(limit, len(list))], next, api.NewMove), nil
}
