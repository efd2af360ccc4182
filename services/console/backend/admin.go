package backend

import (
	"context"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
)

// Tokens is Reader's.
func (b *Service) Tokens(ctx context.Context, p Paging) (Page[api.Token], error) {
	var none Page[api.Token]
	if err := access.ActorOf(ctx).Require(access.Admin); err != nil {
		return none, err
	}
	limit, before, err := adminPage(p, "tokens")
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.StatementLimit)
	defer cancel()
	list, err := b.o.Access.Tokens(ctx, before, limit+1)
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(t api.Token) int64 { return t.ID }, "tokens")
	return Page[api.Token]{append([]api.Token{}, list...), next}, nil
}

// Audit is Reader's.
func (b *Service) Audit(ctx context.Context, who, action string, p Paging) (Page[api.AuditEntry], error) {
	var none Page[api.AuditEntry]
	if err := access.ActorOf(ctx).Require(access.Admin); err != nil {
		return none, err
	}
	if err := texts("who", who, "action", action); err != nil {
		return none, err
	}
	limit, before, err := adminPage(p, "audit", who, action)
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.StatementLimit)
	defer cancel()
	list, err := b.o.Access.Audit(ctx, who, action, before, limit+1)
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(e api.AuditEntry) int64 { return e.ID }, "audit", who, action)
	return Page[api.AuditEntry]{append([]api.AuditEntry{}, list...), next}, nil
}

func adminPage(p Paging, of ...any) (limit int, before int64, err error) {
	if limit, err = p.size(); err != nil {
		return 0, 0, err
	}
	place, err := readCursor[int64](p.Cursor, of...)
	if place != nil {
		before = *place
	}
	return limit, before, err
}
