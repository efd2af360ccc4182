package learn

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Judge judges the references that are due, a batch at a time until none is left, and
// gives how many. Links that are made let what points at them be judged in the next
// round.
func (l *Learner) Judge(ctx context.Context) (int, error) {
	if err := l.wakeAll(ctx); err != nil {
		return 0, err
	}
	total := 0
	for {
		due, err := l.store.take(ctx, StateAnswered, "", nil, l.o.Batch)
		if err != nil || len(due) == 0 {
			return total, err
		}
		conflicts, err := l.store.take(ctx, StateConflict, "", nil, l.o.Batch)
		if err != nil {
			return total, err
		}
		due = append(due, conflicts...)
		for some := range slices.Chunk(due, l.o.Batch) {
			if err := l.judge(ctx, some); err != nil {
				return total, err
			}
		}
		total += len(due)
	}
}

// wakeAll makes all that waits due when links or accounts have changed: anybody may
// have linked what something points at.
func (l *Learner) wakeAll(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.judged) < judgeAllEvery {
		return nil
	}
	var epoch string
	if err := l.o.Pool.QueryRow(ctx, "SELECT coalesce((SELECT epoch::text FROM link_epoch), '')").Scan(&epoch); err != nil {
		return broken("reading the epoch of the links", err)
	}
	l.judged = time.Now()
	if epoch == l.epoch && epoch != "" {
		return nil
	}
	if _, err := l.o.Pool.Exec(ctx, `UPDATE learned_references SET state = CASE state WHEN 'nobody' THEN 'answered' ELSE state END, due_at = now()
		WHERE id = ANY (ARRAY (SELECT id FROM learned_references
			WHERE state IN ('answered', 'conflict') AND (due_at IS NULL OR due_at > now()) OR state = 'nobody' AND kind IN ('email', 'domain')
			ORDER BY id FOR UPDATE))`); err != nil {
		return broken("waking what waits", err)
	}
	l.epoch = epoch
	return nil
}

// judge judges a batch, in a number of queries that does not grow with it.
func (l *Learner) judge(ctx context.Context, batch []taken) error {
	cases, linked, err := l.cases(ctx, batch)
	if err != nil {
		return err
	}
	verdicts := make([]Verdict, len(batch))
	var decisions []accounts.Decision
	var of []int
	for i := range batch {
		if linked[i] {
			continue
		}
		verdicts[i] = Judge(cases[i])
		if link := verdicts[i].Link; link != nil {
			of = append(of, i)
			decisions = append(decisions, decision(cases[i].Reference, *link))
		}
	}
	outcomes, err := l.accounts.LinkAll(ctx, decisions)
	if err != nil {
		return err
	}
	done := Done{Links: map[accounts.Level]int{}, ByRule: map[Rule]int{}}
	var suggestions []suggested
	var wake []source.Reference
	for n, outcome := range outcomes {
		i := of[n]
		link := verdicts[i].Link
		switch outcome.Outcome {
		case accounts.LinkMade, accounts.LinkThere:
			linked[i] = true
			wake = append(wake, batch[i].ref)
			for _, claim := range cases[i].Claims { // whoever else has the address may be the same person
				if claim.Reference.Kind == source.KindEmail {
					wake = append(wake, claim.Reference)
				}
			}
			if outcome.Outcome == accounts.LinkMade {
				done.Links[link.Level]++
				done.ByRule[link.Rule]++
			}
		case accounts.LinkUndone: // a person took it back: a person may want it again
			verdicts[i].Suggestions = append(verdicts[i].Suggestions, *link)
			verdicts[i].Why = "a person took the link back"
		default:
			verdicts[i].Why = map[accounts.LinkOutcome]string{
				accounts.LinkElsewhere: "it is linked to another account meanwhile", accounts.LinkDenied: "it was decided that it is not this account",
				accounts.LinkStale: "what the link rests on was undone", accounts.LinkRefused: "it cannot be linked",
			}[outcome.Outcome]
		}
	}
	changes := make([]change, len(batch))
	for i, t := range batch {
		changes[i] = l.next(t, cases[i], verdicts[i], linked[i])
		if linked[i] {
			continue
		}
		if changes[i].state == StateNobody && !isText(t.ref.Kind) { // what points at it need not wait for it any more
			wake = append(wake, t.ref)
		}
		if verdicts[i].Conflict {
			done.Conflicts++
			l.o.Log.Warn("good evidence disagrees about a reference", zap.String("reference", t.ref.String()), zap.String("why", verdicts[i].Why))
		}
		for _, p := range verdicts[i].Suggestions {
			suggestions = append(suggestions, suggested{t.ref, p})
		}
	}
	if done.Suggested, err = l.store.suggest(ctx, suggestions); err != nil {
		return err
	}
	if err := l.store.keep(ctx, "", changes, nil, nil, wake); err != nil {
		return err
	}
	l.o.Observe(done)
	return nil
}

