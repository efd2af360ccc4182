package accounts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// change says on whose behalf events change their account.
type change struct {
	decision int64
	author   string
	whole    bool // all at once, whatever their size: they are in memory elsewhere already
}

// applied counts what was done. left is the first event that was not looked at; 0: all were.
type applied struct{ moved, returned, left int64 }

// apply brings locked events where they belong, and tells account_changes of each that leaves its account.
func (m *Mover) apply(ctx context.Context, tx pgx.Tx, events []standing, c change) (applied, error) {
	var moves, returns []standing
	for _, e := range events {
		switch e.to {
		case e.from:
		case uuid.Nil:
			returns = append(returns, e)
		default:
			moves = append(moves, e)
		}
	}
	var done applied
	if len(returns) > 0 {
		letters, left, err := m.letters(ctx, tx, returns, c.whole)
		if err != nil {
			return done, err
		}
		returns, moves = before(returns, left), before(moves, left)
		if err := m.returnEvents(ctx, tx, returns, letters, c); err != nil {
			return done, err
		}
		done.returned, done.left = int64(len(returns)), left
	}
	if err := moveEvents(ctx, tx, moves, c); err != nil {
		return done, err
	}
	done.moved = int64(len(moves))
	return done, nil
}

// before gives the events with ids below left; 0: all.
func before(events []standing, left int64) []standing {
	for i := range events {
		if left != 0 && events[i].id >= left {
			return events[:i]
		}
	}
	return events
}

const moveSQL = `
WITH moved AS (
  UPDATE account_events e SET account_id = m.to_account
  FROM unnest($1::bigint[], $2::uuid[], $3::uuid[]) AS m (id, from_account, to_account)
  WHERE e.id = m.id AND e.account_id IS NOT DISTINCT FROM m.from_account
  RETURNING e.id, e.source, e.source_event_id, m.from_account, m.to_account
)
INSERT INTO account_changes (source, source_event_id, from_account, to_account, decision_id)
SELECT source, source_event_id, from_account, to_account, $4 FROM moved ORDER BY id`

func moveEvents(ctx context.Context, tx pgx.Tx, events []standing, c change) error {
	if len(events) == 0 {
		return nil
	}
	ids, from, to := columns(events)
	tag, err := tx.Exec(ctx, moveSQL, ids, from, to, c.decision)
	if err != nil {
		return fmt.Errorf("moving events: %w", err)
	}
	return allOf(tag.RowsAffected(), events)
}

func columns(events []standing) (ids []int64, from, to []uuid.UUID) {
	for _, e := range events {
		ids, from, to = append(ids, e.id), append(from, e.from), append(to, e.to)
	}
	return ids, from, to
}

// allOf refuses to go on when some of the events were not there any more.
func allOf(n int64, events []standing) error {
	if n != int64(len(events)) {
		return errRaced
	}
	return nil
}

// An event's origin goes with it, by a trigger.
const deleteEventsSQL = `
WITH gone AS (
  DELETE FROM account_events e USING unnest($1::bigint[], $2::uuid[]) AS m (id, from_account)
  WHERE e.id = m.id AND e.account_id IS NOT DISTINCT FROM m.from_account
  RETURNING e.id, e.source, e.source_event_id, m.from_account
)
INSERT INTO account_changes (source, source_event_id, from_account, decision_id)
SELECT source, source_event_id, from_account, $3 FROM gone ORDER BY id`

// EraseEvents deletes events, whose sources, ids and decisions are its arguments, and tells account_changes that they are on
// no account now. Nothing else is kept of them.
const EraseEvents = `
WITH gone AS (
  DELETE FROM account_events e USING unnest($1::text[], $2::text[], $3::bigint[]) AS r (source, source_event_id, decision)
  WHERE e.source = r.source AND e.source_event_id = r.source_event_id
  RETURNING e.id, e.source, e.source_event_id, e.account_id, r.decision
)
INSERT INTO account_changes (source, source_event_id, from_account, decision_id)
SELECT source, source_event_id, account_id, decision FROM gone ORDER BY id`

