package learn

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// A vendor that merges two objects says so in an event, which stands on the timeline, or
// waits. The object that is lost is linked to the account of the one that it became a
// part of, and its events follow: also where it was linked to another, unless a person
// had linked it, who then decides about a suggestion.

// mergeTypes are the event types that tell of merges, by the source that is a Relater.
// Others are not read.
var mergeTypes = []string{"contact.merged", "company.merged", "deal.merged", "ticket.merged", "user.merged", "leads.merged", "lead.merged"}

const (
	// mergePage is how many events are read at once.
	mergePage = 500
	// mergesBehind is how many events before the newest that was read are read again:
	// their transactions may have been committed behind it.
	mergesBehind = 10_000
)

// mergesSQL gives events that tell of merges: those of the timeline from an event on,
// and those that wait. The CTE keeps the planner from walking the table by id.
const mergesSQL = `
WITH merges AS MATERIALIZED (
  SELECT id, source, event_type, ingested_at, payload FROM account_events WHERE event_type = ANY ($1) AND id > $2
), page AS MATERIALIZED (SELECT * FROM merges ORDER BY id LIMIT $3)
SELECT p.id, p.source, coalesce(o.reference, ''), p.ingested_at, coalesce((
    SELECT jsonb_object_agg(CASE WHEN key ~ '^subject(_ref)+$' THEN left(key, -4) ELSE key END, value)
    FROM jsonb_each(p.payload) WHERE key <> 'subject'), '{}')::text
FROM page p LEFT JOIN LATERAL (SELECT reference FROM account_event_origins WHERE event_id = p.id LIMIT 1) AS o ON true
ORDER BY p.id`

const waitingMergesSQL = `
SELECT q.id, q.source, tenant, first_seen, payload::text FROM (SELECT id FROM quarantine_states WHERE status = 'open' AND reason = $1 ORDER BY id) AS s
CROSS JOIN LATERAL (SELECT id, source, tenant, event_type, first_seen, payload FROM quarantine WHERE id = s.id LIMIT 1) AS q
WHERE event_type = ANY ($2) AND payload IS NOT NULL LIMIT $3`

// Merges links what vendors have merged, and gives how many objects that were.
func (l *Learner) Merges(ctx context.Context) (int, error) {
	var after int64
	if err := l.o.Pool.QueryRow(ctx, "SELECT merges_event FROM learning_progress").Scan(&after); err != nil {
		return 0, broken("reading how far merges were read", err)
	}
	total := 0
	for from := max(0, after-mergesBehind); ; {
		rows, err := l.o.Pool.Query(ctx, mergesSQL, mergeTypes, from, mergePage)
		if err != nil {
			return total, broken("reading merges", err)
		}
		var merges []source.Merge
		read := 0
		var id int64
		var name, reference, raw string
		var ingested time.Time
		if _, err := pgx.ForEachRow(rows, []any{&id, &name, &reference, &ingested, &raw}, func() error {
			read++
			tenant := ""
			if refs := source.ParseKey(reference); len(refs) > 0 {
				tenant = refs[0].Tenant
			}
			merges = append(merges, l.mergesOf(name, source.Record{Value: []byte(raw), Tenant: tenant, ReceivedAt: ingested})...)
			return nil
		}); err != nil {
			return total, broken("reading merges", err)
		}
		did, err := l.mergeAll(ctx, merges)
		total += did
		if err != nil {
			return total, err
		}
		if read == 0 {
			break
		}
		from = id
		if _, err := l.o.Pool.Exec(ctx, "UPDATE learning_progress SET merges_event = $1 WHERE merges_event < $1", from); err != nil {
			return total, broken("keeping how far merges were read", err)
		}
		if read < mergePage {
			break
		}
	}
	did, err := l.waitingMerges(ctx)
	return total + did, err
}

// waitingMerges reads the merges of events that wait.
func (l *Learner) waitingMerges(ctx context.Context) (int, error) {
	rows, err := l.o.Pool.Query(ctx, waitingMergesSQL, string(fault.Unresolved), mergeTypes, mergePage)
	if err != nil {
		return 0, broken("reading merges that wait", err)
	}
	var merges []source.Merge
	var id int64
	var name, tenant, raw string
	var seen time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &name, &tenant, &seen, &raw}, func() error {
		merges = append(merges, l.mergesOf(name, source.Record{Value: []byte(raw), Tenant: tenant, ReceivedAt: seen})...)
		return nil
	}); err != nil {
		return 0, broken("reading merges that wait", err)
	}
	return l.mergeAll(ctx, merges)
}

