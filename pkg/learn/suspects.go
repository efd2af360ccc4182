package learn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	// domainsTimeout bounds the query for domains that behave like public ones.
	domainsTimeout = 10 * time.Minute
	// mostSuspects bounds what one look finds: those of the most accounts.
	mostSuspects = 5000
)

// Who has taken the turn has it for longer than the query may take. What failed is due
// again after it.
const domainsTurnSQL = `UPDATE learning_progress SET domains_due_at = now() + interval '15 minutes' WHERE domains_due_at <= now()`

// The next night's, at three, UTC.
const domainsDoneSQL = `UPDATE learning_progress SET domains_due_at = (date_trunc('day', (now() AT TIME ZONE 'UTC') + interval '21 hours') + interval '3 hours') AT TIME ZONE 'UTC'`

// suspectsSQL finds the domains whose people belong to many accounts by better evidence
// than the domain: links of addresses, and objects with an address that are linked.
// Accounts below one parent count as one.
const suspectsSQL = `
WITH RECURSIVE parents AS MATERIALIZED (
  SELECT a.id, coalesce(p.merged_into, p.id) AS parent FROM accounts a LEFT JOIN accounts p ON p.id = a.parent_id WHERE a.merged_into IS NULL
), family AS (
  SELECT id, id AS root FROM parents WHERE parent IS NULL
  UNION ALL
  SELECT c.id, f.root FROM parents c JOIN family f ON c.parent = f.id
), seen AS (
  SELECT substring(k.external_id FROM '@([^@]+)$') AS domain, k.account_id, k.decision_id FROM account_links k WHERE k.kind = 'email'
  UNION ALL
  SELECT substring(d.external_id FROM '@([^@]+)$'), k.account_id, k.decision_id FROM learned_leads d
  JOIN learned_references r ON r.id = d.reference_id
  JOIN account_links k ON k.source = r.source AND k.kind = r.kind AND k.external_id = r.external_id AND k.tenant IN (r.tenant, '')
  WHERE d.kind = 'email' AND d.by = 'person' AND d.origin = 'api'
), of AS (
  SELECT s.domain, f.root, min(s.account_id::text)::uuid AS account_id FROM seen s
  JOIN link_decisions l ON l.id = s.decision_id AND l.level IN ('decided', 'declared', 'vendor', 'strong')
  JOIN family f ON f.id = s.account_id
  WHERE s.domain <> '' GROUP BY s.domain, f.root
)
SELECT domain, count(*), (array_agg(account_id ORDER BY account_id))[1:5] FROM of GROUP BY domain HAVING count(*) >= $1 ORDER BY count(*) DESC, domain LIMIT $2`

const keepSuspectsSQL = `
INSERT INTO suspect_domains AS s (domain, accounts, examples)
SELECT domain, accounts, examples::uuid[] FROM unnest((SELECT $1::text[]), (SELECT $2::int[]), (SELECT $3::text[])) AS f (domain, accounts, examples) ORDER BY domain
ON CONFLICT (domain) DO UPDATE SET accounts = excluded.accounts, examples = excluded.examples WHERE (s.accounts, s.examples) IS DISTINCT FROM (excluded.accounts, excluded.examples)
RETURNING domain, xmax = 0 AND decision IS NULL`

// Domains looks once a night, whichever learner comes first, for domains that behave
// like public ones: people with an address there belong to SharedFrom accounts or more,
// by better evidence. From then on no rule leads from such a domain to an account,
// unless a person decides that it is private (Suspects). It gives 0.
func (l *Learner) Domains(ctx context.Context) (int, error) {
	turn, err := l.o.Pool.Exec(ctx, domainsTurnSQL)
	if err != nil || turn.RowsAffected() == 0 {
		return 0, broken("taking the turn to look for public domains", err)
	}
	return 0, broken("looking for domains that behave like public ones", l.domains(ctx))
}

