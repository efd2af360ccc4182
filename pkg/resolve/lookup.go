package resolve

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/source"
)

// lookup answers a batch in one statement. Each row says which kind of answer it is and to what: for links and
// denials the number of the kind of reference and the place in its list, else the place in that array. Links of the
// exact tenant and of ” come as two rows, and so does each account of a domain. An account that was merged into
// another stands for that one. A domain that behaves like a public one (migration 00022) leads to none. What is erased
// (migration 00027) is looked for only where references of its kind are. One more row names the epoch (migration 00010)
// of all these answers, and whether events that only mention what is erased are, too.
//
// Most kinds of reference are never linked (an invoice, when its customer is), so the kinds are looked at first
// and the lists of those without any link or denial are not even taken apart. A list travels as one text. A tenant that is
// ” may come out of it as NULL, which means the same here.
//
// The arrays stand in sub-selects so that the planner does not see how long they are. It then assumes a few
// elements and descends an index for each. The CTEs keep it from joining the links by kind alone, which without
// statistics it takes for few. With the length in view it would rather read a whole table into a
// hash, which takes longer with every account, and compile that with JIT first.
const lookup = `
WITH kinds AS MATERIALIZED (
  SELECT k.n, k.source, k.kind, k.ids, k.tenants, EXISTS (SELECT FROM suppressions s WHERE s.kind = k.kind AND s.source IN (k.source, k.kind)) AS erased
  FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[])) WITH ORDINALITY AS k (source, kind, ids, tenants, n)
  CROSS JOIN LATERAL (
    (SELECT 1 FROM account_links l WHERE l.source = k.source AND l.kind = k.kind
    ORDER BY l.source, l.kind, l.external_id, l.tenant LIMIT 1)
    UNION ALL
    (SELECT 1 FROM account_link_denials d WHERE d.source = k.source AND d.kind = k.kind
    ORDER BY d.source, d.kind, d.external_id, d.tenant LIMIT 1)
    UNION ALL
    (SELECT 1 FROM suppressions s WHERE s.kind = k.kind AND s.source IN (k.source, k.kind) LIMIT 1)
    LIMIT 1) AS first
), refs AS MATERIALIZED (
  SELECT k.n AS kind_n, k.source, k.kind, r.n, r.id, r.tenant, k.erased
  FROM kinds k CROSS JOIN LATERAL unnest(string_to_array(k.ids, E'\x1f'), string_to_array(k.tenants, E'\x1f')) WITH ORDINALITY AS r (id, tenant, n))
SELECT CASE l.tenant WHEN '' THEN 1 ELSE 0 END, r.kind_n, r.n, l.account_id
FROM refs r
JOIN account_links l ON l.source = r.source AND l.kind = r.kind AND l.external_id = r.id AND l.tenant = ANY (ARRAY[r.tenant, ''])
UNION ALL
SELECT CASE d.tenant WHEN '' THEN 5 ELSE 4 END, r.kind_n, r.n, d.account_id
FROM refs r
JOIN account_link_denials d ON d.source = r.source AND d.kind = r.kind AND d.external_id = r.id AND d.tenant = ANY (ARRAY[r.tenant, ''])
UNION ALL
SELECT 2, 1, u.n, coalesce(a.merged_into, a.id)
FROM unnest((SELECT $5::uuid[])) WITH ORDINALITY AS u (id, n) JOIN accounts a ON a.id = u.id
UNION ALL
SELECT DISTINCT 3, 1, d.n, coalesce(a.merged_into, a.id)
FROM unnest((SELECT $6::text[])) WITH ORDINALITY AS d (domain, n) JOIN accounts a ON lower(a.domain) = d.domain
UNION ALL
SELECT 8, 1, d.n, '00000000-0000-0000-0000-000000000000'
FROM unnest((SELECT $6::text[])) WITH ORDINALITY AS d (domain, n) JOIN suspect_domains s ON s.domain = d.domain AND s.decision IS DISTINCT FROM 'private'
UNION ALL
SELECT CASE WHEN f.mentions THEN 10 ELSE 9 END, e.kinds[f.n], e.places[f.n], '00000000-0000-0000-0000-000000000000'
FROM (SELECT array_agg(r.source) AS sources, array_agg(r.kind) AS names, array_agg(coalesce(r.tenant, '')) AS tenants, array_agg(r.id) AS ids,
  array_agg(r.kind_n) AS kinds, array_agg(r.n) AS places FROM refs r WHERE r.erased) AS e
CROSS JOIN LATERAL suppressed(e.sources, e.names, e.tenants, e.ids) AS f
UNION ALL
SELECT 6, k.n, 1, '00000000-0000-0000-0000-000000000000' FROM kinds k
UNION ALL
SELECT 7, CASE WHEN EXISTS (SELECT FROM suppressions s WHERE s.mentions) THEN 2 ELSE 1 END, 1, epoch FROM link_epoch`

