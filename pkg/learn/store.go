package learn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

// State is how far a reference is.
type State string

// The states.
const (
	StateNew      State = "new"      // to be looked up on the timeline
	StateAsking   State = "asking"   // to be asked about
	StateAnswered State = "answered" // what it points at has no account yet
	StateLinked   State = "linked"
	StateNobody   State = "nobody"   // nothing says whose it is; asked again later
	StateGone     State = "gone"     // the vendor does not have it; asked again much later
	StateConflict State = "conflict" // good evidence disagrees
	StateBlocked  State = "blocked"  // nobody's id (rule 0)
)

// States gives every state.
func States() []State {
	return []State{StateNew, StateAsking, StateAnswered, StateLinked, StateNobody, StateGone, StateConflict, StateBlocked}
}

// leaseFor is how long what was taken is not taken by another. Work that takes longer
// may be done twice.
const leaseFor = 5 * time.Minute

// store is the tables of migration 00015. Errors are the database's, marked by
// postgres.Classify.
type store struct{ pool *pgxpool.Pool }

func broken(doing string, err error) error {
	if err == nil || fault.IsPermanent(err) {
		return err
	}
	return postgres.Classify(fmt.Errorf("%s: %w", doing, err))
}

// taken is a reference that is worked on.
type taken struct {
	id    int64
	ref   source.Reference
	name  string
	depth int
	looks int
	asked bool // the vendor has answered, lately enough
}

// collectSQL is of one page of the quarantine. Addresses and domains are the same
// whatever source mentions them. A reference that is there is not locked: keep has
// locked others, and would be waited for in a circle. The lateral is a look at an index
// for each, whatever the statistics say; without them the planner reads all references
// for every page. What was put aside (asideSQL) is new again.
const collectSQL = `
WITH waiting AS MATERIALIZED (
  SELECT q.id, q."references" FROM (SELECT id FROM quarantine_states WHERE status = 'open' AND reason = $1 AND id > $2 ORDER BY id LIMIT $3) AS s
  CROSS JOIN LATERAL (SELECT id, "references" FROM quarantine WHERE id = s.id LIMIT 1) AS q
), refs AS MATERIALIZED (
  SELECT DISTINCT CASE WHEN r.kind IN ('email', 'domain') THEN r.kind ELSE r.source END AS source,
    CASE WHEN r.kind IN ('email', 'domain') THEN '' ELSE coalesce(r.tenant, '') END AS tenant, r.kind, r.id AS external_id
  FROM waiting w CROSS JOIN LATERAL jsonb_to_recordset(w."references") AS r (source text, tenant text, kind text, id text)
  WHERE r.kind <> 'account_uuid' AND r.id <> '' AND octet_length(r.id) <= 512
), known AS MATERIALIZED (
  SELECT r.*, l.id, l.seen_at, l.state, l.due_at FROM refs r LEFT JOIN LATERAL (SELECT id, seen_at, state, due_at FROM learned_references l
    WHERE l.source = r.source AND l.kind = r.kind AND l.external_id = r.external_id AND l.tenant = r.tenant LIMIT 1) AS l ON true
), again AS (
  UPDATE learned_references SET state = 'new', due_at = now() WHERE id = ANY (ARRAY (
    SELECT id FROM learned_references WHERE id = ANY (ARRAY (SELECT id FROM known WHERE id IS NOT NULL AND state = 'nobody' AND due_at IS NULL))
    AND state = 'nobody' AND due_at IS NULL FOR UPDATE SKIP LOCKED)) RETURNING id
), added AS (
  INSERT INTO learned_references (source, tenant, kind, external_id)
  SELECT source, tenant, kind, external_id FROM known WHERE id IS NULL ORDER BY source, kind, external_id, tenant
  ON CONFLICT DO NOTHING RETURNING 1
), seen AS (
  UPDATE learned_references SET seen_at = now() WHERE id = ANY (ARRAY (
    SELECT id FROM learned_references WHERE id = ANY (ARRAY (SELECT id FROM known WHERE seen_at < now() - interval '6 hours' AND NOT (state = 'nobody' AND due_at IS NULL)))
    FOR UPDATE SKIP LOCKED))
)
SELECT (SELECT coalesce(max(id), 0) FROM waiting), (SELECT count(*) FROM waiting), (SELECT count(*) FROM added) + (SELECT count(*) FROM again)`

