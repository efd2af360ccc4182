package learn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	// lookBatch is how many references are looked up in one query.
	lookBatch = 250
	// perReference is how many events are read for one: the oldest and the newest.
	perReference = 8
	// maxLookBytes bounds the payloads that one query gives.
	maxLookBytes = 16 << 20
	// minLookID is how long an id must be to be looked for: the GIN index has the events
	// of all sources under a value, and of short numbers there are too many.
	minLookID = 4
	// lookTimeout bounds one query.
	lookTimeout = 20 * time.Second
)

// lookSQL finds the events that hold a value, wherever it stands. The aggregate keeps
// the planner from reading the table until it meets a few. Payloads are given as the
// vendor sent them: our subject is taken off, and theirs has its name again.
const lookSQL = `
WITH hit AS MATERIALIZED (
  SELECT w.n, f.ids FROM unnest((SELECT $1::text[]), (SELECT $2::text[])) WITH ORDINALITY AS w (source, path, n)
  CROSS JOIN LATERAL (SELECT array_agg(e.id ORDER BY e.id) AS ids FROM account_events e
    WHERE e.payload @? w.path::jsonpath AND (w.source = '' OR e.source = w.source)) AS f
  WHERE f.ids IS NOT NULL
), few AS MATERIALIZED (
  SELECT DISTINCT n, id FROM hit CROSS JOIN LATERAL unnest(ids[1:$3] || ids[greatest(cardinality(ids) - $3 + 1, 1):]) AS u (id)
), e AS MATERIALIZED (
  SELECT f.n, e.id, e.source, e.event_type, e.occurred_at, e.ingested_at, coalesce((
    SELECT jsonb_object_agg(CASE WHEN key ~ '^subject(_ref)+$' THEN left(key, -4) ELSE key END, value)
    FROM jsonb_each(e.payload) WHERE key <> 'subject'), '{}')::text AS raw
  FROM few f CROSS JOIN LATERAL (SELECT * FROM account_events WHERE id = f.id LIMIT 1) AS e
), sums AS (
  SELECT e.*, sum(octet_length(raw)) OVER (ORDER BY n, id) AS through FROM e
)
SELECT s.n, s.id, s.source, s.event_type, s.occurred_at, s.ingested_at, o.reference, s.raw FROM sums s
CROSS JOIN LATERAL (SELECT reference FROM account_event_origins WHERE event_id = s.id AND reference <> '' LIMIT 1) AS o
WHERE s.through <= $4 ORDER BY s.n, s.id`

// met is an event on a timeline that holds a reference's id.
type met struct {
	n         int64 // of the reference, from 1
	id        int64
	source    string
	eventType string
	occurred  time.Time
	ingested  time.Time
	reference string // by which it found its account
	raw       string
}

// Look looks references that are due up on the timeline, and gives how many. What it
// says nothing of is asked about, where the vendor can be asked.
func (l *Learner) Look(ctx context.Context) (int, error) {
	total := 0
	for _, state := range []State{StateNew, StateNobody, StateGone} {
		due, err := l.store.take(ctx, state, "", nil, l.o.Batch)
		if err != nil {
			return total, err
		}
		var blocked []change
		open := due[:0]
		for _, t := range due {
			if l.o.Blocked.Has(t.ref) {
				blocked = append(blocked, change{id: t.id, state: StateBlocked, after: -1, why: "its id is nobody's"})
				continue
			}
			open = append(open, t)
		}
		if len(blocked) > 0 {
			if err := l.store.keep(ctx, "", blocked, nil, nil, nil); err != nil {
				return total, err
			}
			l.o.Observe(Done{Blocked: len(blocked)})
		}
		if err := l.look(ctx, open); err != nil {
			return total, err
		}
		total += len(due)
	}
	return total, nil
}

// look looks a batch up and keeps what was found.
func (l *Learner) look(ctx context.Context, batch []taken) error {
	var found [][]lead
	for some := range slices.Chunk(batch, lookBatch) {
		leads, err := l.find(ctx, some)
		if err != nil {
			return err
		}
		found = append(found, leads...)
	}
	if len(batch) == 0 {
		return nil
	}
	var changes []change
	var leads []lead
	for i, t := range batch {
		c := change{id: t.id, looked: true, state: StateAnswered}
		told := found[i]
		owned := slices.ContainsFunc(told, func(d lead) bool { return d.by != bySeen })
		if !owned && l.asks(t.ref) && !t.asked {
			c.state = StateAsking
		}
		for n := range told {
			told[n].n = n
		}
		changes, leads = append(changes, c), append(leads, told...)
	}
	if err := l.store.keep(ctx, originTimeline, changes, leads, nil, nil); err != nil {
		return err
	}
	l.o.Observe(Done{Looked: len(batch)})
	return nil
}

