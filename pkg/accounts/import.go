package accounts

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// ImportResult counts what an import did.
type ImportResult struct {
	Lines           int // of the file, without the header
	AccountsAdded   int
	AccountsChanged int // name or domain
	LinksAdded      int
	LinksPresent    int // were there already, to the same account
	// MoveIDs are the moves that a Mover has to carry out: events that found another account by a weaker rule than
	// the link that they have now.
	MoveIDs []int64
}

// ImportOptions says how to import.
type ImportOptions struct {
	By string // the person or program who imports
	// EveryTenant: ids of a tenant-scoped kind in a column that names no tenant are meant for every tenant.
	EveryTenant bool
	// Anyway makes new accounts although another has the domain.
	Anyway bool
	// Progress, if set, is called now and then with how many of the total rows (accounts and links) are on their way.
	Progress func(done, total int)
}

// ImportError holds everything that is wrong with a file. Nothing of it was written.
type ImportError struct{ Problems []LineProblem }

// LineProblem is one thing wrong with one line; the header is line 1.
type LineProblem struct {
	Line    int
	Problem string
}

// Error gives the problems, one a line.
func (e *ImportError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("line %d: %s", p.Line, p.Problem)
	}
	return strings.Join(lines, "\n")
}

func importError(problems []LineProblem) error {
	return fault.Permanent(fault.Malformed, &ImportError{Problems: problems})
}

// Import reads accounts and their links from CSV (RFC 4180, UTF-8, commas, a header) and writes them in one
// transaction, or, when anything is wrong with any line, nothing: the error is then an *ImportError with all of it.
//
// Columns, in any order: name (needed), id (a UUID), domain, and any number named like the beginning of a
// reference ("stripe", "hubspot:contact", "zendesk/1234:organization", "email"), whose cells hold the account's
// ids there, several separated by ';'. A line without an id means the account with the same name and domain, else
// a new one. A line with the id of an existing account changes its name and domain; an empty domain keeps it.
// Links are only ever added, so a file may be imported again at will; each is an entry of the ledger, as if a person
// had made it.
func (s *Store) Import(ctx context.Context, r io.Reader, o ImportOptions) (ImportResult, error) {
	file, err := readImport(r, s.kinds, o)
	if err != nil {
		return ImportResult{}, err
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	result := ImportResult{Lines: len(file.accounts)}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := s.lockLedger(ctx, tx); err != nil {
			return err
		}
		var before int64
		if err := tx.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM link_decisions").Scan(&before); err != nil {
			return fmt.Errorf("reading the ledger: %w", err)
		}
		if err := file.write(ctx, tx, o, &result); err != nil {
			return err
		}
		result.MoveIDs, err = s.followImport(ctx, tx, before)
		return err
	})
	if err != nil {
		return ImportResult{}, broken("importing accounts", err)
	}
	return result, nil
}

// What was denied and is linked now is denied no more.
const liftImported = `
WITH lifted AS (
  DELETE FROM account_link_denials n USING link_decisions d
  WHERE d.id > $1 AND d.verb = 'link' AND d.source = n.source AND d.tenant = n.tenant AND d.kind = n.kind AND d.external_id = n.external_id
    AND d.to_account = n.account_id
  RETURNING n.decision_id, d.id
)
UPDATE link_decisions SET undone_by = lifted.id FROM lifted WHERE link_decisions.id = lifted.decision_id`

// The accounts to which an imported link's reference may have led before: by its domain, by the link for any tenant,
// by the link that all sources share, by the account id that it is.
const importedLeaves = `
WITH new AS (SELECT * FROM link_decisions WHERE id > $1 AND verb = 'link'), before AS (
  SELECT n.id, coalesce(a.merged_into, a.id) AS account FROM new n JOIN accounts a
    ON lower(a.domain) = CASE n.kind WHEN 'email' THEN split_part(n.external_id, '@', -1) WHEN 'domain' THEN n.external_id END
  UNION
  SELECT n.id, l.account_id FROM new n JOIN account_links l
    ON l.source = n.source AND l.kind = n.kind AND l.external_id = n.external_id AND l.tenant = '' AND n.tenant <> ''
  UNION
  SELECT n.id, l.account_id FROM new n JOIN account_links l
    ON l.source = n.kind AND l.kind = n.kind AND l.external_id = n.external_id AND l.tenant = '' AND n.kind IN ('email', 'domain')
  UNION
  SELECT n.id, coalesce(a.merged_into, a.id) FROM new n JOIN accounts a ON n.kind = 'account_uuid' AND a.id::text = n.external_id)
SELECT n.id, n.source, n.tenant, n.kind, n.external_id, b.account FROM before b JOIN new n ON n.id = b.id
WHERE b.account <> n.to_account ORDER BY n.id, b.account`

// followImport plans the moves that the links with decisions above before ask for.
func (s *Store) followImport(ctx context.Context, tx pgx.Tx, before int64) ([]int64, error) {
	if _, err := tx.Exec(ctx, liftImported, before); err != nil {
		return nil, fmt.Errorf("lifting denials: %w", err)
	}
	rows, err := tx.Query(ctx, importedLeaves, before)
	if err != nil {
		return nil, fmt.Errorf("finding events that move: %w", err)
	}
	d := &deciding{s: s, tx: tx}
	var sc scope
	r := &sc.reference
	if _, err := pgx.ForEachRow(rows, []any{&sc.decision, &r.Source, &r.Tenant, &r.Kind, &r.ID, &sc.from}, func() error {
		d.scopes = append(d.scopes, sc)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("finding events that move: %w", err)
	}
	if err := d.plan(ctx); err != nil {
		return nil, err
	}
	return d.effect.MoveIDs, nil
}
