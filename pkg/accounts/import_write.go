package accounts

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/resolve"
)

// The file travels by COPY into two temporary tables; what needs the database is checked there, and only then the
// real tables are written. Nobody else may write them meanwhile, or what was checked would not hold; readers, such
// as the normalizer, are not held up.
const prepareImport = `
LOCK TABLE accounts, account_links IN SHARE ROW EXCLUSIVE MODE;
CREATE TEMPORARY TABLE import_accounts (n INTEGER PRIMARY KEY, line INTEGER, id UUID, fresh_id UUID, name TEXT, domain TEXT) ON COMMIT DROP;
CREATE TEMPORARY TABLE import_links (line INTEGER, n INTEGER, source TEXT, tenant TEXT, kind TEXT, external_id TEXT) ON COMMIT DROP`

// A line without an id is the account with its name and domain. Of several such the line cannot say which.
const matchByName = `
ANALYZE import_accounts, import_links;
UPDATE import_accounts i SET id = m.id FROM (
  SELECT i.n, (array_agg(a.id))[1] AS id
  FROM import_accounts i JOIN accounts a ON a.name = i.name AND coalesce(a.domain, '') = i.domain AND a.merged_into IS NULL
  WHERE i.id IS NULL GROUP BY i.n HAVING count(*) = 1) AS m
WHERE m.n = i.n`

const importProblems = `
SELECT i.line, 'several accounts have the name "' || i.name || '" and this domain: give the line an id'
FROM import_accounts i JOIN accounts a ON a.name = i.name AND coalesce(a.domain, '') = i.domain AND a.merged_into IS NULL
WHERE i.id IS NULL GROUP BY i.n, i.line, i.name
UNION ALL
SELECT i.line, 'account ' || a.id || ' was merged into ' || a.merged_into
FROM import_accounts i JOIN accounts a ON a.id = i.id WHERE a.merged_into IS NOT NULL
UNION ALL
SELECT max(i.line), 'the lines mean the same account ' || i.id || ' more than once'
FROM import_accounts i WHERE i.id IS NOT NULL GROUP BY i.id HAVING count(*) > 1
UNION ALL
SELECT i.line, 'account ' || (array_agg(a.name ORDER BY a.id))[1] || ' (' || (array_agg(a.id ORDER BY a.id))[1] || ') has the domain ' || i.domain || ' already: give the line its id'
FROM import_accounts i JOIN accounts a ON lower(a.domain) = i.domain AND a.merged_into IS NULL
WHERE NOT $1 AND i.id IS NULL AND i.domain <> '' GROUP BY i.n, i.line, i.domain
  HAVING count(*) FILTER (WHERE a.name = i.name) = 0
UNION ALL
SELECT t.line, t.source || CASE t.tenant WHEN '' THEN '' ELSE '/' || t.tenant END || ':' || t.kind || ':' || t.external_id ||
  ' is linked to another account already: ' || a.name || ' (' || a.id || ')'
FROM import_links t JOIN import_accounts i ON i.n = t.n
JOIN account_links l ON l.source = t.source AND l.kind = t.kind AND l.external_id = t.external_id AND l.tenant = t.tenant
JOIN accounts a ON a.id = l.account_id
WHERE l.account_id IS DISTINCT FROM i.id
UNION ALL
SELECT e.lines[f.n], 'a reference of this line was erased on request, and is not linked again: a customer who is back is let in with ` + "`throughline erasures lift ' || e.refs[f.n] || '`'" + `
FROM (SELECT array_agg(source || CASE tenant WHEN '' THEN '' ELSE '/' || tenant END || CASE kind WHEN source THEN '' ELSE ':' || kind END || ':' || external_id) AS refs, array_agg(source) AS sources, array_agg(kind) AS kinds, array_agg(coalesce(nullif(tenant, ''), E'\x1f')) AS tenants, array_agg(external_id) AS ids, array_agg(line) AS lines
  FROM import_links WHERE EXISTS (SELECT FROM suppressions)) AS e
CROSS JOIN LATERAL suppressed(e.sources, e.kinds, e.tenants, e.ids) AS f
UNION ALL
SELECT e.lines[f.n], 'what this line says of an account (its id or its domain) was erased on request: a customer who is back is let in with ` + "`throughline erasures lift ' || e.kinds[f.n] || ':' || e.ids[f.n] || '`'" + `
FROM (SELECT array_agg(r.kind) AS kinds, array_agg(''::text) AS tenants, array_agg(r.id) AS ids, array_agg(i.line) AS lines
  FROM import_accounts i CROSS JOIN LATERAL (VALUES ('account_uuid'::text, i.id::text), ('domain', nullif(i.domain, ''))) AS r (kind, id)
  WHERE r.id IS NOT NULL AND EXISTS (SELECT FROM suppressions)) AS e
CROSS JOIN LATERAL suppressed(e.kinds, e.kinds, e.tenants, e.ids) AS f
UNION ALL
SELECT i.line, 'the name holds an address that was erased on request, and is not kept again: leave it out, or let the customer who is back in with ` + "`throughline erasures lift ' || e.id || '`'" + `
FROM import_accounts i CROSS JOIN LATERAL erased_address_in(i.name) AS e (id) WHERE i.name ~ '[@%&\\]' AND i.name ~* '` + resolve.SpelledAt + `' AND e.id IS NOT NULL AND EXISTS (SELECT FROM suppressions)
ORDER BY 1 LIMIT 1000`