// separator stands between the elements of a list; no source.IsText holds it.
const separator = "\x1f"

// The values of lookup's first column.
const (
	whatLink = iota
	whatAnyTenantLink
	whatAccount
	whatDomain
	whatDenial
	whatAnyTenantDenial
	whatKind  // there are links or denials of this kind
	whatEpoch // of the snapshot that all rows are of
	whatSuspect
	whatErased
	whatErasedMention // events that only mention it are erased, too
)

// index numbers distinct values in the order of their first appearance.
type index[T comparable] struct {
	number map[T]int32
	list   []T
}

func (x *index[T]) add(v T) (n int32, isNew bool) {
	if n, have := x.number[v]; have {
		return n, false
	}
	n = int32(len(x.list))
	x.number[v] = n
	x.list = append(x.list, v)
	return n, true
}

func newIndex[T comparable](size int) index[T] {
	return index[T]{number: make(map[T]int32, size), list: make([]T, 0, size)}
}

// question collects what a batch needs to know, each thing once.
type question struct {
	rules     Rules
	freemail  domains
	links     index[source.Reference]
	uses      []use // by link
	accounts  index[uuid.UUID]
	domains   index[string]
	byDomain  []int32 // by domain: the link of the domain itself
	byAccount []int32 // by account: the link of its id, which only erasing knows
	asked     []int32 // the links that ask was given
}

// use says where a reference's answers stand; -1 is nowhere.
type use struct{ shared, account, domain int32 }

func newQuestion(rules Rules, freemail domains) *question {
	return &question{rules: rules, freemail: freemail, links: newIndex[source.Reference](0), accounts: newIndex[uuid.UUID](0), domains: newIndex[string](0)}
}

// ask adds what one reference needs, and gives its number, or -1: a reference with text that nobody can have
// linked (a header of a third party can hold any bytes) asks nothing, and must not spoil the batch.
func (q *question) ask(ref source.Reference) int32 {
	n, isNew := q.links.add(ref)
	if !isNew {
		return n
	}
	if !source.IsText(ref.Source) || !source.IsText(ref.Tenant) || !source.IsText(ref.Kind) || !source.IsText(ref.ID) {
		q.links.list = q.links.list[:n]
		q.links.number[ref] = -1
		return -1
	}
	q.uses = append(q.uses, use{-1, -1, -1})
	q.asked = append(q.asked, n)
	u := use{-1, -1, -1}
	if shared, ok := sharedLink(ref.Kind, ref.ID); ok {
		u.shared = q.addLink(shared)
	}
	if id, ok := q.uuidOf(ref); ok {
		var isNew bool
		if u.account, isNew = q.accounts.add(id); isNew {
			q.byAccount = append(q.byAccount, q.addLink(source.Reference{Source: source.KindAccountUUID, Kind: source.KindAccountUUID, ID: id.String()}))
		}
	}
	if d := q.domainOf(ref); d != "" && !q.freemail.has(d) {
		var isNew bool
		if u.domain, isNew = q.domains.add(d); isNew {
			q.byDomain = append(q.byDomain, q.addLink(domainLink(d)))
		}
	}
	q.uses[n] = u
	return n
}