func decision(ref source.Reference, p Proposal) accounts.Decision {
	p.Evidence.Rule = p.Rule
	evidence, err := json.Marshal(p.Evidence)
	if err != nil {
		evidence = nil // which Decide takes for {}
	}
	return accounts.Decision{
		Verb: accounts.VerbLink, Reference: ref, To: p.Account, Level: p.Level, Learned: Learned, Author: Author,
		Reason: p.Why, Evidence: evidence, RestsOn: p.RestsOn,
	}
}

// next says when a reference is looked at next.
func (l *Learner) next(t taken, c Case, v Verdict, linked bool) change {
	out := change{id: t.id, state: StateAnswered, after: -1, why: v.Why}
	switch {
	case linked:
		out.state, out.why = StateLinked, ""
	case v.Conflict:
		out.state = StateConflict
	case v.Waits:
		out.after = 10 * time.Minute // it is woken before, when what it waits for has an answer
	case isText(t.ref.Kind) || !slices.ContainsFunc(c.Claims, func(claim Claim) bool { return !claim.Seen }):
		out.state, out.after = StateNobody, nobodyFor
		if !t.asked { // an event on the timeline may say so any minute: less often the longer none does
			out.after = min(nobodyFor, time.Minute<<min(2*t.looks, 20))
		}
		if out.why == "" {
			out.why = "nothing says whose it is"
		}
	}
	return out
}

