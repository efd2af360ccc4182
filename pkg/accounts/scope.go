package accounts

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The account of an event is a function of the ledger: of where the reference by which the event found its account
// (account_event_origins) leads now. A decision concerns the events that rest on its reference and stand on the
// accounts where it led before.

// scope is the events of one account that a decision may concern.
type scope struct {
	decision  int64
	reference source.Reference // zero: all events of the account
	from      uuid.UUID
}

// leaves notes that events may leave this account.
func (d *deciding) leaves(decision int64, reference source.Reference, from uuid.UUID) {
	d.scopes = append(d.scopes, scope{decision, reference, from})
}

// follow notes the accounts where events that rest on the reference may stand and do not belong any more. Those on the
// account to which the reference leads now stay, because what is said of them alone is more specific than what changed.
func (d *deciding) follow(ctx context.Context) error {
	found, err := d.s.resolver.ResolveIn(ctx, d.tx, [][]source.Reference{{d.Reference}})
	if err != nil {
		return err
	}
	from := append(d.before, d.effect.From)
	slices.SortFunc(from, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	for _, account := range slices.Compact(from) {
		if account != uuid.Nil && account != found[0].AccountID {
			d.leaves(d.effect.DecisionID, d.Reference, account)
		}
	}
	return nil
}

// plan counts what leaves the accounts, and writes the moves.
func (d *deciding) plan(ctx context.Context) error {
	counted := map[originGroup]bool{}
	for _, sc := range d.scopes {
		moves, err := d.count(ctx, sc, counted)
		if err != nil {
			return err
		}
		var events, id int64
		for _, m := range moves {
			events += m.Events
			d.effect.add(m)
		}
		r := sc.reference
		err = d.tx.QueryRow(ctx, `INSERT INTO history_moves (decision_id, from_account, events, source, tenant, kind, external_id)
			VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`, sc.decision, sc.from, events, r.Source, r.Tenant, r.Kind, r.ID).Scan(&id)
		if err != nil {
			return fmt.Errorf("writing the move: %w", err)
		}
		d.effect.MoveIDs = append(d.effect.MoveIDs, id)
	}
	return nil
}

func (e *Effect) add(m MoveCount) {
	for i := range e.Moves {
		if e.Moves[i].From == m.From && e.Moves[i].To == m.To {
			e.Moves[i].Events += m.Events
			return
		}
	}
	e.Moves = append(e.Moves, m)
}

// originGroup is the events of one account that found it by one reference.
type originGroup struct {
	from      uuid.UUID
	reference string
}

// count gives where the scope's events go, as the transaction sees the ledger; groups that were counted before are
// left out.
func (d *deciding) count(ctx context.Context, sc scope, counted map[originGroup]bool) ([]MoveCount, error) {
	match, args, rest := "true", []any{sc.from}, d.effect.To
	if sc.reference != (source.Reference{}) {
		match, args = restingOn(sc.reference, sc.from)
		rest = sc.from
		if err := d.countUntraced(ctx, sc); err != nil {
			return nil, err
		}
	}
	rows, err := d.tx.Query(ctx, `SELECT coalesce(o.reference, ''), count(*) FROM account_events e LEFT JOIN account_event_origins o ON o.event_id = e.id
		WHERE e.account_id = $1 AND `+match+" GROUP BY 1 ORDER BY 1", args...)
	if err != nil {
		return nil, fmt.Errorf("counting events: %w", err)
	}
	var texts []string
	var events []int64
	var text string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&text, &n}, func() error {
		if group := (originGroup{sc.from, text}); !counted[group] {
			counted[group] = true
			texts, events = append(texts, text), append(events, n)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("counting events: %w", err)
	}
	to, err := targets(ctx, d.tx, d.s.resolver, texts)
	if err != nil {
		return nil, err
	}
	var moves Effect
	for i := range to {
		account := to[i].AccountID
		switch {
		case texts[i] == "":
			account = rest
		case to[i].Erased:
			account = sc.from
		}
		if account != sc.from {
			moves.add(MoveCount{From: sc.from, To: account, Events: events[i]})
		}
	}
	return moves.Moves, nil
}

// countUntraced counts the account's events that may rest on the reference although nothing says so.
func (d *deciding) countUntraced(ctx context.Context, sc scope) error {
	of := sc.reference.Source
	if of == source.KindEmail || of == source.KindDomain {
		of = ""
	}
	var n int64
	err := d.tx.QueryRow(ctx, `SELECT count(*) FROM account_events e WHERE account_id = $1 AND ($2 = '' OR source = $2)
		AND NOT EXISTS (SELECT FROM account_event_origins o WHERE o.event_id = e.id AND o.reference <> '')`, sc.from, of).Scan(&n)
	if err != nil {
		return fmt.Errorf("counting events without an origin: %w", err)
	}
	d.effect.Untraced += n
	return nil
}

// resolvePage bounds how many references are resolved in one query.
const resolvePage = 5000

// targets gives where each reference (in the form of Key) leads as db sees the ledger. What is erased leads nowhere, and
// its events stay where they are: whoever erases, or stores them, deletes them.
func targets(ctx context.Context, db resolve.DB, resolver *resolve.Resolver, keys []string) ([]resolve.Resolution, error) {
	to := make([]resolve.Resolution, 0, len(keys))
	for page := range slices.Chunk(keys, resolvePage) {
		batch := make([][]source.Reference, len(page))
		for i, key := range page {
			batch[i] = source.ParseKey(key)
		}
		found, err := resolver.ResolveIn(ctx, db, batch)
		if err != nil {
			return nil, fault.Transient(fault.Unavailable, fmt.Errorf("resolving the events' references: %w", err))
		}
		to = append(to, found...)
	}
	return to, nil
}

// restingOn gives the condition on account_event_origins o under which an event of the account ($1) may rest on a
// link of the reference, and its arguments. It may hold for more: whether an event moves is decided by where its own
// reference leads.
func restingOn(ref source.Reference, from uuid.UUID) (string, []any) {
	exact, patterns := []string{ref.Key()}, []string(nil)
	id := escapeLike(ref.ID)
	switch {
	case ref.Source == source.KindEmail:
		patterns = []string{"%:" + source.KindEmail + ":" + id}
	case ref.Source == "": // an account's id, wherever it stood
		patterns = []string{"%:" + escapeLike(ref.Kind) + ":" + id}
	case ref.Source == source.KindDomain:
		patterns = []string{"%:" + source.KindDomain + ":" + id, "%:" + source.KindEmail + ":%@" + id, "%:" + source.KindEmail + ":%@" + id + "."}
	case ref.Tenant == "" && ref.Kind != source.KindEmail && ref.Kind != source.KindDomain && ref.Kind != source.KindAccountUUID:
		patterns = []string{escapeLike(ref.Source) + "/%:" + escapeLike(ref.Kind) + ":" + id}
	}
	if patterns == nil {
		return "o.reference <> '' AND o.reference = ANY ($2)", []any{from, exact}
	}
	return "o.reference <> '' AND (o.reference = ANY ($2) OR o.reference LIKE ANY ($3))", []any{from, exact, patterns}
}

func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}
