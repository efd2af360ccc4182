package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Bounds of a move's work. A batch is one transaction; a page of event ids is what is read at once.
const (
	moveBatch = 500
	movePage  = 50_000
	// returnBytes bounds the payloads of one batch that go back to quarantine, except for a single larger one.
	returnBytes = 8 << 20
	// fenceEvery is how often a move looks whether older transactions have ended.
	fenceEvery = 20 * time.Millisecond
)

// Return puts events that are being taken off the timeline into quarantine, released, within tx: their raw topic gets
// them again, and what they refer to besides is tried. It must not fail for what the events hold.
type Return func(ctx context.Context, tx pgx.Tx, events []event.DeadLetter, by, note string) error

// Mover carries history after decisions. Any number of Movers, in any number of processes, may work side by side, and
// any may be stopped at any time: a batch is one transaction, which moves its events, tells account_changes, and
// notes how far the move is. An event is on exactly one timeline, or in quarantine, at every instant.
type Mover struct {
	pool     *pgxpool.Pool
	resolver *resolve.Resolver
	giveBack Return
	batch    int
}

// NewMover makes a Mover. resolver should have the rules of the services; giveBack is the quarantine's.
func NewMover(pool *pgxpool.Pool, resolver *resolve.Resolver, giveBack Return) *Mover {
	return &Mover{pool: pool, resolver: resolver, giveBack: giveBack, batch: moveBatch}
}

// Move is the history of one decision and one account on its way.
type Move struct {
	ID         int64
	DecisionID int64
	Verb       Verb
	Reference  source.Reference // zero: all events of the account
	From       uuid.UUID
	To         uuid.UUID // as decided; Nil: none, or where the events' references lead
	Events     int64     // how many were to leave From when it was decided
	Moved      int64     // to another account, so far
	Returned   int64     // to quarantine, to be resolved anew, so far
	Author     string
	CreatedAt  time.Time
	FinishedAt time.Time // zero: not finished
	fence      bool      // it is known which transactions have to end first
	next       int64     // where the next batch begins
}

const moveColumns = `m.id, m.decision_id, d.verb, m.source, m.tenant, m.kind, m.external_id, m.from_account, d.to_account,
  m.events, m.moved, m.returned, d.author, m.created_at, m.finished_at, m.fence IS NOT NULL, m.next_event`

func scanMove(row pgx.CollectableRow) (Move, error) {
	var m Move
	var to *uuid.UUID
	var finished *time.Time
	r := &m.Reference
	err := row.Scan(&m.ID, &m.DecisionID, &m.Verb, &r.Source, &r.Tenant, &r.Kind, &r.ID, &m.From, &to,
		&m.Events, &m.Moved, &m.Returned, &m.Author, &m.CreatedAt, &finished, &m.fence, &m.next)
	if to != nil {
		m.To = *to
	}
	if finished != nil {
		m.FinishedAt = *finished
	}
	return m, err
}

// MoveFilter says which moves to list; the zero value lists the newest 100.
type MoveFilter struct {
	Pending bool // only those that are not finished, the oldest first
	IDs     []int64
	Before  int64 // only older ones than this; 0: from the newest
	Limit   int   // 0: 100
}

// Moves lists moves of history.
func (s *Store) Moves(ctx context.Context, f MoveFilter) ([]Move, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	order := "DESC"
	if f.Pending {
		order = "ASC"
	}
	rows, err := s.pool.Query(ctx, "SELECT "+moveColumns+` FROM history_moves m JOIN link_decisions d ON d.id = m.decision_id
		WHERE (NOT $1 OR m.finished_at IS NULL) AND ($2::bigint[] IS NULL OR m.id = ANY ($2)) AND ($4 = 0 OR m.id < $4) ORDER BY m.id `+order+" LIMIT $3", f.Pending, f.IDs, f.Limit, f.Before)
	if err != nil {
		return nil, broken("listing moves", err)
	}
	list, err := pgx.CollectRows(rows, scanMove)
	return list, broken("listing moves", err)
}

// MovesOf gives the moves that have brought events with a reference to an account, the newest first, at most 100: those of
// the reference, and those of all events of an account to which it was linked.
func (s *Store) MovesOf(ctx context.Context, ref source.Reference, account uuid.UUID) ([]Move, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+moveColumns+` FROM link_decisions d JOIN history_moves m ON m.decision_id = d.id
		WHERE d.to_account = $5 AND m.moved > 0 AND (m.source = $1 AND m.tenant IN ($2, '') AND m.kind = $3 AND m.external_id = $4
			OR m.external_id = '' AND EXISTS (SELECT FROM link_decisions l WHERE l.external_id = $4 AND l.kind = $3 AND l.source = $1 AND l.to_account = m.from_account))
		ORDER BY m.id DESC LIMIT 100`, ref.Source, ref.Tenant, ref.Kind, ref.ID, account)
	if err != nil {
		return nil, broken("listing moves", err)
	}
	list, err := pgx.CollectRows(rows, scanMove)
	return list, broken("listing moves", err)
}