// collect takes what a page of waiting events refers to, from after a record's id on,
// and gives where the next begins, whether there may be one, and what was new.
func (s store) collect(ctx context.Context, after int64, limit int) (next int64, more bool, fresh int, err error) {
	var read int
	err = undeadlocked(func() error {
		return s.pool.QueryRow(ctx, collectSQL, string(fault.Unresolved), after, limit).Scan(&next, &read, &fresh)
	})
	return next, read == limit, fresh, broken("collecting what waits for an account", err)
}

// takeSQL takes what is due. What the database's clock says is due again after the
// lease, whoever held it. Without orderedSQL before it, the planner reads and sorts all
// of a state that is due, for the few that are wanted: its statistics are those of a
// table whose states change faster than it is analyzed.
const orderedSQL = "SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true)"

const takeSQL = `
UPDATE learned_references SET due_at = now() + $4::interval WHERE id = ANY (ARRAY (
  SELECT id FROM learned_references WHERE state = $1 AND due_at <= now() AND ($2 = '' OR source = $2) AND ($5::text[] IS NULL OR kind = ANY ($5))
  ORDER BY due_at, id LIMIT $3 FOR UPDATE SKIP LOCKED))
RETURNING id, source, tenant, kind, external_id, name, depth, looks, coalesce(asked_at > now() - interval '1 day', false)`

// take gives due references in this state, of one source ("": of all) and of these
// kinds (nil: of all).
func (s store) take(ctx context.Context, state State, from string, kinds []string, limit int) (list []taken, err error) {
	var batch pgx.Batch // one request, and one transaction
	batch.Queue(orderedSQL)
	batch.Queue(takeSQL, string(state), from, limit, leaseFor, kinds).Query(func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (taken, error) {
			var t taken
			r := &t.ref
			return t, row.Scan(&t.id, &r.Source, &r.Tenant, &r.Kind, &r.ID, &t.name, &t.depth, &t.looks, &t.asked)
		})
		return err
	})
	return list, broken("taking references", s.pool.SendBatch(ctx, &batch).Close())
}

// change is what becomes of a reference.
type change struct {
	id    int64
	state State
	after time.Duration // when it is due; below 0: when something changes
	why   string
	// asked: the vendor has answered, with what follows. Else that stays as it is.
	asked    bool
	name     string
	evidence json.RawMessage
	looked   bool // on the timeline
}

// As everywhere here, arrays stand in sub-selects, so that the planner does not see how
// long they are: it takes them for short, looks each element up by an index, and does
// not compile the statement first, which takes longer than to run it.
const changeSQL = `
UPDATE learned_references l SET state = c.state, why = c.why, looks = l.looks + c.looked::int,
  due_at = CASE WHEN c.after >= 0 THEN now() + make_interval(secs => c.after) END,
  asked_at = CASE WHEN c.asked THEN now() ELSE l.asked_at END,
  name = CASE WHEN c.asked THEN c.name ELSE l.name END, evidence = CASE WHEN c.asked THEN c.evidence::jsonb ELSE l.evidence END
FROM unnest((SELECT $1::bigint[]), (SELECT $2::text[]), (SELECT $3::float8[]), (SELECT $4::text[]), (SELECT $5::bool[]), (SELECT $6::text[]), (SELECT $7::text[]), (SELECT $8::bool[]))
  AS c (id, state, after, why, asked, name, evidence, looked)
WHERE l.id = c.id`

// lead is what a reference points at, as it is stored.
type lead struct {
	of     int64
	origin string // originAPI or originTimeline
	n      int
	source.Lead
	by      string // of Lead, or bySeen
	eventID int64
	seenOn  string // YYYY-MM-DD, or ""
}

const (
	originAPI      = "api"
	originTimeline = "timeline"
	bySeen         = "seen"
)

