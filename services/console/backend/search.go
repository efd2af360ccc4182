package backend

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// searchPlace is a cursor of a search.
type searchPlace struct {
	Before int64
	Walk   bool
}

// Search is Reader's.
func (b *Service) Search(ctx context.Context, q SearchQuery) (api.SearchPage, error) {
	var none api.SearchPage
	if err := access.ActorOf(ctx).Require(access.Viewer); err != nil {
		return none, err
	}
	limit, err := q.size()
	if err := errors.Join(err, texts("words", q.Words, "source", q.Source, "type", q.Type, "account", q.Account)); err != nil {
		return none, first(err)
	}
	if err := b.knownFilters(ctx, q.Source, ""); err != nil {
		return none, err
	}
	words := strings.Fields(q.Words)
	switch {
	case q.Contains == "" && q.Path == "" && len(words) == 0 && q.Account == "":
		return none, malformed("contains", "say what to look for: contains, path, words or account")
	case len(words) > 10:
		return none, malformed("words", "at most 10 words")
	}
	of := []any{"search", q.Contains, q.Path, q.Words, q.Source, q.Type, q.Account, q.Since.UTC().String()}
	place, err := readCursor[searchPlace](q.Cursor, of...)
	if err != nil {
		return none, err
	}
	query := postgres.SearchQuery{Contains: q.Contains, Path: q.Path, Words: words, Source: q.Source, Type: q.Type, From: q.Since, Limit: limit}
	if place != nil {
		query.Before, query.Walk = place.Before, place.Walk
	}
	err = b.reading(ctx, func(tx pgx.Tx) error {
		if query.AccountID, err = b.account(ctx, tx, q.Account); err != nil {
			return err
		}
		for field, check := range map[string]func(context.Context, postgres.DB, string) error{"contains": postgres.CheckJSON, "path": postgres.CheckPath} {
			text := map[string]string{"contains": q.Contains, "path": q.Path}[field]
			if text == "" {
				continue
			}
			if err := check(ctx, tx, text); err != nil {
				if fault.IsPermanent(err) {
					err = problem.Field(field, err)
				}
				return err
			}
		}
		return nil
	})
	if err != nil {
		return none, err
	}
	found, err := postgres.Search(ctx, b.o.Pool, b.o.StatementLimit, query)
	if err != nil {
		return none, err
	}
	names, err := b.names(ctx, found.Events)
	if err != nil {
		return none, err
	}
	result := api.SearchPage{Items: make([]api.Found, len(found.Events)), SearchedTo: found.To}
	for i, e := range found.Events {
		result.Items[i] = api.Found{Event: newEvent(e), AccountName: names[e.AccountID]}
	}
	if found.Before > 0 {
		result.Next = writeCursor(searchPlace{found.Before, found.Walk}, of...)
	}
	return result, nil
}

func (b *Service) names(ctx context.Context, events []postgres.TimelineEvent) (map[uuid.UUID]string, error) {
	var ids []uuid.UUID
	for _, e := range events {
		ids = append(ids, e.AccountID)
	}
	var names map[uuid.UUID]string
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		names, err = b.accounts.In(tx).Names(ctx, ids)
		return err
	})
	return names, err
}