// Run carries out all moves that are not finished, the oldest first, and returns when there is none, or with an error
// (Transient, or ctx's). What it did until then stays done; the next Run goes on from there. progress, if not nil, is
// told each move after each of its batches.
//
// A move begins when every transaction has ended that may have stored events without having seen the decision; a writer
// of events that stays open holds up all moves.
func (m *Mover) Run(ctx context.Context, progress func(Move)) error {
	if progress == nil {
		progress = func(Move) {}
	}
	var ids []int64 // of the events that the oldest move looks at next
	for of := int64(0); ; {
		step, err := m.step(ctx, of, ids)
		switch {
		case err != nil:
			return broken("moving events", err)
		case step.none:
			return nil
		}
		if of, ids = step.move.ID, step.rest; step.worked {
			progress(step.move)
			continue
		}
		select { // older transactions are still at work
		case <-time.After(fenceEvery):
		case <-ctx.Done():
			return fmt.Errorf("waiting for older transactions: %w", context.Cause(ctx))
		}
	}
}

// step is what one transaction did.
type step struct {
	none   bool // no move is left
	move   Move // as it is now
	rest   []int64
	worked bool
}

// step does one batch of the oldest move. ids are what was read for move of, and not worked off, before.
func (m *Mover) step(ctx context.Context, of int64, ids []int64) (s step, err error) {
	err = pgx.BeginFunc(ctx, m.pool, func(tx pgx.Tx) error {
		s = step{}
		rows, err := tx.Query(ctx, "SELECT "+moveColumns+` FROM history_moves m JOIN link_decisions d ON d.id = m.decision_id
			WHERE m.id = (SELECT id FROM history_moves WHERE finished_at IS NULL ORDER BY id LIMIT 1) FOR UPDATE OF m`)
		if err != nil {
			return fmt.Errorf("taking a move: %w", err)
		}
		s.move, err = pgx.CollectExactlyOneRow(rows, scanMove)
		switch {
		case notFound(err):
			s.none = true
			return nil
		case err != nil:
			return fmt.Errorf("taking a move: %w", err)
		case !s.move.FinishedAt.IsZero(): // by another Mover, while this one waited for it
			s.worked = true
			return nil
		}
		if open, err := fenced(ctx, tx, &s.move); err != nil || !open {
			return err
		}
		s.worked = true
		if of != s.move.ID {
			ids = nil
		}
		s.rest, err = m.work(ctx, tx, &s.move, ids)
		return err
	})
	return s, err
}

// writing are the transactions that have written to account_events and are still at work. Locks on a table are held to
// the end; other databases' transactions are not among them.
const writing = `
SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND relation = 'account_events'::regclass
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND mode = 'RowExclusiveLock' AND granted`

// fenced waits, by being called again, until the transactions have ended that were writing events when the decision
// was known to be committed: any of them may have read the ledger before it. A later one has the decision in view
// when it calls Recheck.
func fenced(ctx context.Context, tx pgx.Tx, move *Move) (open bool, err error) {
	if !move.fence {
		if _, err := tx.Exec(ctx, "UPDATE history_moves SET fence = ARRAY ("+writing+") WHERE id = $1", move.ID); err != nil {
			return false, fmt.Errorf("setting the fence: %w", err)
		}
	}
	err = tx.QueryRow(ctx, "SELECT NOT EXISTS ("+writing+" AND virtualtransaction = ANY (m.fence)) FROM history_moves m WHERE id = $1", move.ID).Scan(&open)
	if err != nil {
		return false, fmt.Errorf("looking at the fence: %w", err)
	}
	return open, nil
}