const forgetLeads = `DELETE FROM learned_leads WHERE origin = $2 AND reference_id = ANY ($1)`

// Two processes may learn the same at a time.
const keepLeads = `
INSERT INTO learned_leads (reference_id, origin, n, source, tenant, kind, external_id, by, field, event_id, seen_on)
SELECT reference_id, origin, n, source, tenant, kind, external_id, by, field, nullif(event_id, 0), nullif(seen_on, '')::date
FROM unnest((SELECT $1::bigint[]), (SELECT $2::text[]), (SELECT $3::smallint[]), (SELECT $4::text[]), (SELECT $5::text[]), (SELECT $6::text[]), (SELECT $7::text[]), (SELECT $8::text[]), (SELECT $9::text[]), (SELECT $10::bigint[]), (SELECT $11::text[]))
  AS r (reference_id, origin, n, source, tenant, kind, external_id, by, field, event_id, seen_on)
CROSS JOIN LATERAL (SELECT FROM learned_references l WHERE l.id = r.reference_id LIMIT 1) AS l
ORDER BY 1, 2, 3
ON CONFLICT (reference_id, origin, n) DO UPDATE SET source = excluded.source, tenant = excluded.tenant, kind = excluded.kind,
  external_id = excluded.external_id, by = excluded.by, field = excluded.field, event_id = excluded.event_id, seen_on = excluded.seen_on`

// asideSQL gives which of these references no open record waits for, and none points at.
// What it reads of the quarantine it finds by the index of references alone: without
// statistics the planner takes every key for a frequent one, of which it comes across a
// record soon by reading on. quickSQL before it leaves it bitmaps only, and of these the
// one that leads to the fewest records, whatever it costs to find.
const quickSQL = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'off', true), set_config('enable_indexonlyscan', 'off', true), " +
	"set_config('cpu_tuple_cost', '1000', true), set_config('jit', 'off', true)"

const asideSQL = `
SELECT r.id FROM unnest((SELECT $1::bigint[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::text[]), (SELECT $6::text[])) AS r (id, key, source, tenant, kind, external_id)
LEFT JOIN LATERAL (SELECT q.id FROM quarantine_states q WHERE q.status = 'open' AND q.reference_keys && ARRAY[r.key] LIMIT 1) AS q ON true
LEFT JOIN LATERAL (SELECT d.reference_id FROM learned_leads d
  WHERE d.external_id = r.external_id AND d.kind = r.kind AND d.source = r.source AND d.tenant IN (r.tenant, '') AND d.reference_id <> r.id LIMIT 1) AS d ON true
WHERE q.id IS NULL AND d.reference_id IS NULL`

// asideTimeout bounds the look at what waits: while many records come in, the index has
// a list that is read for each key. What it does not find out in time is asked about.
const asideTimeout = 10 * time.Second

// aside leaves out of due what no event waits for any more. That is put aside, with what
// it knows, until an event refers to it again (collectSQL) or something else points at
// it (askOn).
func (s store) aside(ctx context.Context, due []taken) ([]taken, error) {
	ids, keys, l := make([]int64, len(due)), make([]string, len(due)), listsOf(nil)
	for i, t := range due {
		ids[i], keys[i] = t.id, t.ref.Key()
		l.add(t.ref)
	}
	idle, err := postgres.Bound(ctx, asideTimeout, func(ctx context.Context) (idle []int64, err error) {
		var batch pgx.Batch
		batch.Queue(quickSQL)
		batch.Queue(asideSQL, ids, keys, l.sources, l.tenants, l.kinds, l.ids).Query(func(rows pgx.Rows) (err error) {
			idle, err = pgx.CollectRows(rows, pgx.RowTo[int64])
			return err
		})
		return idle, s.pool.SendBatch(ctx, &batch).Close()
	})
	if tooLong(ctx, err) {
		return due, nil
	}
	if err != nil || len(idle) == 0 {
		return due, broken("looking for what no event waits for", err)
	}
	changes := make([]change, len(idle))
	for i, id := range idle {
		changes[i] = change{id: id, state: StateNobody, after: -1, why: "no event waits for it any more"}
	}
	if err := s.keep(ctx, "", changes, nil, nil, nil); err != nil {
		return due, err
	}
	slices.Sort(idle)
	return slices.DeleteFunc(due, func(t taken) bool { _, found := slices.BinarySearch(idle, t.id); return found }), nil
}

