package backend

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// Timeline is Reader's.
func (b *Service) Timeline(ctx context.Context, q TimelineQuery) (Page[api.Event], error) {
	var none Page[api.Event]
	limit, err := q.size()
	if err := errors.Join(err, texts("source", q.Source, "type", q.Type)); err != nil {
		return none, first(err)
	}
	if err := b.knownFilters(ctx, q.Source, ""); err != nil {
		return none, err
	}
	of := []any{"timeline", q.Account.String(), q.Newest, q.Source, q.Type, q.Since.UTC().String(), q.Until.UTC().String()}
	after, err := readCursor[postgres.Cursor](q.Cursor, of...)
	if err != nil {
		return none, err
	}
	var events []postgres.TimelineEvent
	err = b.reading(ctx, func(tx pgx.Tx) error {
		events, err = postgres.Timeline(ctx, tx, postgres.TimelineQuery{AccountID: q.Account, From: q.Since, Until: q.Until, Source: q.Source, Type: q.Type,
			Newest: q.Newest, WithoutPayloads: q.WithoutBodies, After: after, Limit: limit + 1})
		if err == nil && len(events) == 0 {
			err = b.accounts.In(tx).Exists(ctx, q.Account)
		}
		return err
	})
	if err != nil {
		return none, err
	}
	events, next := paged(events, limit, postgres.TimelineEvent.Cursor, of...)
	return page(events, next, newEvent), nil
}

// newEvent keeps a payload that was not asked for null.
func newEvent(e postgres.TimelineEvent) api.Event {
	if e.Payload == nil {
		e.Payload = []byte("null")
	}
	return api.NewEvent(e)
}

func line(e postgres.TimelineEvent) *api.EventLine {
	return &api.EventLine{ID: e.ID, OccurredAt: e.OccurredAt.UTC(), IngestedAt: e.IngestedAt.UTC(), Source: e.Source, EventType: e.EventType, Subject: e.Subject}
}

// Density is Reader's.
func (b *Service) Density(ctx context.Context, id uuid.UUID, sourceName, eventType string, spans int) (api.Density, error) {
	if spans < 1 || spans > 500 {
		return api.Density{}, malformed("spans", "1 to 500 spans")
	}
	if err := texts("source", sourceName, "type", eventType); err != nil {
		return api.Density{}, err
	}
	if err := b.knownFilters(ctx, sourceName, ""); err != nil {
		return api.Density{}, err
	}
	var d postgres.Density
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		d, err = postgres.DensityOf(ctx, tx, postgres.TimelineQuery{AccountID: id, Source: sourceName, Type: eventType}, spans)
		if err == nil && d.From.IsZero() {
			err = b.accounts.In(tx).Exists(ctx, id)
		}
		return err
	})
	if err != nil {
		return api.Density{}, err
	}
	return api.Density{From: d.From, To: d.To, Spans: d.Spans, More: d.More}, nil
}

// Event is Reader's.
func (b *Service) Event(ctx context.Context, id int64) (api.Event, error) {
	var e postgres.TimelineEvent
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		e, err = postgres.Event(ctx, tx, id)
		return err
	})
	if err != nil {
		return api.Event{}, err
	}
	return newEvent(e), nil
}
