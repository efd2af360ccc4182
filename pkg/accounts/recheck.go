package accounts

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// Placed is an event that was stored just now.
type Placed struct {
	EventID   int64
	AccountID uuid.UUID
	Reference string // by which it found the account (source.Reference.Key); "": unknown
}

// Recheck corrects, within the transaction that stores them, the events whose account was found in a ledger that has
// changed since: they were on their way when their account lost them. It costs one query, and more only for events of
// accounts that ever lost any. The writer of the timeline calls it after its insert.
func (m *Mover) Recheck(ctx context.Context, tx pgx.Tx, placed []Placed) error {
	accounts := make([]uuid.UUID, len(placed))
	for i := range placed {
		accounts[i] = placed[i].AccountID
	}
	lost, err := losses(ctx, tx, accounts)
	if err != nil || len(lost) == 0 {
		return err
	}
	byDecision := map[int64][]standing{}
	for _, p := range placed {
		if l, ok := lost[p.AccountID]; ok {
			byDecision[l.decision] = append(byDecision[l.decision], standing{id: p.EventID, from: p.AccountID, to: l.now, key: p.Reference})
		}
	}
	for decision, events := range byDecision {
		if err := m.resolve(ctx, tx, events); err != nil {
			return err
		}
		if _, err := m.apply(ctx, tx, events, change{decision: decision, author: LearnedLedger, whole: true}); err != nil {
			return broken("correcting the accounts of events", err)
		}
	}
	return nil
}

// loss is the newest decision by which an account lost events, and what the account is now.
type loss struct {
	decision int64
	now      uuid.UUID
}

// losses gives those of the accounts that ever lost events.
func losses(ctx context.Context, tx pgx.Tx, accounts []uuid.UUID) (map[uuid.UUID]loss, error) {
	rows, err := tx.Query(ctx, `SELECT m.from_account, max(m.decision_id), coalesce(a.merged_into, m.from_account)
		FROM history_moves m LEFT JOIN accounts a ON a.id = m.from_account WHERE m.from_account = ANY ($1) GROUP BY 1, 3`, accounts)
	if err != nil {
		return nil, broken("looking for decisions about accounts", err)
	}
	lost := map[uuid.UUID]loss{}
	var account uuid.UUID
	var l loss
	if _, err := pgx.ForEachRow(rows, []any{&account, &l.decision, &l.now}, func() error {
		lost[account] = l
		return nil
	}); err != nil {
		return nil, broken("looking for decisions about accounts", err)
	}
	return lost, nil
}

// AfterUpsert gives the Recheck of those of the rows that are new, for postgres.Writer.Upsert. It costs one query,
// and more only for events of accounts that ever lost any.
func (m *Mover) AfterUpsert(rows []postgres.Row) postgres.After {
	return func(ctx context.Context, tx pgx.Tx, inserted postgres.Inserted) error {
		known := map[uuid.UUID]bool{}
		var accounts []uuid.UUID
		for i := range rows {
			if id := rows[i].AccountID; inserted[i] && !known[id] {
				known[id] = true
				accounts = append(accounts, id)
			}
		}
		lost, err := losses(ctx, tx, accounts)
		if err != nil || len(lost) == 0 {
			return err
		}
		var sources, ids []string
		for i := range rows {
			if _, ok := lost[rows[i].AccountID]; ok && inserted[i] {
				sources, ids = append(sources, rows[i].Source), append(ids, rows[i].SourceEventID)
			}
		}
		found, err := tx.Query(ctx, `SELECT e.id, e.account_id, coalesce(o.reference, '')
			FROM unnest($1::text[], $2::text[]) AS r (source, id)
			JOIN account_events e ON e.source = r.source AND e.source_event_id = r.id
			LEFT JOIN account_event_origins o ON o.event_id = e.id`, sources, ids)
		if err != nil {
			return broken("looking for events that were just stored", err)
		}
		placed, err := pgx.CollectRows(found, pgx.RowToStructByPos[Placed])
		if err != nil {
			return broken("looking for events that were just stored", err)
		}
		return m.Recheck(ctx, tx, placed)
	}
}