// What a reference points at is asked about too, unless it is linked.
const askOn = `
INSERT INTO learned_references (source, tenant, kind, external_id, depth)
SELECT DISTINCT ON (r.source, r.kind, r.external_id, r.tenant) r.source, r.tenant, r.kind, r.external_id, r.depth
FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::smallint[])) AS r (source, tenant, kind, external_id, depth)
WHERE NOT EXISTS (SELECT FROM account_links a WHERE a.source = r.source AND a.kind = r.kind AND a.external_id = r.external_id AND a.tenant IN (r.tenant, ''))
ORDER BY r.source, r.kind, r.external_id, r.tenant, r.depth
ON CONFLICT DO NOTHING`

// What was put aside is asked about when something points at it.
const askAgain = `
UPDATE learned_references SET state = 'new', due_at = now() WHERE id = ANY (ARRAY (
  SELECT l.id FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[])) AS r (source, tenant, kind, external_id)
  CROSS JOIN LATERAL (SELECT id FROM learned_references l WHERE l.source = r.source AND l.kind = r.kind AND l.external_id = r.external_id AND l.tenant = r.tenant
    AND l.state = 'nobody' AND l.due_at IS NULL) AS l)) AND state = 'nobody' AND due_at IS NULL`

// wakeSQL lets what points at these references be judged again, and what is one of these
// addresses itself.
const wakeSQL = `
UPDATE learned_references l SET due_at = now(), state = CASE l.state WHEN 'nobody' THEN 'answered' ELSE l.state END FROM (
  SELECT d.reference_id AS id FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[])) AS r (source, tenant, kind, external_id)
  CROSS JOIN LATERAL (SELECT reference_id FROM learned_leads d
    WHERE d.external_id = r.external_id AND d.kind = r.kind AND d.source = r.source AND d.tenant IN (r.tenant, '')) AS d
  UNION
  SELECT o.id FROM unnest((SELECT $4::text[]), (SELECT $3::text[])) AS r (external_id, kind)
  CROSS JOIN LATERAL (SELECT id FROM learned_references o
    WHERE o.source = 'email' AND o.kind = 'email' AND r.kind = 'email' AND o.external_id = r.external_id AND o.tenant = '') AS o) AS w
WHERE l.id = w.id AND l.state IN ('answered', 'conflict', 'nobody') AND (l.due_at IS NULL OR l.due_at > now())`

// maxDepth is how many questions one event may lead to, one after the other.
const maxDepth = 5

// lockSQL locks what keep changes, and what it wakes, in the order of all who change
// many references: whoever does not would wait for another that waits for it.
const lockSQL = `
SELECT FROM learned_references WHERE id = ANY ($1) OR id = ANY (ARRAY (
  SELECT d.reference_id FROM unnest((SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::text[])) AS r (source, tenant, kind, external_id)
  CROSS JOIN LATERAL (SELECT reference_id FROM learned_leads d
    WHERE d.external_id = r.external_id AND d.kind = r.kind AND d.source = r.source AND d.tenant IN (r.tenant, '')) AS d
  UNION
  SELECT o.id FROM unnest((SELECT $5::text[]), (SELECT $4::text[])) AS r (external_id, kind)
  CROSS JOIN LATERAL (SELECT id FROM learned_references o
    WHERE o.source = 'email' AND o.kind = 'email' AND r.kind = 'email' AND o.external_id = r.external_id AND o.tenant = '') AS o))
ORDER BY id FOR UPDATE`

