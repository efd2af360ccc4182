package erase

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
)

// idPage is how many ids of events are read at once.
const idPage = 250_000

// eraseEvents does the next batch of events; more is false when there are none left.
//
// Of an account they are found by the account. Of a person they are found by the reference of their origin and, where they
// only carry it, by the payload's index; and those that hold an e-mail address anywhere, in whatever spelling of upper and
// lower case, by reading all payloads, which next is the place of.
func (e *Eraser) eraseEvents(ctx context.Context, tx pgx.Tx, now *Erasure, w *work) (more bool, err error) {
	l := now.looked
	if len(w.ids) == 0 && !w.read {
		w.read = true
		if err := tx.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM account_events").Scan(&w.total); err != nil {
			return false, fmt.Errorf("looking how many events there are: %w", err)
		}
		if w.ids, err = e.indexed(ctx, tx, l); err != nil {
			return false, err
		}
		if len(w.ids) == idPage { // there may be more
			w.read = false
		}
	}
	batch := w.ids[:min(len(w.ids), e.batch)]
	if len(batch) == 0 {
		m := l.match()
		if !l.Mentions || len(m.Patterns) == 0 {
			return false, nil
		}
		var last int64
		if last, batch, err = e.walk(ctx, tx, m, now.next); err != nil || last == 0 {
			return false, err
		}
		now.next = last
	} else {
		w.ids = w.ids[len(batch):]
	}
	return true, e.deleteEvents(ctx, tx, now, batch)
}

// indexed gives the ids of events that indexes find, at most idPage.
func (e *Eraser) indexed(ctx context.Context, tx pgx.Tx, l looked) ([]int64, error) {
	if len(l.Accounts) > 0 {
		return collectIDs(ctx, tx, fmt.Sprintf("SELECT id FROM account_events WHERE account_id = ANY ($1) ORDER BY id LIMIT %d", idPage), l.Accounts)
	}
	ids, err := collectIDs(ctx, tx, fmt.Sprintf(`SELECT e.id FROM account_event_origins o JOIN account_events e ON e.id = o.event_id
		WHERE o.reference <> '' AND o.reference = ANY ($1) ORDER BY 1 LIMIT %d`, idPage), e.originKeys(l))
	if err != nil || len(ids) == idPage {
		return ids, err
	}
	for _, r := range l.References {
		if r.Kind == source.KindEmail {
			continue // read everywhere
		}
		more, err := e.carrying(ctx, tx, l, r)
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// originKeys are the references as origins have them: an e-mail address is any source's.
func (e *Eraser) originKeys(l looked) (keys []string) {
	for _, r := range l.References {
		keys = append(keys, r.Key())
		if r.Kind == source.KindEmail {
			for _, name := range e.sources.Names() {
				keys = append(keys, source.Reference{Source: name, Kind: r.Kind, ID: r.ID}.Key())
			}
		}
	}
	return keys
}

// carrying gives the events of a source that refer to r, by their payloads: the index finds those that have its id
// anywhere, and the source says which of them mean it.
func (e *Eraser) carrying(ctx context.Context, tx pgx.Tx, l looked, r source.Reference) (ids []int64, err error) {
	src, ok := e.sources.Find(r.Source)
	if !ok {
		return nil, nil
	}
	quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(r.ID) + `"`
	path := "$.** ? (@ == " + quoted + ")"
	paths := []string{path}
	if strings.Trim(r.ID, "0123456789") == "" && len(r.ID) < 19 {
		paths = append(paths, "$.** ? (@ == "+strings.TrimLeft(r.ID, "0")+")")
	}
	var candidates []int64
	for _, path := range paths {
		// The CTE keeps the planner to the payload's index.
		found, err := collectIDs(ctx, tx, "WITH hit AS MATERIALIZED (SELECT id, source FROM account_events WHERE payload @? $1::jsonpath) SELECT id FROM hit WHERE source = $2 ORDER BY id", path, r.Source)
		if err != nil {
			return nil, err
		}
		candidates = append(candidates, found...)
	}
	for page := range slices.Chunk(candidates, e.batch) {
		rows, err := tx.Query(ctx, "SELECT e.id, coalesce(o.delivery, ''), e.ingested_at, "+accounts.VendorPayload+`::text FROM account_events e
			LEFT JOIN account_event_origins o ON o.event_id = e.id WHERE e.id = ANY ($1)`, page)
		if err != nil {
			return nil, fmt.Errorf("reading events: %w", err)
		}
		var id int64
		var delivery, payload string
		var received time.Time
		if _, err := pgx.ForEachRow(rows, []any{&id, &delivery, &received, &payload}, func() error {
			_, event, err := source.Keyed(src, source.Record{Value: []byte(payload), Mode: source.Mode(delivery), ReceivedAt: received})
			if err == nil && slices.ContainsFunc(event.References, func(x source.Reference) bool {
				return l.is(x) || x.Tenant == "" && x.Source == r.Source && x.Kind == r.Kind && x.ID == r.ID // the receiver knew the tenant
			}) {
				ids = append(ids, id)
			}
			return nil
		}); err != nil {
			return nil, fmt.Errorf("reading events: %w", err)
		}
	}
	return ids, nil
}

// walk looks at the next events for texts, and gives the last that it looked at, 0: there are no more.
func (e *Eraser) walk(ctx context.Context, tx pgx.Tx, m quarantine.Match, after int64) (last int64, ids []int64, err error) {
	err = tx.QueryRow(ctx, `WITH page AS MATERIALIZED (SELECT id, source_event_id, event_type, payload FROM account_events WHERE id > $1 ORDER BY id LIMIT $2)
		SELECT coalesce((SELECT max(id) FROM page), 0), ARRAY (SELECT id FROM page WHERE payload::text ILIKE ANY ($3) AND payload::text ~* ANY ($4)
			OR source_event_id ILIKE ANY ($3) AND source_event_id ~* ANY ($4) OR event_type ILIKE ANY ($3) AND event_type ~* ANY ($4) ORDER BY id)`, after, e.page, m.Likes, m.Patterns).Scan(&last, &ids)
	if err != nil {
		return 0, nil, fmt.Errorf("reading payloads: %w", err)
	}
	return last, ids, nil
}

func collectIDs(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]int64, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("finding events: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("finding events: %w", err)
	}
	return ids, nil
}

// An event's origin goes with it, by a trigger.
const deleteEvents = `
WITH gone AS (
  DELETE FROM account_events WHERE id = ANY ($1) RETURNING id, source, source_event_id, account_id
), told AS (
  INSERT INTO account_changes (source, source_event_id, from_account, decision_id)
  SELECT source, source_event_id, account_id, $2 FROM gone ORDER BY id
)
SELECT id FROM gone`

// samples are what is known of events (e) by their identity: the rows that have one, and what is taken out of them.
var samples = []struct{ table, where, set string }{
	{"payload_shapes t", "EXISTS (SELECT FROM payload_types p JOIN account_events e ON e.source = p.source WHERE p.id = t.type_id AND t.event_id <> '' AND e.source_event_id = t.event_id AND e.id = ANY ($1))", "event_id = ''"},
	{"shape_findings t", "EXISTS (SELECT FROM account_events e WHERE t.event_id <> '' AND e.source = t.source AND e.source_event_id = t.event_id AND e.id = ANY ($1))",
		"event_id = '', raw_topic = '', raw_partition = -1, raw_offset = -1"},
}

// deleteEvents deletes events, and what is known of them by their identity.
func (e *Eraser) deleteEvents(ctx context.Context, tx pgx.Tx, now *Erasure, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	records, err := countKnown(ctx, tx, ids, now.Counts)
	if err != nil {
		return err
	}
	for _, s := range samples {
		if _, err := tx.Exec(ctx, "UPDATE "+s.table+" SET "+s.set+" WHERE "+s.where, ids); err != nil {
			return fmt.Errorf("taking samples out of %s: %w", s.table, err)
		}
	}
	tag, err := tx.Exec(ctx, deleteEvents, ids, now.DecisionID)
	if err != nil {
		return fmt.Errorf("erasing events: %w", err)
	}
	now.Counts.add("account_events", tag.RowsAffected())
	now.Counts.add("account_event_origins", tag.RowsAffected())
	return eraseRecords(ctx, tx, records, now.Counts, false)
}

// countKnown counts what is known of events by their identity, and gives the records of the quarantine that are theirs.
func countKnown(ctx context.Context, tx pgx.Tx, ids []int64, counts Counts) (records []int64, err error) {
	for _, s := range samples {
		var n int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM "+s.table+" WHERE "+s.where, ids).Scan(&n); err != nil {
			return nil, fmt.Errorf("counting samples of %s: %w", s.table, err)
		}
		table, _, _ := strings.Cut(s.table, " ")
		counts.add(table, n)
	}
	return quarantine.OfEvents(ctx, tx, ids)
}

