package accounts

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Link says which account a reference stands for. A reference without a tenant stands for every tenant's.
type Link struct {
	source.Reference
	AccountID   uuid.UUID
	AccountName string // filled by Links
	LinkID      int64  // filled by Links
	DecisionID  int64  // of the ledger; filled by Links
	Learned     string // LearnedOperator, …
	Evidence    []byte // JSON object, what it was learned from; empty: {}
	CreatedBy   string
	CreatedAt   time.Time
}

// AddLink is Decide for a link that is meant to hold for every tenant where its reference names none. added is false
// when the reference was linked to this account already.
func (s *Store) AddLink(ctx context.Context, l Link) (added bool, err error) {
	effect, err := s.Decide(ctx, Decision{Verb: VerbLink, Reference: l.Reference, To: l.AccountID, Learned: l.Learned, Author: l.CreatedBy,
		Evidence: l.Evidence, EveryTenant: true})
	return effect.Changed, err
}

// LinkFilter says which links to list; the zero value lists the newest 100 of all.
type LinkFilter struct {
	AccountID uuid.UUID // Nil: of every account
	Source    string
	Kind      string
	ID        string // the exact external id
	Before    int64  // only older ones than this link (Link.LinkID); 0: from the newest
	Limit     int    // 0: 100
}

// Links lists links, the newest first.
func (s *Store) Links(ctx context.Context, f LinkFilter) ([]Link, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	rows, err := s.pool.Query(ctx, `SELECT l.source, l.tenant, l.kind, l.external_id, l.account_id, a.name, l.learned, l.evidence::text, l.created_by, l.created_at, coalesce(l.decision_id, 0), l.id
		FROM account_links l JOIN accounts a ON a.id = l.account_id
		WHERE ($1 OR l.account_id = $2) AND ($3 = '' OR l.source = $3) AND ($4 = '' OR l.kind = $4) AND ($5 = '' OR l.external_id = $5)
		AND ($7 = 0 OR l.id < $7) ORDER BY l.id DESC LIMIT $6`, f.AccountID == uuid.Nil, f.AccountID, f.Source, f.Kind, f.ID, f.Limit, f.Before)
	if err != nil {
		return nil, broken("listing links", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Link, error) {
		var l Link
		var id [16]byte
		err := row.Scan(&l.Source, &l.Tenant, &l.Kind, &l.ID, &id, &l.AccountName, &l.Learned, &l.Evidence, &l.CreatedBy, &l.CreatedAt, &l.DecisionID, &l.LinkID)
		l.AccountID = id
		return l, err
	})
	return list, broken("listing links", err)
}

// EntryFilter says which decisions to list; the zero value lists the newest 100 of all.
type EntryFilter struct {
	AccountID uuid.UUID         // that took from or gave to this account; Nil: any
	Reference *source.Reference // about exactly this reference; nil: any
	Before    int64             // only older ones than this entry: the last of the page before; 0: from the newest
	Limit     int               // 0: 100
}

// Entries lists the ledger's entries, the newest first.
func (s *Store) Entries(ctx context.Context, f EntryFilter) ([]Entry, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	about := source.Reference{}
	if f.Reference != nil {
		about = *f.Reference
	}
	rows, err := s.pool.Query(ctx, `SELECT id, verb, source, tenant, kind, external_id, from_account, to_account, level, learned, author, reason, evidence::text,
		rests_on, coalesce(undone_by, 0), at FROM link_decisions
		WHERE ($1::uuid IS NULL OR from_account = $1 OR to_account = $1)
		AND (NOT $2 OR source = $3 AND tenant = $4 AND kind = $5 AND external_id = $6)
		AND ($7 = 0 OR id < $7) ORDER BY id DESC LIMIT $8`,
		orNull(f.AccountID), f.Reference != nil, about.Source, about.Tenant, about.Kind, about.ID, f.Before, f.Limit)
	if err != nil {
		return nil, broken("listing decisions", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Entry, error) {
		var e Entry
		var from, to *uuid.UUID
		r := &e.Reference
		err := row.Scan(&e.ID, &e.Verb, &r.Source, &r.Tenant, &r.Kind, &r.ID, &from, &to, &e.Level, &e.Learned, &e.Author, &e.Reason,
			&e.Evidence, &e.RestsOn, &e.UndoneBy, &e.At)
		if from != nil {
			e.From = *from
		}
		if to != nil {
			e.To = *to
		}
		return e, err
	})
	return list, broken("listing decisions", err)
}
