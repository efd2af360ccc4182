package retention

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// look finds the time of the oldest row, NULL where there is none, and counts, up to most, those from before a time.
type look func(ctx context.Context, db querier, before time.Time, most int64) (oldest *time.Time, rows int64, err error)

// expire deletes the next batch from before a time, and moves the place on. more: there may be others.
type expire func(ctx context.Context, tx pgx.Tx, before time.Time, at *place, batch int) (rows int64, more bool, err error)

// place is where the next batch begins, so that none reads again what the one before has deleted: until nobody sees the dead
// rows any more they stand in the indexes.
type place struct {
	text string
	time time.Time
	id   int64
}

// Events are found by the index of event_type and occurred_at, a type after the other: none is on occurred_at alone, which
// would cost every insert.
const nextType = "SELECT event_type FROM account_events WHERE event_type > $1 ORDER BY event_type LIMIT 1"

func lookAtEvents(ctx context.Context, db querier, before time.Time, most int64) (oldest *time.Time, rows int64, err error) {
	list, err := db.Query(ctx, `WITH RECURSIVE types AS (
		  (SELECT event_type FROM account_events ORDER BY event_type LIMIT 1)
		  UNION ALL
		  SELECT (SELECT a.event_type FROM account_events a WHERE a.event_type > t.event_type ORDER BY a.event_type LIMIT 1) FROM types t WHERE t.event_type IS NOT NULL)
		SELECT event_type, (SELECT a.occurred_at FROM account_events a WHERE a.event_type = t.event_type ORDER BY a.occurred_at LIMIT 1) AS oldest FROM types t WHERE event_type IS NOT NULL`)
	if err != nil {
		return nil, 0, err
	}
	type kind struct {
		Name   string
		Oldest *time.Time
	}
	kinds, err := pgx.CollectRows(list, pgx.RowToStructByPos[kind])
	if err != nil {
		return nil, 0, err
	}
	for _, k := range kinds {
		if k.Oldest == nil { // the last one went meanwhile
			continue
		}
		if oldest == nil || k.Oldest.Before(*oldest) {
			oldest = k.Oldest
		}
		if !k.Oldest.Before(before) || rows >= most {
			continue
		}
		var n int64
		if err := db.QueryRow(ctx, "SELECT count(*) FROM (SELECT FROM account_events WHERE event_type = $1 AND occurred_at < $2 LIMIT $3) AS few", k.Name, before, most-rows).Scan(&n); err != nil {
			return nil, 0, err
		}
		rows += n
	}
	return oldest, rows, nil
}

// Events that somebody moves at the moment are left to the next run.
func expireEvents(ctx context.Context, tx pgx.Tx, before time.Time, at *place, batch int) (rows int64, more bool, err error) {
	if at.time.IsZero() {
		switch err := tx.QueryRow(ctx, nextType, at.text).Scan(&at.text); {
		case errors.Is(err, pgx.ErrNoRows):
			return 0, false, nil
		case err != nil:
			return 0, false, err
		}
	}
	var newest *time.Time
	err = tx.QueryRow(ctx, `WITH page AS (
		  SELECT id, occurred_at FROM account_events WHERE event_type = $1 AND occurred_at >= $2 AND occurred_at < $3 ORDER BY occurred_at LIMIT $4 FOR UPDATE SKIP LOCKED
		), gone AS (
		  DELETE FROM account_events WHERE id = ANY (ARRAY (SELECT id FROM page))
		) SELECT count(*), max(occurred_at) FROM page`, at.text, at.time, before, batch).Scan(&rows, &newest)
	if err != nil {
		return 0, false, err
	}
	if at.time = (time.Time{}); rows == int64(batch) {
		at.time = *newest
	}
	return rows, true, nil
}

// The states of records that nobody waits for, in the order in which they are worked off.
const (
	discarded = "discarded"
	resolved  = "resolved"
)

func lookAtRecords(ctx context.Context, db querier, before time.Time, most int64) (oldest *time.Time, rows int64, err error) {
	for _, status := range []string{discarded, resolved} {
		var first *time.Time
		var n int64
		err := db.QueryRow(ctx, `SELECT (SELECT min(last_seen) FROM quarantine_states WHERE status = $1),
			(SELECT count(*) FROM (SELECT id FROM quarantine_states WHERE status = $1 AND last_seen < $2 ORDER BY last_seen, id LIMIT $3) AS s JOIN quarantine q ON q.id = s.id WHERE q.status_at < $2)`,
			status, before, max(0, most-rows)).Scan(&first, &n)
		if err != nil {
			return nil, 0, err
		}
		rows += n
		if first != nil && (oldest == nil || first.Before(*oldest)) {
			oldest = first
		}
	}
	return oldest, rows, nil
}

