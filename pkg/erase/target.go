package erase

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Target is whose data is erased: an account, or a person by the references that are theirs.
type Target struct {
	Account    uuid.UUID // Nil: References
	References []source.Reference
}

// maxReferences bounds the references of a person.
const maxReferences = 50

func (t Target) check() error {
	switch {
	case t.Account != uuid.Nil && len(t.References) > 0:
		return refuse(fault.Malformed, "erase an account or references, not both at once")
	case t.Account == uuid.Nil && len(t.References) == 0:
		return refuse(fault.Malformed, "an erasure needs an account or a reference")
	case len(t.References) > maxReferences:
		return refuse(fault.Oversized, "at most %d references are erased at once", maxReferences)
	}
	for _, r := range t.References {
		if r.Kind == source.KindDomain || r.Kind == source.KindAccountUUID {
			return refuse(fault.Unsupported, "%s is no person: erase the account", r)
		}
	}
	return nil
}

// in reports whether a text holds an e-mail address of the target.
func (t Target) in(text string) bool {
	return slices.ContainsFunc(t.References, func(r source.Reference) bool {
		return r.Kind == source.KindEmail && (strings.Contains(strings.ToLower(text), r.ID) ||
			slices.ContainsFunc(resolve.Addresses([]byte(text)), func(found source.Reference) bool { return found.ID == r.ID }))
	})
}

// looked is what an erasure looks for, as its row has it in the clear while it runs.
type looked struct {
	Accounts   []uuid.UUID        `json:"accounts,omitempty"` // the account, and those that were merged into it
	References []source.Reference `json:"references,omitempty"`
	// Mentions: events of others that only refer to it go, too. Of a person, not of an account.
	Mentions bool `json:"mentions,omitempty"`
}