// cases gathers what is known of a batch, and which of it is linked already.
func (l *Learner) cases(ctx context.Context, batch []taken) ([]Case, []bool, error) {
	ids := make([]int64, len(batch))
	for i, t := range batch {
		ids[i] = t.id
	}
	claims, err := l.store.leads(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	cases := make([]Case, len(batch))
	var refs []source.Reference
	for i, t := range batch {
		cases[i] = Case{Reference: t.ref, Claims: claims[t.id], Name: t.name, Persons: map[string]Person{}}
		refs = append(refs, t.ref)
		for _, c := range cases[i].Claims {
			refs = append(refs, c.Reference)
		}
	}
	known, err := l.whereto(ctx, refs)
	if err != nil {
		return nil, nil, err
	}
	linked := make([]bool, len(batch))
	var addresses []string
	for i := range cases {
		c := &cases[i]
		linked[i] = known[c.Reference].Way == resolve.RuleLinks
		for n := range c.Claims {
			claim := &c.Claims[n]
			k := known[claim.Reference]
			claim.Account, claim.Way, claim.Level, claim.DecisionID = k.Account, k.Way, k.Level, k.DecisionID
			claim.Pending = claim.Pending && claim.Account == uuid.Nil
		}
		if !linked[i] {
			addresses = append(addresses, c.addresses()...)
		}
	}
	persons, err := l.persons(ctx, addresses)
	if err != nil {
		return nil, nil, err
	}
	for i := range cases {
		c := &cases[i]
		for _, address := range c.addresses() {
			if p, ok := persons[address]; ok {
				c.Persons[address] = p
			}
		}
		if c.Name != "" && !linked[i] {
			if c.Similar, err = l.similar(ctx, c.Name); err != nil {
				return nil, nil, err
			}
		}
	}
	return cases, linked, nil
}

// whereto gives where references lead: in one query, and one more for the levels of the
// links.
func (l *Learner) whereto(ctx context.Context, refs []source.Reference) (map[source.Reference]Claim, error) {
	known := map[source.Reference]Claim{}
	var distinct []source.Reference
	var batch [][]source.Reference
	for _, r := range refs {
		if _, have := known[r]; !have {
			known[r] = Claim{}
			distinct, batch = append(distinct, r), append(batch, []source.Reference{r})
		}
	}
	found, err := l.o.Resolver.Resolve(ctx, batch)
	if err != nil {
		return nil, err
	}
	var related []source.Reference
	var of []int
	for i, f := range found {
		if !f.Found {
			continue
		}
		known[distinct[i]] = Claim{Account: f.AccountID, Way: f.Rule}
		if f.Rule == resolve.RuleLinks {
			for _, r := range resolve.Related(distinct[i]) {
				related, of = append(related, r), append(of, i)
			}
		}
	}
	if len(related) == 0 {
		return known, nil
	}
	q := listsOf(related)
	rows, err := l.o.Pool.Query(ctx, linkLevelsSQL, q.sources, q.tenants, q.kinds, q.ids)
	if err != nil {
		return nil, broken("reading the levels of links", err)
	}
	var n, id int64
	var account uuid.UUID
	var level accounts.Level
	_, err = pgx.ForEachRow(rows, []any{&n, &account, &level, &id}, func() error {
		ref := distinct[of[n-1]]
		if c := known[ref]; c.Account == account && c.DecisionID == 0 { // Related gives the most specific first
			c.Level, c.DecisionID = level, id
			known[ref] = c
		}
		return nil
	})
	return known, broken("reading the levels of links", err)
}

// persons gives what is known of addresses and domains, in two queries.
func (l *Learner) persons(ctx context.Context, addresses []string) (map[string]Person, error) {
	if len(addresses) == 0 {
		return nil, nil
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	all := map[string]Person{}
	var domains []string
	for _, address := range addresses {
		p := l.describe(address)
		all[address] = p
		for _, domain := range []string{p.Host, p.Site} {
			if domain != "" {
				domains = append(domains, domain)
			}
		}
	}
	rows, err := l.o.Pool.Query(ctx, tiesSQL, addresses)
	if err != nil {
		return nil, broken("reading persons", err)
	}
	var address string
	var t Tie
	var objects int
	var account *uuid.UUID
	r := &t.Reference
	if _, err := pgx.ForEachRow(rows, []any{&address, &r.Source, &r.Tenant, &r.Kind, &r.ID, &account, &t.Level, &t.DecisionID, &objects}, func() error {
		p := all[address]
		if account == nil {
			p.Objects = objects
		} else {
			t.Account = *account
			p.Ties = append(p.Ties, t)
		}
		all[address] = p
		return nil
	}); err != nil {
		return nil, broken("reading persons", err)
	}
	owners, suspect, err := l.owners(ctx, domains)
	if err != nil {
		return nil, err
	}
	for address, p := range all {
		if suspect[p.Site] {
			p.Site = ""
		}
		if suspect[p.Host] {
			p.Public, p.Suspect = true, true
		}
		p.HostOwners, p.SiteOwners = owners[p.Host], owners[p.Site]
		all[address] = p
	}
	return all, nil
}

// owners gives the accounts of domains, and which of these behave like public ones.
func (l *Learner) owners(ctx context.Context, domains []string) (owners map[string][]uuid.UUID, suspect map[string]bool, err error) {
	owners, suspect = map[string][]uuid.UUID{}, map[string]bool{}
	rows, err := l.o.Pool.Query(ctx, ownersSQL, domains)
	if err != nil {
		return nil, nil, broken("reading the accounts of domains", err)
	}
	var domain string
	var account *uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&domain, &account}, func() error {
		if account == nil {
			suspect[domain] = true
			return nil
		}
		owners[domain] = append(owners[domain], *account)
		return nil
	})
	return owners, suspect, broken("reading the accounts of domains", err)
}