func (l *Learner) domains(ctx context.Context) error {
	type found struct {
		domain   string
		accounts int32
		examples []uuid.UUID
	}
	list, err := postgres.Bound(ctx, domainsTimeout, func(ctx context.Context) ([]found, error) {
		rows, err := l.o.Pool.Query(ctx, suspectsSQL, SharedFrom, mostSuspects)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f found, err error) {
			return f, row.Scan(&f.domain, &f.accounts, &f.examples)
		})
	})
	if err != nil {
		return err
	}
	var domains, examples []string
	var counts []int32
	for _, f := range list {
		domain, ok := source.Domain(f.domain)
		if !ok || domain != f.domain || l.o.Resolver.Freemail(domain) || l.o.Resolver.Company(domain) {
			continue // no rule leads from it anyway, or it was decided
		}
		domains, counts = append(domains, domain), append(counts, f.accounts)
		examples = append(examples, array(f.examples))
	}
	rows, err := l.o.Pool.Query(ctx, keepSuspectsSQL, domains, counts, examples)
	if err != nil {
		return err
	}
	var domain string
	var isNew bool
	var fresh []string
	if _, err := pgx.ForEachRow(rows, []any{&domain, &isNew}, func() error {
		if isNew {
			fresh = append(fresh, domain)
		}
		return nil
	}); err != nil {
		return err
	}
	if len(fresh) > 0 {
		l.o.Observe(Done{Suspects: len(fresh)})
		l.o.Log.Warn("domains behave like public ones: no rule leads from them to an account any more; `throughline learning domains` shows them",
			zap.Int("domains", len(fresh)), zap.Strings("first", fresh[:min(len(fresh), 10)]))
	}
	_, err = l.o.Pool.Exec(ctx, domainsDoneSQL)
	return err
}

// array writes ids as Postgres reads an array: it takes no lists of unequal length in one.
func array(ids []uuid.UUID) string {
	text := []byte{'{'}
	for i, id := range ids {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, id.String()...)
	}
	return string(append(text, '}'))
}

// The decisions about a domain.
const (
	DomainPublic  = "public"
	DomainPrivate = "private"
)

// SuspectDomain is a domain that behaves like a public one, or that a person decided
// about.
type SuspectDomain struct {
	Domain string
	// Accounts is of how many its people are; 0: a person named it.
	Accounts int
	// Examples are names of some of them.
	Examples  []string
	FoundAt   time.Time
	Decision  string // DomainPublic, DomainPrivate, or "": none, and it counts as public
	DecidedBy string
	Reason    string
}

// Suspects is what people see and decide of domains that behave like public ones.
// Errors are Permanent when the request cannot be granted, and else the database's.
type Suspects struct{ db postgres.DB }

// NewSuspects makes it.
func NewSuspects(db postgres.DB) Suspects { return Suspects{db} }

const suspectColumns = `s.domain, s.accounts, ARRAY (SELECT a.name FROM unnest(s.examples) AS e (id) JOIN accounts a ON a.id = e.id ORDER BY a.name, a.id), s.found_at, coalesce(s.decision, ''), s.decided_by, s.reason`

func scanSuspect(row pgx.CollectableRow) (d SuspectDomain, err error) {
	return d, row.Scan(&d.Domain, &d.Accounts, &d.Examples, &d.FoundAt, &d.Decision, &d.DecidedBy, &d.Reason)
}

// List gives at most so many, those that nobody decided about first, and of these those
// of the most accounts.
func (s Suspects) List(ctx context.Context, limit int) ([]SuspectDomain, error) {
	const doing = "listing domains that behave like public ones"
	rows, err := s.db.Query(ctx, "SELECT "+suspectColumns+" FROM suspect_domains s ORDER BY s.decision IS NOT NULL, s.accounts DESC, s.domain LIMIT $1", limit)
	if err != nil {
		return nil, broken(doing, err)
	}
	list, err := pgx.CollectRows(rows, scanSuspect)
	return list, broken(doing, err)
}

// Open counts those that nobody decided about.
func (s Suspects) Open(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRow(ctx, "SELECT count(*) FROM suspect_domains WHERE decision IS NULL").Scan(&n)
	return n, broken("counting domains that behave like public ones", err)
}

// Decide records what a person says of a domain, found or not, and gives it as it is
// now. It counts for the next event.
func (s Suspects) Decide(ctx context.Context, domain, decision, by, reason string) (SuspectDomain, error) {
	plain, ok := source.Domain(domain)
	if !ok {
		return SuspectDomain{}, fault.Permanent(fault.Malformed, fmt.Errorf("%q is not a domain", domain))
	}
	if !slices.Contains([]string{DomainPublic, DomainPrivate}, decision) {
		return SuspectDomain{}, fault.Permanent(fault.Malformed, errors.New("a domain is decided to be public or private"))
	}
	rows, err := s.db.Query(ctx, `INSERT INTO suspect_domains AS s (domain, decision, decided_by, decided_at, reason) VALUES ($1, $2, $3, now(), $4)
		ON CONFLICT (domain) DO UPDATE SET decision = excluded.decision, decided_by = excluded.decided_by, decided_at = now(), reason = excluded.reason
		RETURNING `+suspectColumns, plain, decision, by, because(reason, ""))
	if err != nil {
		return SuspectDomain{}, broken("deciding about a domain", err)
	}
	d, err := pgx.CollectExactlyOneRow(rows, scanSuspect)
	return d, broken("deciding about a domain", err)
}
