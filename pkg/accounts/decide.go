package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// ledgerLock is the transaction-level advisory lock under which the ledger is written: one decision after the other.
// Nothing that stores or reads events takes it.
const ledgerLock = int64(0x7468726f75676c64) // any number that no other advisory lock uses

// ledgerWait is how long a decision waits for others. Only an import of a very large file takes longer.
const ledgerWait = 30 * time.Second

func (s *Store) lockLedger(ctx context.Context, tx pgx.Tx) error {
	return postgres.LockAdvisory(ctx, tx, ledgerLock, "the link ledger", s.wait)
}

// errDryRun rolls a dry run back.
var errDryRun = errors.New("dry run")

// Decide appends one decision to the ledger and brings the links, the denials or the accounts up to date with it, in
// one transaction. Automatic links that rested on what it undoes are undone with it; a person's stay. The history
// that follows is left to a Mover, as Effect.MoveIDs.
//
// A decision that changes nothing (a link that is there, an account that is merged there already) is no error and no
// entry. Errors are Permanent: Malformed (the decision is incomplete), NotFound (no such account or link), Conflict
// (the reference is linked to another account, or the account was merged into another), Unsupported; or Transient, also
// where others keep the ledger's lock for half a minute.
func (s *Store) Decide(ctx context.Context, d Decision) (Effect, error) {
	if err := s.check(&d); err != nil {
		return Effect{}, err
	}
	var effect Effect
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var err error
		if effect, err = s.decide(ctx, tx, d); err == nil && d.DryRun {
			effect.DecisionID, effect.MoveIDs = 0, nil
			err = errDryRun
		}
		return err
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return Effect{}, broken("deciding about a link", err)
	}
	return effect, nil
}

// check brings a decision into the form that is stored, and refuses one that is incomplete.
func (s *Store) check(d *Decision) error {
	if !d.Verb.known() {
		return refuse(fault.Malformed, "%q is not a decision", d.Verb)
	}
	if d.Level == "" {
		d.Level = LevelDecided
	}
	if d.Learned == "" {
		d.Learned = LearnedOperator
	}
	if len(d.Evidence) == 0 {
		d.Evidence = []byte("{}")
	}
	if d.RestsOn == nil {
		d.RestsOn = []int64{}
	}
	d.Author, d.Reason = strings.TrimSpace(d.Author), strings.TrimSpace(d.Reason)
	var evidence map[string]json.RawMessage
	switch {
	case !slices.Contains(Levels(), d.Level):
		return refuse(fault.Malformed, "%q is not a level of evidence", d.Level)
	case d.Author == "":
		return refuse(fault.Malformed, "a decision needs somebody who makes it")
	case len(d.Author) > maxReasonBytes || len(d.Reason) > maxReasonBytes || !source.IsText(d.Author) || !source.IsText(d.Reason):
		return refuse(fault.Malformed, "the author or the reason is longer than %d bytes or holds control characters", maxReasonBytes)
	case json.Unmarshal(d.Evidence, &evidence) != nil:
		return refuse(fault.Malformed, "the evidence is not a JSON object")
	case len(d.RestsOn) > maxRestsOn:
		return refuse(fault.Oversized, "a decision rests on at most %d others", maxRestsOn)
	case byPerson(d.Learned) && len(d.RestsOn) > 0:
		return refuse(fault.Malformed, "only an automatic link rests on others")
	case d.needsFrom() && d.From == uuid.Nil:
		return refuse(fault.Malformed, "%s needs the account that it is about", d.Verb)
	case d.needsTo() && d.To == uuid.Nil:
		return refuse(fault.Malformed, "%s needs an account", d.Verb)
	case !d.Verb.aboutReference():
		d.Reference = source.Reference{}
		return nil
	}
	return s.checkReference(d)
}

func (d *Decision) needsFrom() bool {
	return d.Verb == VerbMerge || d.Verb == VerbRemove || d.Verb == VerbNotThisAccount
}

func (d *Decision) needsTo() bool {
	return d.Verb == VerbLink || d.Verb == VerbRelink || d.Verb == VerbMerge || d.Verb == VerbSplit
}

// checkReference brings the reference into the form that events carry, and refuses a new link that would take more
// than was meant, or nothing.
func (s *Store) checkReference(d *Decision) error {
	var err error
	if d.Reference, err = Normalize(d.Reference); err != nil || d.Verb != VerbLink {
		return err
	}
	if !d.EveryTenant && d.Reference.Tenant == "" && s.scoped(d.Reference) {
		return refuse(fault.Malformed, "%s is unique within one %s tenant only: name the tenant (%s/TENANT:%s:%s), or say that every tenant is meant",
			d.Reference, d.Reference.Source, d.Reference.Source, d.Reference.Kind, d.Reference.ID)
	}
	if d.Reference.Kind == source.KindDomain && s.resolver.Freemail(d.Reference.ID) {
		return refuse(fault.Unsupported, "%s is a free-mail domain: its addresses belong to many, and no rule follows such a link; link the addresses (email:NAME@%s)",
			d.Reference.ID, d.Reference.ID)
	}
	return nil
}

// Linkable gives the reference in the form that a link of it has, or why it can have none. Whether its tenant is
// missing is not looked at.
func (s *Store) Linkable(ref source.Reference) (source.Reference, error) {
	d := Decision{Verb: VerbLink, Reference: ref, EveryTenant: true}
	err := s.checkReference(&d)
	return d.Reference, err
}

// scoped: an id of this kind is unique within a tenant only.
func (s *Store) scoped(ref source.Reference) bool {
	for _, kind := range s.kinds(ref.Source) {
		if kind.Name == ref.Kind {
			return kind.Scoped
		}
	}
	return false
}