// countEvents counts the events that would go, and what is known of them, and on how many accounts they are; gone are the
// records of the quarantine that would go with them.
func (e *Eraser) countEvents(ctx context.Context, tx pgx.Tx, l looked, counts Counts) (accounts int64, gone []int64, err error) {
	ids, err := e.planned(ctx, tx, l)
	if err != nil {
		return 0, nil, err
	}
	for page := range slices.Chunk(ids, idPage) {
		records, err := countKnown(ctx, tx, page, counts)
		if err != nil {
			return 0, nil, err
		}
		gone = append(gone, records...)
	}
	var n int64
	if err := tx.QueryRow(ctx, "SELECT count(*), count(DISTINCT account_id) FROM account_events WHERE id = ANY ($1)", ids).Scan(&n, &accounts); err != nil {
		return 0, nil, fmt.Errorf("counting events: %w", err)
	}
	counts.add("account_events", n)
	counts.add("account_event_origins", n)
	return accounts, gone, nil
}

// planned gives the ids of all events that would go, each once.
func (e *Eraser) planned(ctx context.Context, tx pgx.Tx, l looked) (ids []int64, err error) {
	if len(l.Accounts) > 0 {
		return collectIDs(ctx, tx, "SELECT id FROM account_events WHERE account_id = ANY ($1) ORDER BY id", l.Accounts)
	}
	if ids, err = e.indexed(ctx, tx, l); err != nil {
		return nil, err
	}
	if m := l.match(); len(m.Patterns) > 0 {
		for after := int64(0); ; {
			last, more, err := e.walk(ctx, tx, m, after)
			if err != nil {
				return nil, err
			}
			ids = append(ids, more...)
			if after = last; last == 0 {
				break
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