// keep writes what was learned in one transaction: the changes, the leads of those
// references that they replace, and questions about what is led to. wake are
// references of which something is known now.
func (s store) keep(ctx context.Context, origin string, changes []change, leads []lead, next []taken, wake []source.Reference) error {
	return broken("keeping what was learned", undeadlocked(func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			ids := make([]int64, len(changes))
			for i, c := range changes {
				ids[i] = c.id
			}
			l := listsOf(wake)
			if _, err := tx.Exec(ctx, lockSQL, ids, l.sources, l.tenants, l.kinds, l.ids); err != nil {
				return err
			}
			if err := keepChanges(ctx, tx, changes); err != nil {
				return err
			}
			if origin != "" {
				if _, err := tx.Exec(ctx, forgetLeads, ids, origin); err != nil {
					return err
				}
			}
			if err := keepLeadsOf(ctx, tx, leads); err != nil {
				return err
			}
			if len(next) > 0 {
				l, depths := listsOf(nil), make([]int16, len(next))
				for i, t := range next {
					l.add(t.ref)
					depths[i] = int16(t.depth)
				}
				if _, err := tx.Exec(ctx, askOn, l.sources, l.tenants, l.kinds, l.ids, depths); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, askAgain, l.sources, l.tenants, l.kinds, l.ids); err != nil {
					return err
				}
			}
			return wakeThose(ctx, tx, wake)
		})
	}))
}

// undeadlocked does work again that Postgres gave up because of another transaction that
// waited for it in turn: processes that share the work meet on the same rows.
func undeadlocked(work func() error) error {
	const most = 5
	for try := 1; ; try++ {
		err := work()
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "40P01" || try == most {
			return err
		}
	}
}

func keepChanges(ctx context.Context, tx pgx.Tx, changes []change) error {
	var ids []int64
	var states, whys, names, evidences []string
	var afters []float64
	var askeds, lookeds []bool
	for _, c := range changes {
		evidence := string(c.evidence)
		if evidence == "" {
			evidence = "{}"
		}
		ids, states, afters, whys = append(ids, c.id), append(states, string(c.state)), append(afters, c.after.Seconds()), append(whys, c.why)
		askeds, names, evidences, lookeds = append(askeds, c.asked), append(names, c.name), append(evidences, evidence), append(lookeds, c.looked)
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, changeSQL, ids, states, afters, whys, askeds, names, evidences, lookeds)
	return err
}

func keepLeadsOf(ctx context.Context, tx pgx.Tx, leads []lead) error {
	if len(leads) == 0 {
		return nil
	}
	var of, events []int64
	var places []int16
	var origins, bys, fields, days []string
	l := listsOf(nil)
	for _, d := range leads {
		l.add(d.Reference)
		of, places, events = append(of, d.of), append(places, int16(d.n)), append(events, d.eventID)
		origins, bys, fields, days = append(origins, d.origin), append(bys, d.by), append(fields, d.Field), append(days, d.seenOn)
	}
	_, err := tx.Exec(ctx, keepLeads, of, origins, places, l.sources, l.tenants, l.kinds, l.ids, bys, fields, events, days)
	return err
}

func wakeThose(ctx context.Context, tx pgx.Tx, refs []source.Reference) error {
	if len(refs) == 0 {
		return nil
	}
	l := listsOf(refs)
	_, err := tx.Exec(ctx, wakeSQL, l.sources, l.tenants, l.kinds, l.ids)
	return err
}

// lists is references as a query's parameters.
type lists struct{ sources, tenants, kinds, ids []string }

func listsOf(refs []source.Reference) lists {
	var l lists
	for _, r := range refs {
		l.add(r)
	}
	return l
}

func (l *lists) add(r source.Reference) {
	l.sources, l.tenants, l.kinds, l.ids = append(l.sources, r.Source), append(l.tenants, r.Tenant), append(l.kinds, r.Kind), append(l.ids, r.ID)
}

// leadsSQL gives the leads of references, and whether what they point at is still to
// be asked about.
const leadsSQL = `
SELECT d.reference_id, d.origin, d.source, d.tenant, d.kind, d.external_id, d.by, d.field, coalesce(d.event_id, 0), coalesce(d.seen_on::text, ''),
  coalesce(l.state IN ('new', 'asking'), false)
FROM unnest((SELECT $1::bigint[])) AS r (id)
CROSS JOIN LATERAL (SELECT * FROM learned_leads d WHERE d.reference_id = r.id ORDER BY d.origin, d.n LIMIT 1000) AS d
LEFT JOIN LATERAL (SELECT state FROM learned_references l WHERE l.source = d.source AND l.kind = d.kind AND l.external_id = d.external_id AND l.tenant = d.tenant LIMIT 1) AS l ON true
ORDER BY d.reference_id, d.origin, d.n`

