package accounts

import (
	"cmp"
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

func (d *deciding) linkIt(ctx context.Context) error {
	if d.link != nil && d.link.account != d.To {
		return d.linkedElsewhere(ctx)
	}
	denied, err := d.undeny(ctx, d.To)
	if err != nil {
		return err
	}
	switch {
	case len(denied) > 0 && !byPerson(d.Learned):
		return d.isDenied()
	case d.link != nil:
		return nil
	}
	if err := d.append(ctx); err != nil {
		return err
	}
	if err := d.undo(ctx, denied); err != nil {
		return err
	}
	r := d.Reference
	if _, err := d.tx.Exec(ctx, `INSERT INTO account_links (source, tenant, kind, external_id, account_id, learned, evidence, created_by, decision_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.Source, r.Tenant, r.Kind, r.ID, d.To, d.Learned, string(d.Evidence), d.Author, d.effect.DecisionID); err != nil {
		return cmp.Or(d.erasedReference(err), fmt.Errorf("adding the link: %w", err))
	}
	return d.follow(ctx)
}

// isDenied is the error of a link that a decision forbids.
func (d *deciding) isDenied() error {
	return refuse(fault.Conflict, "it was decided that %s is not account %s", d.Reference, d.To)
}

// linkedElsewhere is the error of a link that would be a second one.
func (d *deciding) linkedElsewhere(ctx context.Context) error {
	var name string
	if err := d.tx.QueryRow(ctx, "SELECT name FROM accounts WHERE id = $1", d.link.account).Scan(&name); err != nil {
		return fmt.Errorf("finding the linked account: %w", err)
	}
	return fault.Permanent(fault.Conflict, &LinkedError{Reference: d.Reference, Account: d.link.account, Name: name})
}

// LinkedError refuses a link of what is linked to another account. It is Permanent(Conflict).
type LinkedError struct {
	Reference source.Reference
	Account   uuid.UUID // where it is linked
	Name      string    // that account's
}

// Error names the account.
func (e *LinkedError) Error() string {
	return fmt.Sprintf("%s is linked to another account already: %s (%s)", e.Reference, e.Name, e.Account)
}

func (d *deciding) unlink(ctx context.Context) error {
	if d.link == nil {
		return d.lift(ctx)
	}
	if d.From != uuid.Nil && d.From != d.link.account {
		return d.linkedElsewhere(ctx)
	}
	d.effect.From = d.link.account
	if err := d.append(ctx); err != nil {
		return err
	}
	if err := d.dropLink(ctx); err != nil {
		return err
	}
	return d.follow(ctx)
}

// lift takes back "not this account", where there is no link to take back.
func (d *deciding) lift(ctx context.Context) error {
	denied, err := d.undeny(ctx, d.From)
	if err != nil {
		return err
	}
	if len(denied) == 0 {
		return refuse(fault.NotFound, "%s is not linked: `throughline links` shows what is", d.Reference)
	}
	if err := d.append(ctx); err != nil {
		return err
	}
	if err := d.undo(ctx, denied); err != nil {
		return err
	}
	return d.follow(ctx)
}

func (d *deciding) relink(ctx context.Context) error {
	switch {
	case d.link == nil:
		return refuse(fault.NotFound, "%s is not linked: `throughline link` does that", d.Reference)
	case d.From != uuid.Nil && d.From != d.link.account:
		return d.linkedElsewhere(ctx)
	case d.link.account == d.To:
		d.effect.From = d.To
		return nil
	}
	d.effect.From = d.link.account
	denied, err := d.undeny(ctx, d.To)
	if err != nil {
		return err
	}
	if len(denied) > 0 && !byPerson(d.Learned) {
		return d.isDenied()
	}
	if err := d.append(ctx); err != nil {
		return err
	}
	if err := d.undo(ctx, denied); err != nil {
		return err
	}
	if _, err := d.tx.Exec(ctx, `UPDATE account_links SET account_id = $2, learned = $3, evidence = $4, created_by = $5, created_at = now(), decision_id = $6
		WHERE id = $1`, d.link.id, d.To, d.Learned, string(d.Evidence), d.Author, d.effect.DecisionID); err != nil {
		return fmt.Errorf("moving the link: %w", err)
	}
	if err := d.undoLink(ctx, d.link.decision); err != nil {
		return err
	}
	return d.follow(ctx)
}

func (d *deciding) deny(ctx context.Context) error {
	r := d.Reference
	var there bool
	err := d.tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM account_link_denials WHERE "+sameReference+" AND account_id = $5)",
		r.Source, r.Tenant, r.Kind, r.ID, d.From).Scan(&there)
	if err != nil {
		return fmt.Errorf("finding the denial: %w", err)
	}
	linked := d.link != nil && d.link.account == d.From
	if there && !linked {
		return nil
	}
	if err := d.append(ctx); err != nil {
		return err
	}
	if _, err := d.tx.Exec(ctx, `INSERT INTO account_link_denials (source, tenant, kind, external_id, account_id, decision_id)
		VALUES ($1, $2, $3, $4, $5, $6)`, r.Source, r.Tenant, r.Kind, r.ID, d.From, d.effect.DecisionID); err != nil {
		return cmp.Or(d.erasedReference(err), fmt.Errorf("adding the denial: %w", err))
	}
	if linked {
		if err := d.dropLink(ctx); err != nil {
			return err
		}
	}
	return d.follow(ctx)
}

func (d *deciding) merge(ctx context.Context) error {
	if d.From == d.To {
		return refuse(fault.Malformed, "an account cannot be merged into itself")
	}
	var into *uuid.UUID
	if err := d.tx.QueryRow(ctx, "SELECT merged_into FROM accounts WHERE id = $1", d.From).Scan(&into); err != nil {
		return fmt.Errorf("finding the account: %w", err)
	}
	if into != nil {
		if *into == d.To {
			return nil
		}
		return refuse(fault.Conflict, "account %s was merged into %s", d.From, *into)
	}
	if err := d.append(ctx); err != nil {
		return err
	}
	for _, step := range mergeSteps {
		if _, err := d.tx.Exec(ctx, step, d.From, d.To); err != nil {
			return fmt.Errorf("merging the accounts: %w", err)
		}
	}
	d.leaves(d.effect.DecisionID, source.Reference{}, d.From)
	return d.mergeDenials(ctx)
}

// mergeDenials has what is denied for the merged account denied for the other, unless it is linked there. Events that
// found the other account by it leave.
func (d *deciding) mergeDenials(ctx context.Context) error {
	if _, err := d.tx.Exec(ctx, `DELETE FROM account_link_denials d WHERE account_id IN ($1, $2) AND EXISTS (SELECT FROM account_links l
		WHERE l.source = d.source AND l.kind = d.kind AND l.external_id = d.external_id AND l.tenant = d.tenant AND l.account_id = $2)`, d.From, d.To); err != nil {
		return fmt.Errorf("merging denials: %w", err)
	}
	if _, err := d.tx.Exec(ctx, `DELETE FROM account_link_denials d WHERE account_id = $1 AND EXISTS (SELECT FROM account_link_denials o
		WHERE o.source = d.source AND o.kind = d.kind AND o.external_id = d.external_id AND o.tenant = d.tenant AND o.account_id = $2)`, d.From, d.To); err != nil {
		return fmt.Errorf("merging denials: %w", err)
	}
	rows, err := d.tx.Query(ctx, "UPDATE account_link_denials SET account_id = $2 WHERE account_id = $1 RETURNING source, tenant, kind, external_id", d.From, d.To)
	if err != nil {
		return fmt.Errorf("merging denials: %w", err)
	}
	var r source.Reference
	if _, err := pgx.ForEachRow(rows, []any{&r.Source, &r.Tenant, &r.Kind, &r.ID}, func() error {
		d.leaves(d.effect.DecisionID, r, d.To)
		return nil
	}); err != nil {
		return fmt.Errorf("merging denials: %w", err)
	}
	return nil
}

// When the merged account is above the other, the one above it takes its place: an account is not its own ancestor.
var mergeSteps = []string{
	"UPDATE account_links SET account_id = $2 WHERE account_id = $1",
	`UPDATE accounts t SET parent_id = f.parent_id, updated_at = now() FROM accounts f
		WHERE t.id = $2 AND f.id = $1 AND $1 IN (
			WITH RECURSIVE up AS (SELECT parent_id FROM accounts WHERE id = $2 UNION SELECT a.parent_id FROM up JOIN accounts a ON a.id = up.parent_id)
			SELECT parent_id FROM up)`,
	"UPDATE accounts SET parent_id = $2, updated_at = now() WHERE parent_id = $1 AND id <> $2",
	"UPDATE accounts SET merged_into = $2, parent_id = NULL, updated_at = now() WHERE id = $1 OR merged_into = $1",
}

// sameReference is the condition that a row is about the reference $1 (source), $2 (tenant), $3 (kind), $4 (id).
const sameReference = "source = $1 AND tenant = $2 AND kind = $3 AND external_id = $4"

// undeny removes the reference's denials (for one account; Nil: all) and gives the decisions that made them.
func (d *deciding) undeny(ctx context.Context, account uuid.UUID) ([]int64, error) {
	r := d.Reference
	rows, err := d.tx.Query(ctx, "DELETE FROM account_link_denials WHERE "+sameReference+" AND ($5::uuid IS NULL OR account_id = $5) RETURNING decision_id",
		r.Source, r.Tenant, r.Kind, r.ID, orNull(account))
	if err != nil {
		return nil, fmt.Errorf("removing denials: %w", err)
	}
	decisions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("removing denials: %w", err)
	}
	return decisions, nil
}

// undo marks decisions as undone by this one.
func (d *deciding) undo(ctx context.Context, decisions []int64) error {
	if _, err := d.tx.Exec(ctx, "UPDATE link_decisions SET undone_by = $1 WHERE id = ANY ($2)", d.effect.DecisionID, decisions); err != nil {
		return fmt.Errorf("marking what is undone: %w", err)
	}
	return nil
}

// dropLink removes the reference's link.
func (d *deciding) dropLink(ctx context.Context) error {
	if _, err := d.tx.Exec(ctx, "DELETE FROM account_links WHERE id = $1", d.link.id); err != nil {
		return fmt.Errorf("removing the link: %w", err)
	}
	return d.undoLink(ctx, d.link.decision)
}

// undoLink marks the decision that a link stood by as undone by this one, and takes away the automatic links that
// rested on it, and those that rested on them.
func (d *deciding) undoLink(ctx context.Context, decision int64) error {
	if err := d.undo(ctx, []int64{decision}); err != nil {
		return err
	}
	undone := []int64{decision}
	for len(undone) > 0 {
		resting, err := d.resting(ctx, undone)
		if err != nil {
			return err
		}
		undone = undone[:0]
		for _, l := range resting {
			if err := d.withdraw(ctx, l); err != nil {
				return err
			}
			undone = append(undone, l.decision)
		}
	}
	return nil
}

// restingLink is an automatic link that rests on an undone decision.
type restingLink struct {
	id, decision int64
	account      uuid.UUID
	reference    source.Reference
}

func (d *deciding) resting(ctx context.Context, undone []int64) ([]restingLink, error) {
	rows, err := d.tx.Query(ctx, `SELECT l.id, l.decision_id, l.account_id, l.source, l.tenant, l.kind, l.external_id
		FROM link_decisions x JOIN account_links l ON l.decision_id = x.id
		WHERE x.rests_on && $1 AND x.undone_by IS NULL ORDER BY x.id`, undone)
	if err != nil {
		return nil, fmt.Errorf("finding what rests on it: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (restingLink, error) {
		var l restingLink
		r := &l.reference
		return l, row.Scan(&l.id, &l.decision, &l.account, &r.Source, &r.Tenant, &r.Kind, &r.ID)
	})
	if err != nil {
		return nil, fmt.Errorf("finding what rests on it: %w", err)
	}
	return list, nil
}

// withdraw unlinks an automatic link, with an entry of its own.
func (d *deciding) withdraw(ctx context.Context, l restingLink) error {
	r := l.reference
	var decision int64
	err := d.tx.QueryRow(ctx, `INSERT INTO link_decisions (verb, source, tenant, kind, external_id, from_account, learned, author, reason, rests_on)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id`, string(VerbUnlink), r.Source, r.Tenant, r.Kind, r.ID, l.account,
		LearnedLedger, d.Author, fmt.Sprintf("decision %d undid what link %d rested on", d.effect.DecisionID, l.decision), []int64{d.effect.DecisionID}).Scan(&decision)
	if err != nil {
		return fmt.Errorf("writing the decision: %w", err)
	}
	if _, err := d.tx.Exec(ctx, "DELETE FROM account_links WHERE id = $1", l.id); err != nil {
		return fmt.Errorf("removing a link: %w", err)
	}
	if _, err := d.tx.Exec(ctx, "UPDATE link_decisions SET undone_by = $1 WHERE id = $2", decision, l.decision); err != nil {
		return fmt.Errorf("marking what is undone: %w", err)
	}
	d.effect.Undone = append(d.effect.Undone, UndoneLink{Reference: r, AccountID: l.account})
	d.leaves(decision, r, l.account)
	return nil
}

// remove takes an account away that nothing leads to.
func (d *deciding) remove(ctx context.Context) error {
	var events, links, tombstones, children, moves bool
	err := d.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM account_events WHERE account_id = $1), EXISTS (SELECT FROM account_links WHERE account_id = $1),
		EXISTS (SELECT FROM accounts WHERE merged_into = $1), EXISTS (SELECT FROM accounts WHERE parent_id = $1),
		EXISTS (SELECT FROM history_moves m JOIN link_decisions x ON x.id = m.decision_id WHERE m.finished_at IS NULL AND $1 IN (m.from_account, x.to_account))`,
		d.From).Scan(&events, &links, &tombstones, &children, &moves)
	if err != nil {
		return fmt.Errorf("looking at what the account has: %w", err)
	}
	for _, obstacle := range []struct {
		there bool
		what  string
	}{
		{events, "has events: merge it into the account that they belong to"},
		{links, "has links: unlink or relink them first"},
		{tombstones, "has accounts merged into it"},
		{children, "is the parent of other accounts"},
		{moves, "takes part in a move that is not finished"},
	} {
		if obstacle.there {
			return refuse(fault.Conflict, "account %s %s", d.From, obstacle.what)
		}
	}
	if err := d.append(ctx); err != nil {
		return err
	}
	if _, err := d.tx.Exec(ctx, "DELETE FROM account_link_denials WHERE account_id = $1", d.From); err != nil {
		return fmt.Errorf("removing denials: %w", err)
	}
	if _, err := d.tx.Exec(ctx, "DELETE FROM accounts WHERE id = $1", d.From); err != nil {
		return fmt.Errorf("removing the account: %w", err)
	}
	// An event that is on its way to the account is stored before long, and has to leave it.
	d.leaves(d.effect.DecisionID, source.Reference{}, d.From)
	return nil
}