// addLink adds a reference for the link that it may have and nothing else.
func (q *question) addLink(ref source.Reference) int32 {
	n, isNew := q.links.add(ref)
	if isNew {
		q.uses = append(q.uses, use{-1, -1, -1})
	}
	return n
}

// sharedLink gives the link that e-mail addresses and domains of every source share: "email:kim@acme.example".
func sharedLink(kind, id string) (source.Reference, bool) {
	if kind != source.KindEmail && kind != source.KindDomain {
		return source.Reference{}, false
	}
	return source.Reference{Source: kind, Kind: kind, ID: id}, true
}

func domainLink(domain string) source.Reference {
	return source.Reference{Source: source.KindDomain, Kind: source.KindDomain, ID: domain}
}

// uuidOf gives the account id that a reference carries, if that rule is on.
func (q *question) uuidOf(ref source.Reference) (uuid.UUID, bool) {
	if !q.rules.AccountUUID || ref.Kind != source.KindAccountUUID {
		return uuid.UUID{}, false
	}
	id, err := uuid.Parse(ref.ID)
	return id, err == nil
}

// domainOf gives the domain that a reference speaks of, if its rule is on.
func (q *question) domainOf(ref source.Reference) string {
	switch {
	case ref.Kind == source.KindEmail && q.rules.Email:
		return emailDomain(ref.ID)
	case ref.Kind == source.KindDomain && q.rules.Domain:
		return ref.ID
	}
	return ""
}

// answers is what the database said, by the question's numbers.
type answers struct {
	*question
	exact, anyTenant []uuid.UUID            // by link; zero: none
	denials          map[denial][]uuid.UUID // the accounts that a link does not stand for
	found            []uuid.UUID            // by account: where it is now; zero: nowhere
	owner            []uuid.UUID            // by domain
	owners           []int                  // by domain
	suspect          []bool                 // by domain: it behaves like a public one
	kinds            []kind                 // that were asked for
	linked           []bool                 // by kind: there are links or denials
	erased, mention  []bool                 // by link: it is erased; and so is what only mentions it
	epoch            uuid.UUID
	mentions         bool       // such mentions matter at all
	verdicts         []*verdict // by link, as they are asked for
}

// kind is a kind of reference of one source.
type kind struct{ source, kind string }

// moment is the epoch of all links and accounts (zero: there is none, so nothing may be kept), and whether events that
// only mention what is erased are erased, too.
type moment struct {
	epoch    uuid.UUID
	mentions bool
}

func currentMoment(ctx context.Context, db DB) (now moment, err error) {
	rows, err := db.Query(ctx, "SELECT epoch, EXISTS (SELECT FROM suppressions WHERE mentions) FROM link_epoch")
	if err != nil {
		return now, err
	}
	var id [16]byte
	_, err = pgx.ForEachRow(rows, []any{&id, &now.mentions}, func() error { now.epoch = id; return nil })
	return now, err
}