func (s store) leads(ctx context.Context, ids []int64) (map[int64][]Claim, error) {
	rows, err := s.pool.Query(ctx, leadsSQL, ids)
	if err != nil {
		return nil, broken("reading leads", err)
	}
	all := map[int64][]Claim{}
	var of int64
	var origin, by string
	var c Claim
	r := &c.Reference
	_, err = pgx.ForEachRow(rows, []any{&of, &origin, &r.Source, &r.Tenant, &r.Kind, &r.ID, &by, &c.Field, &c.EventID, &c.SeenOn, &c.Pending}, func() error {
		claim := c
		if claim.By = source.LeadLevel(by); by == bySeen {
			claim.By, claim.Seen = "", true
		}
		all[of] = append(all[of], claim)
		return nil
	})
	return all, broken("reading leads", err)
}

// linkLevels gives the level and the decision of the links of references, by place; the
// zero value where there is none.
const linkLevelsSQL = `
SELECT r.n, l.account_id, d.level, d.id FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[])) WITH ORDINALITY AS r (source, tenant, kind, id, n)
CROSS JOIN LATERAL (SELECT account_id, decision_id FROM account_links l
  WHERE l.source = r.source AND l.kind = r.kind AND l.external_id = r.id AND l.tenant = r.tenant LIMIT 1) AS l
JOIN link_decisions d ON d.id = l.decision_id`

// tiesSQL gives the linked objects of persons: of each address, those that the vendor
// says have it, and how many objects of one kind have it at all.
const tiesSQL = `
WITH asked AS MATERIALIZED (SELECT DISTINCT address FROM unnest((SELECT $1::text[])) AS a (address)
), objects AS MATERIALIZED (
  SELECT a.address, l.source, l.tenant, l.kind, l.external_id FROM asked a
  CROSS JOIN LATERAL (SELECT reference_id FROM learned_leads d
    WHERE d.external_id = a.address AND d.kind = 'email' AND d.by = 'person' AND d.origin = 'api' LIMIT 1000) AS d
  JOIN learned_references l ON l.id = d.reference_id
)
SELECT o.address, o.source, o.tenant, o.kind, o.external_id, k.account_id, d.level, d.id, 0
FROM objects o
CROSS JOIN LATERAL (SELECT account_id, decision_id FROM account_links k
  WHERE k.source = o.source AND k.kind = o.kind AND k.external_id = o.external_id AND k.tenant IN (o.tenant, '') LIMIT 1) AS k
JOIN link_decisions d ON d.id = k.decision_id AND d.level IN ('decided', 'declared', 'vendor')
UNION ALL
SELECT a.address, 'email', '', 'email', a.address, k.account_id, d.level, d.id, 0 FROM asked a
JOIN account_links k ON k.kind = 'email' AND k.external_id = a.address AND k.source = 'email'
JOIN link_decisions d ON d.id = k.decision_id AND d.level IN ('decided', 'declared', 'vendor')
UNION ALL
SELECT address, '', '', '', '', NULL, '', 0, max(n)::int FROM (SELECT address, count(*) AS n FROM objects GROUP BY address, source, kind) AS c GROUP BY address`

// ownersSQL gives the accounts of domains, and NULL for one that behaves like a public one.
const ownersSQL = `
SELECT DISTINCT d.domain, coalesce(a.merged_into, a.id) FROM unnest((SELECT $1::text[])) AS d (domain) JOIN accounts a ON lower(a.domain) = d.domain
UNION ALL
SELECT s.domain, NULL FROM suspect_domains s WHERE s.domain = ANY ((SELECT $1::text[])::text[]) AND s.decision IS DISTINCT FROM 'private'`