// find gives the leads of a batch that the timeline has, by place. A query that takes
// too long is halved, and a reference that takes too long alone is left to the vendor.
func (l *Learner) find(ctx context.Context, batch []taken) ([][]lead, error) {
	out := make([][]lead, len(batch))
	var sources, paths []string
	var places []int
	for i, t := range batch {
		if path := pathOf(t.ref); path != "" {
			from := t.ref.Source
			if isText(t.ref.Kind) {
				from = ""
			}
			sources, paths, places = append(sources, from), append(paths, path), append(places, i)
		}
	}
	if len(places) == 0 {
		return out, nil
	}
	events, err := l.meet(ctx, sources, paths)
	if tooLong(ctx, err) {
		if len(batch) == 1 {
			return out, nil
		}
		half := len(batch) / 2
		first, err := l.find(ctx, batch[:half])
		if err != nil {
			return nil, err
		}
		second, err := l.find(ctx, batch[half:])
		return append(first, second...), err
	}
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		at := places[e.n-1]
		if d, ok := l.read(batch[at], e); ok {
			out[at] = append(out[at], d)
		}
	}
	for i := range out { // what says more goes first
		slices.SortStableFunc(out[i], func(a, b lead) int { return slices.Index(telling, a.by) - slices.Index(telling, b.by) })
	}
	return out, nil
}

// telling is what a lead says, the most first.
var telling = []string{string(source.LeadDeclared), string(source.LeadVendor), bySeen}

func (l *Learner) meet(ctx context.Context, sources, paths []string) ([]met, error) {
	events, err := postgres.Bound(ctx, lookTimeout, func(ctx context.Context) ([]met, error) {
		rows, err := l.o.Pool.Query(ctx, lookSQL, pgx.QueryExecModeCacheDescribe, sources, paths, perReference/2, int64(maxLookBytes))
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (met, error) {
			var e met
			return e, row.Scan(&e.n, &e.id, &e.source, &e.eventType, &e.occurred, &e.ingested, &e.reference, &e.raw)
		})
	})
	return events, broken("looking references up on the timeline", err)
}

// tooLong: the query was given up for its time, and not because ctx has ended.
func tooLong(ctx context.Context, err error) bool {
	var pg *pgconn.PgError
	return ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) || errors.As(err, &pg) && pg.Code == "57014")
}

// pathOf gives the jsonpath that finds a reference's id, or "" where it would find too
// much. An id of a type within a source is "0-49/123".
func pathOf(ref source.Reference) string {
	id := ref.ID[strings.LastIndexByte(ref.ID, '/')+1:]
	if len(id) < minLookID {
		return ""
	}
	text, err := json.Marshal(id)
	if err != nil {
		return ""
	}
	if strings.Trim(id, "0123456789") == "" && id[0] != '0' && len(id) <= 18 {
		return fmt.Sprintf("$.** ? (@ == %s || @ == %s)", text, id)
	}
	return fmt.Sprintf("$.** ? (@ == %s)", text)
}

// read describes an event that was met, and gives what it says of the reference: that
// its object is one of the event's customer, or that it was seen. An event that only
// holds the same text somewhere says nothing.
func (l *Learner) read(t taken, e met) (lead, bool) {
	src, ok := l.o.Sources.Find(e.source)
	if !ok {
		return lead{}, false
	}
	refs := source.ParseKey(e.reference)
	if len(refs) == 0 || sameReference(refs[0], t.ref) {
		return lead{}, false
	}
	record := source.Record{Value: []byte(e.raw), Tenant: refs[0].Tenant, ReceivedAt: e.ingested}
	var doc rawjson.Doc
	object, err := doc.Parse(record.Value)
	if err != nil {
		return lead{}, false
	}
	record.Object = object
	record, described, err := source.Keyed(src, record)
	if err != nil || !slices.ContainsFunc(described.References, func(r source.Reference) bool { return sameReference(r, t.ref) }) {
		return lead{}, false
	}
	d := lead{
		of: t.id, origin: originTimeline, by: bySeen, eventID: e.id, seenOn: e.occurred.UTC().Format(time.DateOnly),
		Lead: source.Lead{Reference: refs[0], Field: e.eventType},
	}
	if relater, ok := src.(source.Relater); ok {
		for _, owned := range relater.Relates(record, described).Owned {
			if sameReference(owned.Reference, t.ref) && !isText(t.ref.Kind) {
				d.by = string(owned.By)
			}
		}
	}
	return d, true
}

// sameReference: addresses and domains are the same whatever source mentions them.
func sameReference(a, b source.Reference) bool {
	return a.Kind == b.Kind && a.ID == b.ID && (isText(a.Kind) || a.Source == b.Source && (a.Tenant == b.Tenant || a.Tenant == "" || b.Tenant == ""))
}