// describe says of an address, or a domain, what its text shows.
func (l *Learner) describe(address string) Person {
	host := address
	if domain, ok := source.Domain(address); ok {
		host = domain
	}
	p := Person{Host: host, Public: l.o.Resolver.Freemail(host), Disposable: l.o.Resolver.Disposable(host), Role: resolve.IsRole(address),
		Unbelieved: !l.o.Resolver.Rules().Email}
	if site := resolve.Site(host); site != host {
		p.Site = site
	}
	if l.o.Resolver.Freemail(p.Site) {
		p.Site = ""
	}
	if resolve.IsShared(host) {
		p.Host = ""
	}
	return p
}

// suggested is a proposal about a reference.
type suggested struct {
	ref source.Reference
	Proposal
}

// What was decided about the pair, or about the reference, is not suggested. A person's
// rejection stays.
const suggestSQL = `
INSERT INTO link_suggestions AS s (source, tenant, kind, external_id, account_id, rule, level, why, evidence)
SELECT r.source, r.tenant, r.kind, r.external_id, r.account_id, r.rule, r.level, r.why, r.evidence::jsonb
FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::uuid[]), (SELECT $6::smallint[]), (SELECT $7::text[]), (SELECT $8::text[]), (SELECT $9::text[]))
  AS r (source, tenant, kind, external_id, account_id, rule, level, why, evidence)
WHERE EXISTS (SELECT FROM accounts a WHERE a.id = r.account_id)
  AND NOT EXISTS (SELECT FROM account_link_denials d WHERE d.source = r.source AND d.kind = r.kind AND d.external_id = r.external_id
    AND d.tenant IN (r.tenant, '') AND d.account_id = r.account_id)
ORDER BY r.source, r.kind, r.external_id, r.tenant, r.account_id
ON CONFLICT (source, kind, external_id, tenant, account_id) DO UPDATE
  SET rule = excluded.rule, level = excluded.level, why = excluded.why, evidence = excluded.evidence, updated_at = now()
  WHERE s.status = 'open' AND (s.rule, s.level, s.why) IS DISTINCT FROM (excluded.rule, excluded.level, excluded.why)
RETURNING (xmax = 0)`

// suggest keeps suggestions, and gives how many are new.
func (s store) suggest(ctx context.Context, all []suggested) (int, error) {
	seen := map[string]bool{}
	var l lists
	var of []uuid.UUID
	var rules []int16
	var levels, whys, evidences []string
	for _, p := range all {
		key := fmt.Sprint(p.ref.Key(), p.Account)
		p.Evidence.Rule = p.Rule
		evidence, err := json.Marshal(p.Evidence)
		if err != nil || seen[key] {
			continue
		}
		seen[key] = true
		l.add(p.ref)
		of, rules, levels = append(of, p.Account), append(rules, int16(p.Rule)), append(levels, string(p.Level))
		whys, evidences = append(whys, p.Why), append(evidences, string(evidence))
	}
	if len(of) == 0 {
		return 0, nil
	}
	rows, err := s.pool.Query(ctx, suggestSQL, l.sources, l.tenants, l.kinds, l.ids, of, rules, levels, whys, evidences)
	if err != nil {
		return 0, broken("keeping suggestions", err)
	}
	fresh, isNew := 0, false
	_, err = pgx.ForEachRow(rows, []any{&isNew}, func() error {
		if isNew {
			fresh++
		}
		return nil
	})
	return fresh, broken("keeping suggestions", err)
}
