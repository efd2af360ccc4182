package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Follower tells what arrived on a timeline since it last looked. No event is missed and none comes twice,
// although ids become visible out of order: a transaction may commit after one that took higher ids.
//
// An id that is not visible while a higher one is belongs to a transaction that was running when the higher one
// was seen. So the Follower keeps, with the highest id of each look, the number of the next transaction at that
// time; when all transactions below that number have ended, nothing can appear at or below that id any more and
// it becomes the floor. Above the floor it remembers what it has told. A transaction that stays open for long
// only makes each look read more.
type Follower struct {
	pool  *pgxpool.Pool
	query TimelineQuery
	floor int64
	marks []followMark
	told  map[int64]bool // ids above floor
}

// followMark: once every transaction before xmax has ended, no id up to maxID appears any more.
type followMark struct {
	maxID int64
	xmax  uint64
}

// Follow begins to follow what the query describes (its After and Limit are not used). It returns the events that
// are there already, in timeline order, and the Follower for what comes then.
func Follow(ctx context.Context, pool *pgxpool.Pool, q TimelineQuery) (*Follower, []TimelineEvent, error) {
	f := &Follower{pool: pool, query: q, told: make(map[int64]bool)}
	events, err := f.Next(ctx)
	return f, events, err
}

// Next returns the events that became visible since the last call, in timeline order; late ones, which belong
// before events already told, included. It does not wait: call it on a timer. After an error call it again.
func (f *Follower) Next(ctx context.Context) ([]TimelineEvent, error) {
	var events []TimelineEvent
	var mark followMark
	var xmin uint64
	// One snapshot for all three reads.
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, f.pool, options, func(tx pgx.Tx) error {
		var err error
		if mark, xmin, err = look(ctx, tx); err != nil {
			return err
		}
		c := newConditions(f.query)
		c.add("id > ?", f.floor)
		rows, err := tx.Query(ctx, "SELECT "+eventColumns+" FROM account_events WHERE "+c.text()+
			" ORDER BY occurred_at, ingested_at, id", c.values...)
		if err != nil {
			return err
		}
		events, err = pgx.CollectRows(rows, scanEvent)
		return err
	})
	if err != nil {
		return nil, Classify(fmt.Errorf("following the timeline: %w", err))
	}
	fresh := events[:0]
	for _, e := range events {
		if !f.told[e.ID] {
			f.told[e.ID] = true
			fresh = append(fresh, e)
		}
	}
	f.advance(mark, xmin)
	return fresh, nil
}

// look reads the snapshot's bounds and the highest id visible in it.
func look(ctx context.Context, tx pgx.Tx) (followMark, uint64, error) {
	var maxID int64
	var xmin, xmax string
	err := tx.QueryRow(ctx, `SELECT coalesce((SELECT max(id) FROM account_events), 0),
		pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text FROM pg_current_snapshot() AS s`).Scan(&maxID, &xmin, &xmax)
	if err != nil {
		return followMark{}, 0, err
	}
	low, err := strconv.ParseUint(xmin, 10, 64)
	if err != nil {
		return followMark{}, 0, err
	}
	high, err := strconv.ParseUint(xmax, 10, 64)
	if err != nil {
		return followMark{}, 0, err
	}
	return followMark{maxID: maxID, xmax: high}, low, nil
}

// advance raises the floor to the last mark that is settled: nothing below xmin runs any more. It is told after
// the look it belongs to, so what settled just now has been read.
func (f *Follower) advance(mark followMark, xmin uint64) {
	// With nothing new the older mark is as good, and settles sooner.
	if len(f.marks) == 0 || f.marks[len(f.marks)-1].maxID != mark.maxID {
		f.marks = append(f.marks, mark)
	}
	settled := 0
	for settled < len(f.marks) && f.marks[settled].xmax <= xmin {
		f.floor = f.marks[settled].maxID
		settled++
	}
	f.marks = f.marks[settled:]
	if settled > 0 {
		for id := range f.told {
			if id <= f.floor {
				delete(f.told, id)
			}
		}
	}
}
