package accounts

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// How a link was learned.
const (
	LearnedOperator = "operator" // somebody said so
	LearnedImport   = "import"   // it stood in an imported file
)

// Link says which account a reference stands for. A reference without a tenant stands for every tenant's.
type Link struct {
	source.Reference
	AccountID   uuid.UUID
	AccountName string // filled by Links
	Learned     string // LearnedOperator, …
	Evidence    []byte // JSON object, what it was learned from; empty: {}
	CreatedBy   string
	CreatedAt   time.Time
}

// AddLink links a reference (in the form that events carry: see Normalize) to an account. One that is linked to
// this account already is no error and no change, and added is false; one that is linked to another account is an
// error that names it.
func (s *Store) AddLink(ctx context.Context, l Link) (added bool, err error) {
	if l.Reference, err = Normalize(l.Reference); err != nil {
		return false, err
	}
	if len(l.Evidence) == 0 {
		l.Evidence = []byte("{}")
	}
	if !json.Valid(l.Evidence) {
		return false, refuse(fault.Malformed, "the evidence is not JSON")
	}
	if l.Learned == "" {
		l.Learned = LearnedOperator
	}
	if _, err := s.one(ctx, l.AccountID.String(), "id = $1", l.AccountID); err != nil {
		return false, err
	}
	tag, err := s.pool.Exec(ctx, `INSERT INTO account_links (source, tenant, kind, external_id, account_id, learned, evidence, created_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (source, kind, external_id, tenant) DO NOTHING`,
		l.Source, l.Tenant, l.Kind, l.ID, l.AccountID, l.Learned, string(l.Evidence), l.CreatedBy)
	if err != nil {
		return false, broken("adding a link", err)
	}
	if tag.RowsAffected() == 1 {
		return true, nil
	}
	var id [16]byte
	var name string
	err = s.pool.QueryRow(ctx, `SELECT a.id, a.name FROM account_links l JOIN accounts a ON a.id = l.account_id
		WHERE l.source = $1 AND l.tenant = $2 AND l.kind = $3 AND l.external_id = $4`, l.Source, l.Tenant, l.Kind, l.ID).Scan(&id, &name)
	if err != nil {
		return false, broken("adding a link", err) // removed in between: try again
	}
	if uuid.UUID(id) != l.AccountID {
		return false, refuse(fault.Conflict, "%s is linked to another account already: %s (%s)", l.Key(), name, uuid.UUID(id))
	}
	return false, nil
}

// LinkFilter says which links to list; the zero value lists the newest 100 of all.
type LinkFilter struct {
	AccountID uuid.UUID // Nil: of every account
	Source    string
	Kind      string
	ID        string // the exact external id
	Limit     int    // 0: 100
}

// Links lists links, the newest first.
func (s *Store) Links(ctx context.Context, f LinkFilter) ([]Link, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	rows, err := s.pool.Query(ctx, `SELECT l.source, l.tenant, l.kind, l.external_id, l.account_id, a.name, l.learned, l.evidence::text, l.created_by, l.created_at
		FROM account_links l JOIN accounts a ON a.id = l.account_id
		WHERE ($1 OR l.account_id = $2) AND ($3 = '' OR l.source = $3) AND ($4 = '' OR l.kind = $4) AND ($5 = '' OR l.external_id = $5)
		ORDER BY l.id DESC LIMIT $6`, f.AccountID == uuid.Nil, f.AccountID, f.Source, f.Kind, f.ID, f.Limit)
	if err != nil {
		return nil, broken("listing links", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Link, error) {
		var l Link
		var id [16]byte
		err := row.Scan(&l.Source, &l.Tenant, &l.Kind, &l.ID, &id, &l.AccountName, &l.Learned, &l.Evidence, &l.CreatedBy, &l.CreatedAt)
		l.AccountID = id
		return l, err
	})
	return list, broken("listing links", err)
}