// mergesOf reads one event.
func (l *Learner) mergesOf(name string, r source.Record) []source.Merge {
	src, _ := l.o.Sources.Find(name)
	relater, ok := src.(source.Relater)
	if !ok {
		return nil
	}
	var doc rawjson.Doc
	object, err := doc.Parse(r.Value)
	if err != nil {
		return nil
	}
	r.Object = object
	r, e, err := source.Keyed(src, r)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(relater.Relates(r, e).Merged, func(m source.Merge) bool {
		return m.Lost == m.Into || l.o.Blocked.Has(m.Lost) || l.o.Blocked.Has(m.Into)
	})
}

// mergeAll links each lost object to the account of what it became a part of.
func (l *Learner) mergeAll(ctx context.Context, merges []source.Merge) (int, error) {
	if len(merges) == 0 {
		return 0, nil
	}
	var refs []source.Reference
	for _, m := range merges {
		refs = append(refs, m.Lost, m.Into)
	}
	known, err := l.whereto(ctx, refs)
	if err != nil {
		return 0, err
	}
	var links []accounts.Decision
	var moves []source.Merge
	seen := map[source.Reference]bool{}
	for _, m := range merges {
		lost, into := known[m.Lost], known[m.Into]
		if into.DecisionID == 0 || seen[m.Lost] || lost.DecisionID != 0 && lost.Account == into.Account {
			continue // the winner has no link yet, or it is so already
		}
		seen[m.Lost] = true
		if lost.DecisionID != 0 {
			moves = append(moves, m)
			continue
		}
		links = append(links, mergeDecision(m, into))
	}
	outcomes, err := l.accounts.LinkAll(ctx, links)
	if err != nil {
		return 0, err
	}
	did := 0
	for _, o := range outcomes {
		if o.Outcome == accounts.LinkMade {
			did++
		}
	}
	for _, m := range moves { // as rare as merges of two known customers
		moved, err := l.relink(ctx, m, known[m.Lost], known[m.Into])
		if err != nil {
			return did, err
		}
		if moved {
			did++
		}
	}
	if did > 0 {
		l.o.Observe(Done{Merges: did})
	}
	return did, nil
}

func mergeDecision(m source.Merge, into Claim) accounts.Decision {
	claim := into
	claim.Lead = source.Lead{Reference: m.Into, By: source.LeadDeclared, Field: fieldMergedInto}
	p := Case{Reference: m.Lost}.proposal(claim, accounts.LevelDeclared)
	p.Rule, p.Why = RuleVendorID, "the vendor merged it into "+m.Into.String()
	if !isAutomatic(p.Level) {
		p.Level = accounts.LevelVendor
	}
	return decision(m.Lost, p)
}

// relink moves an automatic link after a merge. A person's stays, and is suggested to be
// changed; a link that was made after the merge was read is not fought with.
func (l *Learner) relink(ctx context.Context, m source.Merge, lost, into Claim) (bool, error) {
	d := mergeDecision(m, into)
	entries, err := l.accounts.Entries(ctx, accounts.EntryFilter{Reference: &m.Lost, Limit: 20})
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		byPerson := e.Learned == accounts.LearnedOperator || e.Learned == accounts.LearnedImport
		if byPerson && (e.ID == lost.DecisionID || e.UndoneBy != 0 || e.Verb != accounts.VerbLink) || e.Verb == accounts.VerbRelink && e.To == into.Account {
			_, err := l.store.suggest(ctx, []suggested{{m.Lost, Proposal{
				Rule: RuleVendorID, Account: into.Account, Level: accounts.LevelDeclared, Why: d.Reason + "; a person linked it to another account",
			}}})
			return false, err
		}
	}
	d.Verb, d.From = accounts.VerbRelink, lost.Account
	effect, err := l.accounts.Decide(ctx, d)
	if fault.IsPermanent(err) {
		l.o.Log.Warn("a merge at the vendor cannot be followed", zap.String("reference", m.Lost.String()), zap.Error(err))
		return false, nil
	}
	return effect.Changed, err
}
