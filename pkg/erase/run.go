package erase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/quarantine"
)

// Progress is how far an erasure is.
type Progress struct {
	Stage     string // fence, events, quarantine or rest
	At, Total int64  // ids; 0: not known
	Counts    Counts
}

// Run carries out all erasures that are not finished, the oldest first. progress, if not nil, hears of each batch. An error
// leaves done what is done; the next Run goes on. It waits for the transactions that were storing events or dead letters
// when the erasure was written.
func (e *Eraser) Run(ctx context.Context, progress func(Erasure, Progress)) error {
	if progress == nil {
		progress = func(Erasure, Progress) {}
	}
	var w work
	for {
		var now Erasure
		var some, waits bool
		err := pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, "SELECT "+againColumns+" FROM erasures e WHERE e.id = (SELECT id FROM erasures WHERE state = 'running' ORDER BY id LIMIT 1) FOR UPDATE OF e", w.of)
			if err != nil {
				return fmt.Errorf("taking an erasure: %w", err)
			}
			now, err = pgx.CollectExactlyOneRow(rows, scanErasure)
			switch {
			case errors.Is(err, pgx.ErrNoRows):
				return nil
			case err != nil:
				return fmt.Errorf("taking an erasure: %w", err)
			}
			some = true
			if w.of == now.ID {
				now.looked, now.References = w.looked, w.references
			}
			if now.State != Running { // another process has finished it meanwhile
				return nil
			}
			if w.of != now.ID || w.stage != now.Stage {
				w = work{of: now.ID, stage: now.Stage, looked: now.looked, references: now.References}
			}
			waits, err = e.step(ctx, tx, &now, &w)
			return err
		})
		switch {
		case err != nil:
			return broken("erasing", err)
		case !some:
			return nil
		}
		progress(now, Progress{Stage: now.Stage, At: now.next, Total: w.total, Counts: now.Counts})
		if !waits {
			continue
		}
		select {
		case <-time.After(fenceEvery):
		case <-ctx.Done():
			return fmt.Errorf("waiting for older transactions: %w", context.Cause(ctx))
		}
	}
}

// work is what one process remembers between batches; without it a batch reads it anew.
type work struct {
	of         int64
	stage      string
	looked     looked
	references int64

	ids   []int64 // of events that are next
	read  bool    // all ids were read
	total int64
}

// The stages.
const (
	stageFence      = "fence"
	stageEvents     = "events"
	stageQuarantine = "quarantine"
	stageRest       = "rest"
)

// step does one batch, and notes how far the erasure is.
func (e *Eraser) step(ctx context.Context, tx pgx.Tx, now *Erasure, w *work) (waits bool, err error) {
	switch now.Stage {
	case stageFence:
		open, err := fenced(ctx, tx, now)
		if err != nil || !open {
			return !open, err
		}
		now.Stage, now.next = stageEvents, 0
	case stageEvents:
		more, err := e.eraseEvents(ctx, tx, now, w)
		if err != nil {
			return false, err
		}
		if !more {
			now.Stage, now.next = stageQuarantine, 0
		}
	case stageQuarantine:
		ids, last, err := quarantine.Matching(ctx, tx, now.looked.match(), now.next, e.page)
		if err != nil {
			return false, err
		}
		if err := eraseRecords(ctx, tx, ids, now.Counts, false); err != nil {
			return false, err
		}
		if now.next = last; last == 0 {
			now.Stage = stageRest
		}
	default:
		if err := rest(ctx, tx, now.looked, now.Counts, []int64{}, false); err != nil {
			return false, err
		}
		return false, finish(ctx, tx, now)
	}
	counts, err := json.Marshal(now.Counts)
	if err != nil {
		return false, fmt.Errorf("noting the erasure's progress: %w", err)
	}
	if _, err := tx.Exec(ctx, "UPDATE erasures SET stage = $2, next = $3, counts = $4 WHERE id = $1", now.ID, now.Stage, now.next, string(counts)); err != nil {
		return false, fmt.Errorf("noting the erasure's progress: %w", err)
	}
	return false, nil
}

// writing are the transactions that store events or take dead letters in: row locks on these tables are held to the end.
const writing = `
SELECT virtualtransaction FROM pg_locks l WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND relation IN (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relname = ANY ($2))
  AND mode IN ('RowShareLock', 'RowExclusiveLock') AND granted AND l.pid IS DISTINCT FROM pg_backend_pid()`