// label names the target without its value.
func (t Target) label() string {
	if t.Account != uuid.Nil {
		return "account"
	}
	var kinds []string
	for _, r := range t.References {
		kind := r.Source + " " + r.Kind
		if r.Kind == source.KindEmail {
			kind = "email"
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return strings.Join(kinds, ", ")
}

// find says what is looked for.
func (e *Eraser) find(ctx context.Context, tx pgx.Tx, t Target) (looked, error) {
	if t.Account == uuid.Nil {
		return looked{References: t.References, Mentions: true}, nil
	}
	l := looked{}
	seen := map[source.Reference]bool{}
	add := func(r source.Reference) {
		if r, is := inOneForm(r); is && !seen[r] {
			seen[r] = true
			l.References = append(l.References, r)
		}
	}
	rows, err := tx.Query(ctx, "SELECT id FROM accounts WHERE id = $1 OR merged_into = $1 ORDER BY id = $1 DESC, id", t.Account)
	if err == nil {
		l.Accounts, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	}
	switch {
	case err != nil:
		return l, fmt.Errorf("finding the account: %w", err)
	case len(l.Accounts) == 0:
		return l, refuse(fault.NotFound, "no account has the id %s", t.Account)
	case l.Accounts[0] != t.Account:
		return l, refuse(fault.NotFound, "no account has the id %s", t.Account)
	}
	for _, id := range l.Accounts {
		add(source.Reference{Source: source.KindAccountUUID, Kind: source.KindAccountUUID, ID: id.String()})
	}
	// A domain that another account has, too, is not erased: its people are the other's.
	rows, err = tx.Query(ctx, `SELECT l.source, l.tenant, l.kind, l.external_id FROM account_links l WHERE l.account_id = ANY ($1)
		UNION SELECT 'domain', '', 'domain', lower(a.domain) FROM accounts a WHERE a.id = ANY ($1) AND a.domain <> ''
			AND NOT EXISTS (SELECT FROM accounts o WHERE lower(o.domain) = lower(a.domain) AND o.id <> ALL ($1) AND o.merged_into IS NULL)`, l.Accounts)
	if err != nil {
		return l, fmt.Errorf("finding what the account is known by: %w", err)
	}
	refs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[source.Reference])
	if err != nil {
		return l, fmt.Errorf("finding what the account is known by: %w", err)
	}
	for _, r := range refs {
		add(r)
	}
	rows, err = tx.Query(ctx, `SELECT DISTINCT o.reference FROM account_events e JOIN account_event_origins o ON o.event_id = e.id
		WHERE e.account_id = ANY ($1) AND o.reference <> ''`, l.Accounts)
	if err != nil {
		return l, fmt.Errorf("finding by what the account's events were known: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return l, fmt.Errorf("finding by what the account's events were known: %w", err)
	}
	for _, key := range keys {
		if refs := source.ParseKey(key); len(refs) > 0 {
			add(refs[0])
		}
	}
	return l, nil
}

// inOneForm gives a reference in the one form of those that every source shares; false: it is of nobody in particular.
func inOneForm(r source.Reference) (source.Reference, bool) {
	switch r.Kind {
	case source.KindDomain, source.KindEmail, source.KindAccountUUID:
		return source.Reference{Source: r.Kind, Kind: r.Kind, ID: r.ID}, r.Kind != source.KindDomain || !resolve.IsShared(r.ID)
	}
	return r, true
}

// arguments are what statements are given: @accounts, @sources, @tenants, @kinds, @ids, @mentions, @patterns (for ~*: texts that hold an
// e-mail address, and not a longer one), @quoted (for LIKE: JSON that has an id as a text) @targets (for the audit log), and
// @gone: records of the quarantine that are counted already.
func (l looked) arguments() pgx.NamedArgs {
	sources, tenants, kinds, ids := []string{}, []string{}, []string{}, []string{}
	patterns, quoted, targets := []string{}, []string{}, []string{}
	accounts := make([]uuid.UUID, 0, len(l.Accounts))
	accounts = append(accounts, l.Accounts...)
	for _, r := range l.References {
		sources, tenants, kinds, ids = append(sources, r.Source), append(tenants, r.Tenant), append(kinds, r.Kind), append(ids, r.ID)
		targets = append(targets, r.Key(), r.String())
		if r.Kind == source.KindEmail {
			patterns = append(patterns, addressPattern(r.ID))
		}
		if len(l.References) <= maxReferences && len(r.ID) >= 4 {
			quoted = append(quoted, `%"`+escapeLike(r.ID)+`"%`)
		}
	}
	for _, id := range accounts {
		targets = append(targets, id.String())
	}
	return pgx.NamedArgs{"accounts": accounts, "sources": sources, "tenants": tenants, "kinds": kinds, "ids": ids, "patterns": patterns, "quoted": quoted, "targets": targets, "mentions": l.Mentions, "gone": []int64{}}
}

// keys are the references as the quarantine looks for them.
func (l looked) keys() []string {
	keys := []string{}
	for _, r := range l.References {
		switch r.Kind {
		case source.KindDomain:
			keys = append(keys, "domain:"+r.ID, r.Key())
		case source.KindAccountUUID:
			keys = append(keys, "uuid:"+r.ID)
		default:
			keys = append(keys, r.Key())
		}
	}
	return keys
}

// shortestID is how long an id is, at least, that is looked for where nobody knows what is an id: shorter ones stand in any
// text.
const shortestID = 4

// match says which records of the quarantine, and which payloads, are somebody's.
func (l looked) match() quarantine.Match {
	m := quarantine.Match{Keys: l.keys(), Waiting: !l.Mentions, Likes: []string{}, Patterns: []string{}, Sources: []string{}, IDs: []string{}}
	for _, r := range l.References {
		switch {
		case r.Kind == source.KindAccountUUID:
			m.Sources, m.IDs = append(m.Sources, ""), append(m.IDs, r.ID)
		case r.Kind != source.KindEmail && r.Kind != source.KindDomain && len(r.ID) >= shortestID:
			m.Sources, m.IDs = append(m.Sources, r.Source), append(m.IDs, r.ID)
		}
		if r.Kind == source.KindEmail {
			m.Likes, m.Patterns = append(m.Likes, addressLikes(r.ID)...), append(m.Patterns, addressPattern(r.ID))
		}
	}
	return m
}

func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

// is reports whether a reference of an event is one that is erased.
func (l looked) is(r source.Reference) bool {
	for _, have := range l.References {
		if have.Kind == r.Kind && have.ID == r.ID && (have.Source == r.Kind || have.Source == r.Source && (have.Tenant == "" || have.Tenant == r.Tenant)) {
			return true
		}
	}
	return false
}
