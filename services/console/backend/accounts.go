package backend

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// Accounts is Reader's.
func (b *Service) Accounts(ctx context.Context, query, owner string, p Paging) (Page[api.AccountSummary], error) {
	var none Page[api.AccountSummary]
	limit, err := p.size()
	if err := errors.Join(err, texts("q", query, "owner", owner)); err != nil {
		return none, first(err)
	}
	after, err := readCursor[accounts.AccountPlace](p.Cursor, "accounts", query, owner)
	if err != nil {
		return none, err
	}
	var found []accounts.FoundAccount
	err = b.reading(ctx, func(tx pgx.Tx) error {
		found, err = b.accounts.In(tx).Search(ctx, accounts.SearchFilter{Text: query, Owner: owner, After: after, Limit: limit + 1})
		return err
	})
	if err != nil {
		return none, err
	}
	list, next := paged(found, limit, func(f accounts.FoundAccount) accounts.AccountPlace { return f.Place }, "accounts", query, owner)
	return page(list, next, summary), nil
}

func summary(f accounts.FoundAccount) api.AccountSummary {
	s := api.AccountSummary{Account: api.NewAccount(f.Account), Events7Days: f.Events7Days, OpenQuarantine: f.Waiting, Matched: f.Matched}
	if e := f.Last; e.ID != 0 {
		s.LastEvent = &api.EventLine{ID: e.ID, OccurredAt: e.OccurredAt.UTC(), IngestedAt: e.IngestedAt.UTC(), Source: e.Source, EventType: e.Type, Subject: e.Subject}
	}
	return s
}

// Account is Reader's.
func (b *Service) Account(ctx context.Context, id uuid.UUID) (api.AccountSummary, error) {
	var found accounts.FoundAccount
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		found, err = b.accounts.In(tx).Summary(ctx, id)
		return err
	})
	if err != nil {
		return api.AccountSummary{}, err
	}
	return summary(found), nil
}

// account gives the id of the account that a text means; Nil for "".
func (b *Service) account(ctx context.Context, tx pgx.Tx, text string) (uuid.UUID, error) {
	if text == "" {
		return uuid.Nil, nil
	}
	found, err := b.accounts.In(tx).FindAccount(ctx, text)
	if err != nil && fault.IsPermanent(err) {
		return uuid.Nil, problem.Field("account", err)
	}
	return found.ID, err
}