// The index is on when a record was last seen; one that was decided about later stays, and the next run meets it again.
func expireRecords(ctx context.Context, tx pgx.Tx, before time.Time, at *place, batch int) (rows int64, more bool, err error) {
	if at.text == "" {
		at.text = discarded
	}
	var seen int64
	var last *time.Time
	var lastID *int64
	err = tx.QueryRow(ctx, `WITH page AS (
		  SELECT id, last_seen FROM quarantine_states WHERE status = $1 AND (last_seen, id) > ($2, $3) AND last_seen < $4 ORDER BY last_seen, id LIMIT $5
		), found AS (
		  SELECT id FROM quarantine WHERE id = ANY (ARRAY (SELECT id FROM page)) AND status = $1 AND status_at < $4 AND last_seen < $4 ORDER BY id FOR UPDATE SKIP LOCKED
		), gone AS (
		  DELETE FROM quarantine WHERE id = ANY (ARRAY (SELECT id FROM found))
		) SELECT (SELECT count(*) FROM page), (SELECT count(*) FROM found), (SELECT last_seen FROM page ORDER BY last_seen DESC, id DESC LIMIT 1), (SELECT id FROM page ORDER BY last_seen DESC, id DESC LIMIT 1)`,
		at.text, at.time, at.id, before, batch).Scan(&seen, &rows, &last, &lastID)
	switch {
	case err != nil:
		return 0, false, err
	case seen == int64(batch):
		at.time, at.id = *last, *lastID
	case at.text == resolved:
		return rows, false, nil
	default:
		*at = place{text: resolved}
	}
	return rows, true, nil
}

// byID deletes from a small table, or one whose rows are about as old as their ids, in pages of it. created is when a row was
// made: once that is not before the time, no later row is due.
func byID(table, created, due string) expire {
	sql := `WITH page AS (
		SELECT id, ` + created + ` AS created FROM ` + table + ` WHERE id > $2 ORDER BY id LIMIT $3
	), gone AS (
		DELETE FROM ` + table + ` t WHERE id = ANY (ARRAY (SELECT id FROM page)) AND ` + due + ` RETURNING id
	) SELECT (SELECT count(*) FROM gone), (SELECT max(id) FROM page), (SELECT count(*) FROM page), coalesce((SELECT created >= $1 FROM page ORDER BY id DESC LIMIT 1), true)`
	return func(ctx context.Context, tx pgx.Tx, before time.Time, at *place, batch int) (rows int64, more bool, err error) {
		var last *int64
		var seen int64
		var young bool
		if err := tx.QueryRow(ctx, sql, before, at.id, batch).Scan(&rows, &last, &seen, &young); err != nil {
			return 0, false, err
		}
		if seen == int64(batch) {
			at.id = *last
		}
		return rows, seen == int64(batch) && !young, nil
	}
}

// A decision about many records stays until the last of them is gone; one about a record goes with it.
func expireDecisions(ctx context.Context, tx pgx.Tx, before time.Time, at *place, batch int) (int64, bool, error) {
	_, more, err := byID("quarantine_decisions", "decided_at", `t.quarantine_ids IS NOT NULL AND t.decided_at < $1 AND NOT EXISTS (
		SELECT FROM quarantine_states s WHERE s.id BETWEEN t.first_id AND t.last_id AND s.id = ANY (t.quarantine_ids))`)(ctx, tx, before, at, batch)
	return 0, more, err // they count with the records
}

func lookAtFindings(ctx context.Context, db querier, before time.Time, most int64) (oldest *time.Time, rows int64, err error) {
	err = db.QueryRow(ctx, `SELECT min(state_at), count(*) FILTER (WHERE state_at < $1) FROM (SELECT state, state_at FROM shape_findings ORDER BY id LIMIT $2) AS f WHERE state = 'closed'`, before, most).Scan(&oldest, &rows)
	return oldest, rows, err
}

func expireFindings(ctx context.Context, tx pgx.Tx, before time.Time, at *place, batch int) (int64, bool, error) {
	return byID("shape_findings", "created_at", "t.state = 'closed' AND t.state_at < $1")(ctx, tx, before, at, batch)
}

func lookAtAudit(ctx context.Context, db querier, before time.Time, most int64) (oldest *time.Time, rows int64, err error) {
	err = db.QueryRow(ctx, "SELECT min(at), count(*) FILTER (WHERE at < $1) FROM (SELECT at FROM audit_log ORDER BY id LIMIT $2) AS a", before, most).Scan(&oldest, &rows)
	return oldest, rows, err
}

func expireAudit(ctx context.Context, tx pgx.Tx, before time.Time, _ *place, batch int) (rows int64, more bool, err error) {
	err = tx.QueryRow(ctx, "SELECT expire_audit_log($1, $2)", before, batch).Scan(&rows)
	return rows, rows == int64(batch), err
}

func lookAtSessions(ctx context.Context, db querier, before time.Time, most int64) (oldest *time.Time, rows int64, err error) {
	err = db.QueryRow(ctx, "SELECT min(expires_at), count(*) FROM (SELECT expires_at FROM console_sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2) AS s", before, most).Scan(&oldest, &rows)
	return oldest, rows, err
}

func expireSessions(ctx context.Context, tx pgx.Tx, before time.Time, _ *place, batch int) (rows int64, more bool, err error) {
	tag, err := tx.Exec(ctx, `DELETE FROM console_sessions WHERE expires_at < $1 AND session_sha256 = ANY (ARRAY (
		SELECT s.session_sha256 FROM console_sessions s WHERE s.expires_at < $1 ORDER BY s.expires_at LIMIT $2))`, before, batch)
	return tag.RowsAffected(), tag.RowsAffected() == int64(batch), err
}