// deciding is one decision on its way through its transaction.
type deciding struct {
	Decision
	s      *Store
	tx     pgx.Tx
	effect Effect
	link   *linkRow    // of exactly the reference; nil: none
	before []uuid.UUID // the accounts where what rests on the reference may stand before the decision
	scopes []scope     // the events that the decision concerns
}

// linkRow is a link as the projection has it.
type linkRow struct {
	id       int64
	account  uuid.UUID
	decision int64
	learned  string
}

func (s *Store) decide(ctx context.Context, tx pgx.Tx, decision Decision) (Effect, error) {
	d := &deciding{Decision: decision, s: s, tx: tx}
	if err := s.lockLedger(ctx, tx); err != nil {
		return Effect{}, err
	}
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM history_moves WHERE finished_at IS NULL").Scan(&d.effect.Pending); err != nil {
		return Effect{}, fmt.Errorf("counting unfinished moves: %w", err)
	}
	if err := d.load(ctx); err != nil {
		return Effect{}, err
	}
	work := map[Verb]func(context.Context) error{
		VerbLink: d.linkIt, VerbUnlink: d.unlink, VerbRelink: d.relink, VerbMerge: d.merge,
		VerbNotThisAccount: d.deny, VerbRemove: d.remove, VerbSplit: d.split,
	}[d.Verb]
	if err := work(ctx); err != nil {
		return Effect{}, err
	}
	if err := d.plan(ctx); err != nil {
		return Effect{}, err
	}
	return d.effect, nil
}

// load reads what the decision starts from.
func (d *deciding) load(ctx context.Context) error {
	for _, id := range []uuid.UUID{d.From, d.To} {
		if id == uuid.Nil || d.Verb == VerbUnlink || d.Verb == VerbSplit {
			continue
		}
		if err := d.s.living(ctx, d.tx, id, d.Verb == VerbMerge && id == d.From); err != nil {
			return err
		}
	}
	d.effect.From, d.effect.To = d.From, d.To
	if !d.Verb.aboutReference() {
		return nil
	}
	var err error
	if d.link, err = findLink(ctx, d.tx, d.Reference); err != nil {
		return err
	}
	return d.loadBefore(ctx)
}

// beforeSQL gives the accounts of the reference's link and of all that are less specific, of its domain, and that it
// names: one of them is where an event that rests on the reference stands, whatever is denied.
const beforeSQL = `
SELECT l.account_id FROM account_links l JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS r (source, tenant, kind, id)
  ON l.source = r.source AND l.tenant = r.tenant AND l.kind = r.kind AND l.external_id = r.id
UNION
SELECT coalesce(merged_into, id) FROM accounts WHERE lower(domain) = $5
UNION
SELECT coalesce(merged_into, id) FROM accounts WHERE id = $6`

func (d *deciding) loadBefore(ctx context.Context) error {
	var sources, tenants, kinds, ids []string
	for _, r := range resolve.Related(d.Reference) {
		sources, tenants, kinds, ids = append(sources, r.Source), append(tenants, r.Tenant), append(kinds, r.Kind), append(ids, r.ID)
	}
	var named uuid.UUID
	if d.Reference.Kind == source.KindAccountUUID {
		named, _ = uuid.Parse(d.Reference.ID) // Normalize lets nothing else pass
	}
	rows, err := d.tx.Query(ctx, beforeSQL, sources, tenants, kinds, ids, resolve.DomainOf(d.Reference), named)
	if err != nil {
		return fmt.Errorf("finding where the reference leads: %w", err)
	}
	if d.before, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID]); err != nil {
		return fmt.Errorf("finding where the reference leads: %w", err)
	}
	return nil
}

func findLink(ctx context.Context, tx pgx.Tx, r source.Reference) (*linkRow, error) {
	var l linkRow
	err := tx.QueryRow(ctx, `SELECT id, account_id, coalesce(decision_id, 0), learned FROM account_links
		WHERE source = $1 AND kind = $2 AND external_id = $3 AND tenant = $4`, r.Source, r.Kind, r.ID, r.Tenant).
		Scan(&l.id, &l.account, &l.decision, &l.learned)
	switch {
	case notFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("finding the link: %w", err)
	}
	return &l, nil
}

// living refuses an account that does not exist or has become a part of another. A merge may come again.
func (s *Store) living(ctx context.Context, tx pgx.Tx, id uuid.UUID, again bool) error {
	var into *uuid.UUID
	err := tx.QueryRow(ctx, "SELECT merged_into FROM accounts WHERE id = $1", id).Scan(&into)
	switch {
	case notFound(err):
		return refuse(fault.NotFound, "no account has the id %s", id)
	case err != nil:
		return fmt.Errorf("finding an account: %w", err)
	case into != nil && !again:
		return refuse(fault.Conflict, "account %s was merged into %s", id, *into)
	}
	return nil
}

// append writes the ledger's entry.
func (d *deciding) append(ctx context.Context) error {
	r := d.Reference
	err := d.tx.QueryRow(ctx, `INSERT INTO link_decisions
		(verb, source, tenant, kind, external_id, from_account, to_account, level, learned, author, reason, evidence, rests_on)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id`,
		string(d.Verb), r.Source, r.Tenant, r.Kind, r.ID, orNull(d.effect.From), orNull(d.effect.To), string(d.Level), d.Learned,
		d.Author, d.Reason, string(d.Evidence), d.RestsOn).Scan(&d.effect.DecisionID)
	if err != nil {
		return fmt.Errorf("writing the decision: %w", err)
	}
	d.effect.Changed = true
	return nil
}

// orNull: no account is NULL.
func orNull(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}
