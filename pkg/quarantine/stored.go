package quarantine

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Settled are the records that SettleStored is done with, by id.
type Settled struct {
	Resolved  []int64 // the fact is on the timeline
	Conflicts []int64 // another event is there under its identity
}

// Has reports whether the record is one of them.
func (s Settled) Has(id int64) bool {
	return slices.Contains(s.Resolved, id) || slices.Contains(s.Conflicts, id)
}

// SettleStored looks whether the events of these open records are on the timeline
// already, which the stage that refused them does not know: a thin event after its
// snapshot has no customer to be resolved by. One that says the same, or nothing
// that the stored one does not say (source.PartOf), is resolved. One that
// contradicts it stays open as a conflict, for a person. Others are left alone: the
// form that is stored may say less.
//
// It costs one query where nothing is stored, and reads the bytes of what is, one
// record at a time.
func (s *Store) SettleStored(ctx context.Context, ids []int64) (Settled, error) {
	if len(ids) == 0 {
		return Settled{}, nil
	}
	settled, places, err := s.compareStored(ctx, ids)
	if err != nil {
		return Settled{}, broken("looking for waiting events on the timeline", err)
	}
	if len(settled.Resolved)+len(settled.Conflicts) == 0 {
		return settled, nil
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return settle(ctx, tx, settled, places) })
	return settled, broken("settling what is on the timeline", err)
}

// The lateral look-up with its limit is by the unique index whatever the statistics say.
const storedOfOpen = `SELECT q.id, q.source, q.raw, e.payload::text
	FROM (SELECT id, source, source_event_id, raw FROM quarantine WHERE id = ANY ($1) AND status IS NOT DISTINCT FROM 'open' AND reason <> $2 AND source_event_id IS NOT NULL) AS q
	CROSS JOIN LATERAL (SELECT payload FROM account_events e WHERE e.source = q.source AND e.source_event_id = q.source_event_id LIMIT 1) AS e`

// compareStored compares, and gives where each conflict is.
func (s *Store) compareStored(ctx context.Context, ids []int64) (settled Settled, places []string, err error) {
	rows, err := s.pool.Query(ctx, storedOfOpen, ids, string(fault.Conflict))
	if err != nil {
		return settled, nil, err
	}
	var id int64
	var name string
	var raw, stored []byte
	var waiting, there rawjson.Doc
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &raw, &stored}, func() error {
		event, err := waiting.ParseBody(raw, 0)
		if err != nil || event.Kind() != rawjson.Object {
			return nil // it has no content to compare
		}
		if event, err = waiting.ParseBody(event.WithSubject(""), 0); err != nil { // as the timeline has it
			return nil
		}
		other, err := there.ParseBody(stored, 0)
		if err != nil {
			return nil
		}
		switch relation, pointer := s.sources.Compare(name, event, other, "/subject"); relation {
		case source.Same, source.PartOf:
			settled.Resolved = append(settled.Resolved, id)
		case source.Contradiction:
			settled.Conflicts, places = append(settled.Conflicts, id), append(places, clean(source.ConflictError(pointer).Error()))
		case source.OtherForm:
		}
		return nil
	})
	return settled, places, err
}

// settle resolves and marks those that are open still. Whoever takes an event off the timeline does so before locking
// its record (Return), so once the records are locked, a new statement sees whether the event is there still.
func settle(ctx context.Context, tx pgx.Tx, settled Settled, places []string) error {
	ids := slices.Concat(settled.Resolved, settled.Conflicts)
	if _, err := tx.Exec(ctx, "SELECT FROM quarantine WHERE id = ANY ($1) ORDER BY id FOR UPDATE", ids); err != nil {
		return fmt.Errorf("locking %d records: %w", len(ids), err)
	}
	const there = `q.status IS NOT DISTINCT FROM 'open' AND EXISTS (SELECT FROM account_events e WHERE e.source = q.source AND e.source_event_id = q.source_event_id)`
	if _, err := tx.Exec(ctx, `WITH decided AS MATERIALIZED (
			SELECT q.id, q.status, $2::text AS note FROM quarantine q WHERE q.id = ANY ($1) AND `+there+`
		), `+resolveArrived("$3"), settled.Resolved, OutcomeAlreadyPresent, ByFeed); err != nil {
		return fmt.Errorf("resolving %d records: %w", len(settled.Resolved), err)
	}
	if _, err := tx.Exec(ctx, `UPDATE quarantine q SET reason = $3, error = r.error
		FROM unnest($1::bigint[], $2::text[]) AS r (id, error) WHERE q.id = r.id AND `+there, settled.Conflicts, places, string(fault.Conflict)); err != nil {
		return fmt.Errorf("marking %d conflicts: %w", len(settled.Conflicts), err)
	}
	return nil
}
