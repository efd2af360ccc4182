package accounts

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// split takes a merge back. The links, denials and merged accounts of which the ledger says that they were decided for
// account To lead to it again, and the events follow that found their account by one of these links, by To's domain or
// by its id. What was decided after the merge was decided about the other account, and stays there; so do the
// hierarchy and events of which nothing says how they found their account (Effect.Untraced).
func (d *deciding) split(ctx context.Context) error {
	var into *uuid.UUID
	var domain string
	err := d.tx.QueryRow(ctx, "SELECT merged_into, coalesce(lower(domain), '') FROM accounts WHERE id = $1", d.To).Scan(&into, &domain)
	switch {
	case notFound(err):
		return refuse(fault.NotFound, "no account has the id %s", d.To)
	case err != nil:
		return fmt.Errorf("finding the account: %w", err)
	case into == nil:
		return nil // it was never merged, or that is taken back already
	case d.From != uuid.Nil && d.From != *into:
		return refuse(fault.Conflict, "account %s was merged into %s", d.To, *into)
	}
	d.effect.From = *into
	if err := d.append(ctx); err != nil {
		return err
	}
	for _, step := range splitSteps {
		if _, err := d.tx.Exec(ctx, step, d.To, d.effect.From); err != nil {
			return fmt.Errorf("splitting the accounts: %w", err)
		}
	}
	if _, err := d.tx.Exec(ctx, `UPDATE link_decisions SET undone_by = $2 WHERE verb = 'merge' AND from_account = $1 AND undone_by IS NULL`,
		d.To, d.effect.DecisionID); err != nil {
		return fmt.Errorf("marking what is undone: %w", err)
	}
	return d.splitLinks(ctx, domain)
}

// decidedFor is the accounts whose decisions are about account $1: itself and what was merged into it.
const decidedFor = "(SELECT id FROM accounts WHERE id = $1 OR merged_into = $1)"

// An account that was merged into To before is a part of To again, and comes first: what was decided for it is To's.
var splitSteps = []string{
	"UPDATE accounts SET merged_into = NULL, updated_at = now() WHERE id = $1 AND merged_into = $2",
	`UPDATE accounts SET merged_into = $1, updated_at = now() WHERE merged_into = $2 AND id IN (
		WITH RECURSIVE part AS (
			SELECT from_account FROM link_decisions WHERE verb = 'merge' AND undone_by IS NULL AND to_account = $1
			UNION SELECT m.from_account FROM part JOIN link_decisions m ON m.verb = 'merge' AND m.undone_by IS NULL AND m.to_account = part.from_account)
		SELECT from_account FROM part)`,
	"UPDATE account_link_denials n SET account_id = $1 FROM link_decisions x WHERE x.id = n.decision_id AND n.account_id = $2 AND x.from_account IN " + decidedFor,
}

// splitLinks gives To its links back, and has the events follow.
func (d *deciding) splitLinks(ctx context.Context, domain string) error {
	rows, err := d.tx.Query(ctx, `UPDATE account_links l SET account_id = $1 FROM link_decisions x
		WHERE x.id = l.decision_id AND l.account_id = $2 AND x.to_account IN `+decidedFor+` RETURNING l.source, l.tenant, l.kind, l.external_id`, d.To, d.effect.From)
	if err != nil {
		return fmt.Errorf("giving links back: %w", err)
	}
	leading, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r source.Reference, err error) {
		return r, row.Scan(&r.Source, &r.Tenant, &r.Kind, &r.ID)
	})
	if err != nil {
		return fmt.Errorf("giving links back: %w", err)
	}
	leading = append(leading, source.Reference{Kind: source.KindAccountUUID, ID: d.To.String()})
	if domain != "" {
		leading = append(leading, source.Reference{Source: source.KindDomain, Kind: source.KindDomain, ID: domain})
	}
	for _, r := range leading {
		d.leaves(d.effect.DecisionID, r, d.effect.From)
	}
	return nil
}
