package backend

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/learn"
)

// suggestionPlace is a cursor of suggestions.
type suggestionPlace struct {
	Rule learn.Rule
	ID   int64
}

// Suggestions is Reader's.
func (b *Service) Suggestions(ctx context.Context, status, sourceName string, p Paging) (Page[api.Suggestion], error) {
	var none Page[api.Suggestion]
	limit, err := p.size()
	if err := errors.Join(err, texts("status", status, "source", sourceName)); err != nil {
		return none, first(err)
	}
	if err := b.knownFilters(ctx, sourceName, ""); err != nil {
		return none, err
	}
	f := learn.SuggestionFilter{Status: status, Source: sourceName, Limit: limit + 1}
	place, err := readCursor[suggestionPlace](p.Cursor, "suggestions", status, sourceName)
	if err != nil {
		return none, err
	}
	if place != nil {
		f.After = &learn.Suggestion{ID: place.ID, Rule: place.Rule}
	}
	var list []learn.Suggestion
	err = b.reading(ctx, func(tx pgx.Tx) error {
		list, err = b.suggestions.In(tx).List(ctx, f)
		return err
	})
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(s learn.Suggestion) suggestionPlace { return suggestionPlace{s.Rule, s.ID} }, "suggestions", status, sourceName)
	return Page[api.Suggestion]{api.NewSuggestions(list), next}, nil
}

// Suggestion is Reader's.
func (b *Service) Suggestion(ctx context.Context, id int64) (api.Explanation, error) {
	var e learn.Explanation
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		e, err = b.suggestions.In(tx).Explain(ctx, id)
		return err
	})
	if err != nil {
		return api.Explanation{}, err
	}
	return api.NewExplanation(e), nil
}