// work does one batch, and gives what of ids is left.
func (m *Mover) work(ctx context.Context, tx pgx.Tx, move *Move, ids []int64) ([]int64, error) {
	for len(ids) > 0 && ids[0] < move.next {
		ids = ids[1:] // another Mover's work
	}
	if len(ids) == 0 {
		var err error
		if ids, err = readPage(ctx, tx, move); err != nil {
			return nil, err
		}
	}
	if len(ids) == 0 {
		return nil, finish(ctx, tx, move)
	}
	batch := ids[:min(len(ids), m.batch)]
	events, err := lockEvents(ctx, tx, move.From, batch)
	if err != nil {
		return nil, err
	}
	if err := m.aim(ctx, tx, move, events); err != nil {
		return nil, err
	}
	done, err := m.apply(ctx, tx, events, change{decision: move.DecisionID, author: move.Author})
	if err != nil {
		return nil, err
	}
	move.next, move.Moved, move.Returned = batch[len(batch)-1]+1, move.Moved+done.moved, move.Returned+done.returned
	if done.left != 0 { // too large for one transaction
		move.next = done.left
	}
	if _, err := tx.Exec(ctx, "UPDATE history_moves SET next_event = $2, moved = $3, returned = $4 WHERE id = $1",
		move.ID, move.next, move.Moved, move.Returned); err != nil {
		return nil, fmt.Errorf("noting the move's progress: %w", err)
	}
	for len(ids) > 0 && ids[0] < move.next {
		ids = ids[1:]
	}
	return ids, nil
}

func finish(ctx context.Context, tx pgx.Tx, move *Move) error {
	err := tx.QueryRow(ctx, "UPDATE history_moves SET finished_at = now() WHERE id = $1 RETURNING finished_at", move.ID).Scan(&move.FinishedAt)
	if err != nil {
		return fmt.Errorf("finishing the move: %w", err)
	}
	return nil
}

// readPage gives the ids of the next events that the move may concern.
func readPage(ctx context.Context, tx pgx.Tx, move *Move) ([]int64, error) {
	query, args := "SELECT e.id FROM account_events e WHERE e.account_id = $1", []any{move.From}
	if move.Reference != (source.Reference{}) {
		var match string
		match, args = restingOn(move.Reference, move.From)
		query = "SELECT e.id FROM account_events e JOIN account_event_origins o ON o.event_id = e.id WHERE e.account_id = $1 AND " + match
	}
	rows, err := tx.Query(ctx, query+fmt.Sprintf(" AND e.id >= %d ORDER BY e.id LIMIT %d", move.next, movePage), args...)
	if err != nil {
		return nil, fmt.Errorf("finding the move's events: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("finding the move's events: %w", err)
	}
	return ids, nil
}

// standing is an event as it stands on the timeline, and where it belongs.
type standing struct {
	id       int64
	from, to uuid.UUID // to Nil: on no timeline
	key      string    // the reference by which it found its account; "": unknown
}

// lockEvents takes those of the events that are still on the account. They are found by their ids whatever the
// statistics say: an account's index entries are more with every event that it has or had, so no comparison of
// account_id here is one that an index could be used for (IS NOT DISTINCT FROM); the same holds for what follows.
func lockEvents(ctx context.Context, tx pgx.Tx, from uuid.UUID, ids []int64) ([]standing, error) {
	rows, err := tx.Query(ctx, `SELECT e.id, coalesce(o.reference, '') FROM account_events e
		LEFT JOIN LATERAL (SELECT reference FROM account_event_origins WHERE event_id = e.id LIMIT 1) AS o ON true
		WHERE e.id = ANY ($1) AND e.account_id IS NOT DISTINCT FROM $2 ORDER BY e.id FOR UPDATE OF e`, ids, from)
	if err != nil {
		return nil, fmt.Errorf("locking events: %w", err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (standing, error) {
		s := standing{from: from}
		return s, row.Scan(&s.id, &s.key)
	})
	if err != nil {
		return nil, fmt.Errorf("locking events: %w", err)
	}
	return events, nil
}

// aim decides where each event belongs. One of which nothing says how it found its account goes where the account went.
func (m *Mover) aim(ctx context.Context, tx pgx.Tx, move *Move, events []standing) error {
	rest := move.From
	if move.Reference == (source.Reference{}) {
		rest = move.To
		err := tx.QueryRow(ctx, "SELECT coalesce(merged_into, id) FROM accounts WHERE id = $1", move.To).Scan(&rest)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("finding the account: %w", err)
		}
	}
	for i := range events {
		events[i].to = rest
	}
	return m.resolve(ctx, tx, events)
}

// resolve aims each event where its reference leads; one without a reference keeps its aim.
func (m *Mover) resolve(ctx context.Context, tx pgx.Tx, events []standing) error {
	keys := make([]string, len(events))
	for i := range events {
		keys[i] = events[i].key
	}
	to, err := targets(ctx, tx, m.resolver, keys)
	if err != nil {
		return err
	}
	for i := range events {
		switch {
		case events[i].key == "":
		case to[i].Erased:
			events[i].to = events[i].from
		default:
			events[i].to = to[i].AccountID
		}
	}
	return nil
}

// errRaced is the error of a batch whose events were not all there any more.
var errRaced = fault.Transient(fault.Unavailable, errors.New("events were changed by another transaction"))