// returnEvents takes events off the timeline and puts them into quarantine, released.
func (m *Mover) returnEvents(ctx context.Context, tx pgx.Tx, events []standing, letters []event.DeadLetter, c change) error {
	if len(letters) != len(events) {
		return errRaced
	}
	ids, from, _ := columns(events)
	tag, err := tx.Exec(ctx, deleteEventsSQL, ids, from, c.decision)
	if err != nil {
		return fmt.Errorf("taking events off the timeline: %w", err)
	}
	if err := allOf(tag.RowsAffected(), events); err != nil {
		return err
	}
	return m.giveBack(ctx, tx, letters, c.author, fmt.Sprintf("decision %d took it off the timeline", c.decision))
}

// VendorPayload is SQL for the vendor's event of row e of account_events, as JSONB.
//
// In account_events a top-level `subject` is ours, and the vendor's own is `subject_ref` (pkg/rawjson): the vendor's
// event has neither. JSONB kept its values, not its bytes; those stand at the raw position for as long as that topic
// keeps them.
const VendorPayload = `coalesce((
    SELECT jsonb_object_agg(CASE WHEN key ~ '^subject(_ref)+$' THEN left(key, -4) ELSE key END, value)
    FROM jsonb_each(e.payload) WHERE key <> 'subject'), '{}')`

// The payload is worked out once an event, hence MATERIALIZED.
const lettersSQL = `
WITH e AS MATERIALIZED (
  SELECT e.id, e.source, e.event_type, e.source_event_id, e.ingested_at, ` + VendorPayload + `::text AS raw
  FROM account_events e WHERE e.id = ANY ($1)
), sums AS (
  SELECT e.*, sum(octet_length(raw)) OVER (ORDER BY id) - octet_length(raw) AS before FROM e
)
SELECT e.id, e.source, e.event_type, e.source_event_id, e.ingested_at, coalesce(o.reference, ''), coalesce(o.delivery, ''),
  coalesce(o.raw_topic, ''), coalesce(o.raw_partition, -1), coalesce(o.raw_offset, -1), coalesce(o.raw_index, -1), e.raw
FROM sums e LEFT JOIN LATERAL (SELECT * FROM account_event_origins WHERE event_id = e.id LIMIT 1) AS o ON true
WHERE e.before < $2 ORDER BY e.id`

// letters describes the events as dead letters, as many of the first as a batch may hold, and gives the id of the
// first that it may not; 0: all fit.
func (m *Mover) letters(ctx context.Context, tx pgx.Tx, events []standing, whole bool) ([]event.DeadLetter, int64, error) {
	ids, _, _ := columns(events)
	bytesMost := int64(returnBytes)
	if whole {
		bytesMost = 1 << 40
	}
	rows, err := tx.Query(ctx, lettersSQL, ids, bytesMost)
	if err != nil {
		return nil, 0, fmt.Errorf("reading events: %w", err)
	}
	letters, err := pgx.CollectRows(rows, scanLetter)
	if err != nil {
		return nil, 0, fmt.Errorf("reading events: %w", err)
	}
	if len(letters) < len(events) {
		return letters, events[len(letters)].id, nil
	}
	return letters, 0, nil
}

func scanLetter(row pgx.CollectableRow) (event.DeadLetter, error) {
	var id int64
	var ingested time.Time
	var reference, delivery, raw string
	l := event.DeadLetter{Reason: string(fault.Unresolved), Error: "the link by which it found its account was undone", Attempts: 1}
	err := row.Scan(&id, &l.Source, &l.Type, &l.SourceEventID, &ingested, &reference, &delivery, &l.Topic, &l.Partition, &l.Offset, &l.RawIndex, &raw)
	if err != nil {
		return l, err
	}
	if l.Topic == "" {
		l.Topic = stream.RawTopic(l.Source)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(raw)); err != nil {
		return l, fmt.Errorf("reading a payload: %w", err)
	}
	l.Value, l.Key, l.FirstSeen = compact.Bytes(), []byte(l.SourceEventID), ingested
	if refs := source.ParseKey(reference); len(refs) > 0 {
		l.Key, l.References, l.Tenant = []byte(reference), refs[:1], refs[0].Tenant
	}
	record := stream.RawRecord(l.Source, source.Record{Value: l.Value, Key: l.Key, Tenant: l.Tenant, Mode: source.Mode(delivery), ReceivedAt: ingested}, "")
	for _, h := range record.Headers {
		l.Headers = append(l.Headers, event.Header{Key: h.Key, Value: h.Value})
	}
	return l, nil
}