func (q *question) answer(ctx context.Context, db DB) (*answers, error) {
	a := &answers{question: q, denials: map[denial][]uuid.UUID{}, verdicts: make([]*verdict, len(q.links.list))}
	a.exact, a.anyTenant = make([]uuid.UUID, len(q.links.list)), make([]uuid.UUID, len(q.links.list))
	a.erased, a.mention = make([]bool, len(q.links.list)), make([]bool, len(q.links.list))
	a.found = make([]uuid.UUID, len(q.accounts.list))
	a.owner, a.owners, a.suspect = make([]uuid.UUID, len(q.domains.list)), make([]int, len(q.domains.list)), make([]bool, len(q.domains.list))
	l := listsOf(q.links.list)
	a.kinds, a.linked = l.of, make([]bool, len(l.of))
	// Not a prepared statement: its plan would outlive the tables' size, and one made for empty tables reads
	// them whole for each reference.
	rows, err := db.Query(ctx, lookup, pgx.QueryExecModeCacheDescribe, l.sources, l.kinds, l.ids, l.tenants, q.accounts.list, q.domains.list)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var what int32
	var kind, n int64
	var id [16]byte
	into := []any{&what, &kind, &n, &id}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("reading an answer: %w", err)
		}
		switch what {
		case whatEpoch:
			a.epoch, a.mentions = id, kind == 2
		case whatKind:
			a.linked[kind-1] = true
		case whatAccount, whatDomain, whatSuspect:
			a.take(what, n-1, id)
		default:
			a.take(what, int64(l.links[kind-1][n-1]), id)
		}
	}
	return a, rows.Err()
}

// lists is the references as lookup's parameters, by kind.
type lists struct {
	sources, kinds []string
	ids, tenants   []string  // joined by separator
	links          [][]int32 // the places of the lists' elements among the references
	of             []kind
}

func listsOf(refs []source.Reference) lists {
	kinds := newIndex[kind](16)
	var l lists
	for i, r := range refs {
		n, isNew := kinds.add(kind{r.Source, r.Kind})
		if isNew {
			l.sources, l.kinds, l.links = append(l.sources, r.Source), append(l.kinds, r.Kind), append(l.links, nil)
		}
		l.links[n] = append(l.links[n], int32(i))
	}
	l.of = kinds.list
	for _, links := range l.links {
		var ids, tenants strings.Builder
		hasTenant := false
		for i, n := range links {
			if i > 0 {
				ids.WriteString(separator)
				tenants.WriteString(separator)
			}
			ids.WriteString(refs[n].ID)
			tenants.WriteString(refs[n].Tenant)
			hasTenant = hasTenant || refs[n].Tenant != ""
		}
		l.ids = append(l.ids, ids.String())
		if !hasTenant {
			tenants.Reset()
		}
		l.tenants = append(l.tenants, tenants.String())
	}
	return l
}

func (a *answers) take(what int32, n int64, id uuid.UUID) {
	switch what {
	case whatLink:
		a.exact[n] = id
	case whatAnyTenantLink:
		a.anyTenant[n] = id
	case whatAccount:
		a.found[n] = id
	case whatDomain:
		a.owner[n] = id
		a.owners[n]++
	case whatSuspect:
		a.suspect[n] = true
	case whatErased, whatErasedMention:
		a.erased[n] = true
		a.mention[n] = a.mention[n] || what == whatErasedMention
	case whatDenial, whatAnyTenantDenial:
		key := denial{int32(n), what == whatAnyTenantDenial}
		a.denials[key] = append(a.denials[key], id)
	}
}

// denial is a link, for its tenant or for any, as a denial is about it.
type denial struct {
	link      int32
	anyTenant bool
}

// How specific a way from a reference to an account is. A denial closes the ways that are as specific as what it is
// about, and less specific ones: what is said of a domain does not touch the link of an address.
const (
	byExactLink = iota
	byAnyTenantLink
	bySharedLink
	byDomainLink
	byRule // the account's own id or domain
)

// denied: somebody decided that reference n does not lead to this account in this way.
func (a *answers) denied(n int32, id uuid.UUID, way int) bool {
	if len(a.denials) == 0 {
		return false
	}
	u := a.uses[n]
	says := func(link int32, anyTenant bool) bool {
		return link >= 0 && slices.Contains(a.denials[denial{link, anyTenant}], id)
	}
	return says(n, false) || way >= byAnyTenantLink && says(n, true) || way >= bySharedLink && says(u.shared, true) ||
		way >= byDomainLink && u.domain >= 0 && says(a.byDomain[u.domain], true)
}