const changeAccounts = `
UPDATE accounts a SET name = i.name, domain = coalesce(nullif(i.domain, ''), a.domain), updated_at = now() FROM import_accounts i
WHERE a.id = i.id AND (a.name <> i.name OR i.domain NOT IN ('', coalesce(a.domain, '')))`

const addAccounts = `
INSERT INTO accounts (id, name, domain, created_by)
SELECT coalesce(i.id, i.fresh_id), i.name, nullif(i.domain, ''), $1 FROM import_accounts i ORDER BY i.n
ON CONFLICT (id) DO NOTHING`

const addLinks = `
INSERT INTO account_links (source, tenant, kind, external_id, account_id, learned, created_by)
SELECT t.source, t.tenant, t.kind, t.external_id, coalesce(i.id, i.fresh_id), $1, $2
FROM import_links t JOIN import_accounts i ON i.n = t.n
ORDER BY t.source, t.kind, t.external_id
ON CONFLICT (source, kind, external_id, tenant) DO NOTHING`

// reportEvery is after how many rows progress is told.
const reportEvery = 1000

// analyzeFrom is how many new rows make the planner's statistics worth renewing at once.
const analyzeFrom = 1000

// write does the whole import within tx. An *ImportError undoes it.
func (f *importFile) write(ctx context.Context, tx pgx.Tx, o ImportOptions, result *ImportResult) error {
	if _, err := tx.Exec(ctx, prepareImport); err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	if err := f.copy(ctx, tx, o.Progress); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, matchByName); err != nil {
		return fmt.Errorf("finding accounts by name: %w", err)
	}
	rows, err := tx.Query(ctx, importProblems, o.Anyway)
	if err != nil {
		return fmt.Errorf("checking: %w", err)
	}
	problems, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LineProblem])
	if err != nil {
		return fmt.Errorf("checking: %w", err)
	}
	if len(problems) > 0 {
		return importError(problems)
	}
	for _, step := range []struct {
		count     *int
		doing     string
		statement string
		args      []any
	}{
		{&result.AccountsChanged, "changing accounts", changeAccounts, nil},
		{&result.AccountsAdded, "adding accounts", addAccounts, []any{o.By}},
		{&result.LinksAdded, "adding links", addLinks, []any{LearnedImport, o.By}},
	} {
		tag, err := tx.Exec(ctx, step.statement, step.args...)
		if err != nil {
			return fmt.Errorf("%s: %w", step.doing, err)
		}
		*step.count = int(tag.RowsAffected())
	}
	result.LinksPresent = len(f.links) - result.LinksAdded
	if result.AccountsAdded+result.LinksAdded >= analyzeFrom {
		// Autovacuum would do so a minute later; until then domains are looked up by reading the whole table. A role
		// that does not own the tables gets a warning, and that minute.
		if _, err := tx.Exec(ctx, "ANALYZE accounts, account_links"); err != nil {
			return fmt.Errorf("analyzing: %w", err)
		}
	}
	return nil
}

// copy fills the temporary tables.
func (f *importFile) copy(ctx context.Context, tx pgx.Tx, progress func(done, total int)) error {
	done, total := 0, len(f.accounts)+len(f.links)
	advance := func() {
		if done++; done%reportEvery == 0 || done == total {
			progress(done, total)
		}
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"import_accounts"}, []string{"n", "line", "id", "fresh_id", "name", "domain"},
		pgx.CopyFromSlice(len(f.accounts), func(i int) ([]any, error) {
			advance()
			a := &f.accounts[i]
			var id any
			if a.id != uuid.Nil {
				id = [16]byte(a.id)
			}
			fresh, err := uuid.NewV7()
			return []any{int32(i), int32(a.line), id, [16]byte(fresh), a.name, a.domain}, err
		}))
	if err != nil {
		return fmt.Errorf("copying accounts: %w", err)
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"import_links"}, []string{"line", "n", "source", "tenant", "kind", "external_id"},
		pgx.CopyFromSlice(len(f.links), func(i int) ([]any, error) {
			advance()
			l := &f.links[i]
			return []any{int32(l.line), l.account, l.ref.Source, l.ref.Tenant, l.ref.Kind, l.ref.ID}, nil
		}))
	if err != nil {
		return fmt.Errorf("copying links: %w", err)
	}
	return nil
}