// fenced waits, by being called again, until the transactions have ended that were at work when the erasure was known to
// be committed: later ones see it after they have written (resolve.Suppressed).
func fenced(ctx context.Context, tx pgx.Tx, now *Erasure) (open bool, err error) {
	tables := append([]string{"account_events"}, quarantine.LockedTables()...)
	if !now.fence {
		if _, err := tx.Exec(ctx, "UPDATE erasures SET fence = ARRAY ("+writing+") WHERE id = $1", now.ID, tables); err != nil {
			return false, fmt.Errorf("setting the fence: %w", err)
		}
	}
	err = tx.QueryRow(ctx, "SELECT NOT EXISTS ("+writing+" AND virtualtransaction = ANY (e.fence)) FROM erasures e WHERE id = $1", now.ID, tables).Scan(&open)
	if err != nil {
		return false, fmt.Errorf("looking at the fence: %w", err)
	}
	return open, nil
}

// rest does the tables that take a few statements each. The rows are counted before any is changed, each once: what one
// statement does hides nothing from the count of another, and a dry run, which ends there, counts the same.
func rest(ctx context.Context, tx pgx.Tx, l looked, counts Counts, gone []int64, dryRun bool) error {
	args := l.arguments()
	args["gone"] = gone
	for _, t := range Tables() {
		if len(t.steps) == 0 {
			continue
		}
		var where []string
		for _, s := range t.steps {
			where = append(where, "("+s.where+")")
		}
		var n int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM "+t.Name+" t WHERE "+strings.Join(where, " OR "), args).Scan(&n); err != nil {
			return fmt.Errorf("counting %s: %w", t.Name, err)
		}
		counts.add(t.Name, n)
	}
	if dryRun {
		return nil
	}
	for _, t := range Tables() {
		for _, s := range t.steps {
			sql := "DELETE FROM " + t.Name + " t WHERE " + s.where
			if s.set != "" {
				sql = "UPDATE " + t.Name + " t SET " + s.set + " WHERE " + s.where
			}
			if _, err := tx.Exec(ctx, sql, args); err != nil {
				return fmt.Errorf("erasing from %s: %w", t.Name, err)
			}
		}
	}
	return nil
}

// eraseRecords deletes records of the quarantine, or counts them with what goes with them.
func eraseRecords(ctx context.Context, tx pgx.Tx, ids []int64, counts Counts, dryRun bool) error {
	if len(ids) == 0 {
		return nil
	}
	var decisions int64
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM quarantine_decisions WHERE quarantine_id = ANY ($1)", ids).Scan(&decisions); err != nil {
		return fmt.Errorf("counting decisions about records: %w", err)
	}
	counts.add("quarantine_decisions", decisions)
	counts.add("quarantine", int64(len(ids)))
	if dryRun {
		return nil
	}
	return quarantine.EraseRecords(ctx, tx, ids)
}

// finish forgets what was looked for, and writes the audit row.
func finish(ctx context.Context, tx pgx.Tx, now *Erasure) error {
	counts, err := json.Marshal(now.Counts)
	if err != nil {
		return fmt.Errorf("finishing the erasure: %w", err)
	}
	err = tx.QueryRow(ctx, "UPDATE erasures SET state = 'done', stage = '', target = NULL, fence = NULL, counts = $2, finished_at = now() WHERE id = $1 RETURNING finished_at", now.ID, string(counts)).Scan(&now.FinishedAt)
	if err != nil {
		return fmt.Errorf("finishing the erasure: %w", err)
	}
	now.State, now.Stage, now.looked = Done, "", looked{}
	return audit(ctx, tx, now.RequestedBy, "erase", *now, string(counts))
}

// Plan is what an erasure would delete or empty, by table, without doing it; and on how many accounts events would go.
func (e *Eraser) Plan(ctx context.Context, t Target) (counts Counts, accounts int64, err error) {
	if err := t.check(); err != nil {
		return nil, 0, err
	}
	counts = Counts{}
	err = pgx.BeginTxFunc(ctx, e.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		l, err := e.find(ctx, tx, t)
		if err != nil {
			return err
		}
		var gone []int64
		if accounts, gone, err = e.countEvents(ctx, tx, l, counts); err != nil {
			return err
		}
		for after := int64(0); ; {
			ids, last, err := quarantine.Matching(ctx, tx, l.match(), after, e.page)
			if err != nil {
				return err
			}
			gone = append(gone, ids...)
			if after = last; last == 0 {
				break
			}
		}
		slices.Sort(gone) // one may be there by its event and by what it holds
		gone = slices.Compact(gone)
		if err := eraseRecords(ctx, tx, gone, counts, true); err != nil {
			return err
		}
		return rest(ctx, tx, l, counts, gone, true)
	})
	return counts, accounts, broken("counting what would be erased", err)
}