// link gives the account that reference n is linked to: the source's own link before the one that all share.
func (a *answers) link(n int32) (uuid.UUID, bool) {
	if id := a.exact[n]; id != (uuid.UUID{}) && !a.denied(n, id, byExactLink) {
		return id, true
	}
	if id := a.anyTenant[n]; id != (uuid.UUID{}) && !a.denied(n, id, byAnyTenantLink) {
		return id, true
	}
	return a.shared(n, a.uses[n].shared, bySharedLink)
}

// shared gives the account of link l, which reference n shares with others.
func (a *answers) shared(n, l int32, way int) (uuid.UUID, bool) {
	if l < 0 {
		return uuid.UUID{}, false
	}
	id := a.anyTenant[l]
	return id, id != (uuid.UUID{}) && !a.denied(n, id, way)
}

// account gives the account whose id reference n carries, if it exists.
func (a *answers) account(n int32) (uuid.UUID, bool) {
	u := a.uses[n].account
	if u < 0 {
		return uuid.UUID{}, false
	}
	id := a.found[u]
	return id, id != (uuid.UUID{}) && !a.denied(n, id, byRule)
}

// domain gives the account of reference n's domain: the one it is linked to, else its only owner.
func (a *answers) domain(n int32) (uuid.UUID, bool) {
	d := a.uses[n].domain
	if d < 0 {
		return uuid.UUID{}, false
	}
	if id, ok := a.shared(n, a.byDomain[d], byDomainLink); ok {
		return id, true
	}
	return a.owner[d], a.owners[d] == 1 && !a.suspect[d] && !a.denied(n, a.owner[d], byRule)
}

// obstacle says why reference n nearly led to an account, or "".
func (a *answers) obstacle(n int32) string {
	ref, u := a.links.list[n], a.uses[n]
	for _, of := range []int32{n, u.shared} {
		if denials := append(a.denials[denial{of, false}], a.denials[denial{of, true}]...); len(denials) > 0 {
			return fmt.Sprintf("it was decided that %s is not account %s", strings.ToValidUTF8(a.links.list[of].String(), "\uFFFD"), denials[0])
		}
	}
	if u.account >= 0 && a.found[u.account] == (uuid.UUID{}) {
		return fmt.Sprintf("there is no account %s", a.accounts.list[u.account])
	}
	if d := a.domainOf(ref); d != "" && a.freemail.has(d) {
		return d + " is a free-mail domain"
	}
	if u.domain >= 0 && a.suspect[u.domain] {
		return a.domains.list[u.domain] + " behaves like a free-mail domain: its people belong to several accounts"
	}
	if u.domain >= 0 && a.owners[u.domain] > 1 {
		return fmt.Sprintf("%d accounts share the domain %s", a.owners[u.domain], a.domains.list[u.domain])
	}
	return ""
}

// verdict gives where reference n leads; -1 is one that asked nothing.
func (a *answers) verdict(n int32) *verdict {
	if n < 0 {
		return nowhere
	}
	if a.verdicts[n] == nil {
		v := &verdict{mention: a.mention[n]}
		u := a.uses[n]
		if a.erased[n] {
			v.rule, v.erased = RuleLinks, true
		} else if id, ok := a.link(n); ok {
			v.account, v.rule = id, RuleLinks
		} else if u.account >= 0 && a.erased[a.byAccount[u.account]] {
			v.rule, v.erased = RuleAccountUUID, true
		} else if u.domain >= 0 && a.erased[a.byDomain[u.domain]] {
			v.rule, v.erased = domainRule(a.links.list[n]), true
		} else if id, ok := a.account(n); ok {
			v.account, v.rule = id, RuleAccountUUID
		} else if id, ok := a.domain(n); ok {
			v.account, v.rule = id, domainRule(a.links.list[n])
		} else {
			v.obstacle = a.obstacle(n)
		}
		a.verdicts[n] = v
	}
	return a.verdicts[n]
}

func domainRule(ref source.Reference) string {
	if ref.Kind == source.KindEmail {
		return RuleEmail
	}
	return RuleDomain
}
