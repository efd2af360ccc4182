package pull

import (
	"context"
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

// Period is what a pull is to bring: a stream of a source, of some types, between
// two times in whole seconds, To not included.
type Period struct {
	Source, Tenant, Stream string
	Mode                   source.Mode
	Types                  []string // sorted; none: all
	From, To               time.Time
}

// position is how far a pull is: all of the period before WindowFrom, and of the
// window what its cursor has passed.
type position struct {
	WindowFrom, WindowTo time.Time
	Cursor               []byte
}

// Counts say what a run has brought.
type Counts struct {
	Pages, Events int64
	// Unread are those of the events that the source could not read. They are
	// published all the same, and become dead letters.
	Unread int64
	// NotGiven are those that the vendor says there are and does not give
	// (source.Gap), at least.
	NotGiven int64
	// Oldest and Newest are when the events that were read happened.
	Oldest, Newest time.Time
}

// Store keeps checkpoints and runs in Postgres (pull_checkpoints, pull_runs). Its
// errors are those of the database, marked by postgres.Classify.
type Store struct{ pool postgres.DB }

// NewStore makes a Store.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool} }

// In gives a Store that works within a transaction.
func (s *Store) In(tx pgx.Tx) *Store { return &Store{tx} }

// errTaken says that another process goes on with the same pull.
var errTaken = errors.New("another process has taken this pull over")

// started is a run that began.
type started struct {
	checkpoint, run, fence int64
	period                 Period // To may be later than what was asked for
	at                     position
	resumed                bool
}

// A checkpoint serves a period that begins where it has been or is, so that it
// brings no more than a window that nobody asked for.
const findCheckpoint = `
SELECT id, from_time, to_time, window_from, window_to, cursor, false FROM pull_checkpoints
WHERE source = $1 AND tenant = $2 AND stream = $3 AND mode = $4 AND types = $5 AND finished_at IS NULL
  AND from_time <= $6 AND window_to > $6
ORDER BY id DESC LIMIT 1 FOR UPDATE`

const findPoll = `
SELECT id, from_time, to_time, window_from, window_to, cursor, finished_at IS NOT NULL FROM pull_checkpoints
WHERE source = $1 AND tenant = $2 AND stream = $3 AND mode = $4 AND types = $5 ORDER BY id DESC LIMIT 1 FOR UPDATE`

// keptPolls is how many runs of a stream's polls are kept.
const keptPolls = 100

// begin resumes the unfinished pull that serves the period, or begins one. Whoever
// was at it before is told when it reports the next time. window is the longest
// window; of o, Restart, By and Request are asked.
//
// A poll has one checkpoint for ever: once all of its period is published, the next
// poll begins late before where it ended, however long ago that was.
func (s *Store) begin(ctx context.Context, p Period, window, late time.Duration, keptSince time.Time, o Options) (b started, err error) {
	poll := p.Mode == source.ModePoll
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		b = started{period: p}
		find, of := findCheckpoint, []any{p.Source, p.Tenant, p.Stream, p.Mode, nonNil(p.Types), p.From}
		if poll {
			find, of = findPoll, of[:5]
		}
		row := tx.QueryRow(ctx, find, of...)
		var finished bool
		err := row.Scan(&b.checkpoint, &b.period.From, &b.period.To, &b.at.WindowFrom, &b.at.WindowTo, &b.at.Cursor, &finished)
		switch {
		case err != nil && !errors.Is(err, pgx.ErrNoRows):
			return err
		case err != nil || o.Restart:
			b.period, b.at = p, firstWindow(p, window)
			if err := tx.QueryRow(ctx, `INSERT INTO pull_checkpoints (source, tenant, stream, mode, types, from_time, to_time, window_from, window_to, fence)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1) RETURNING id, fence`, p.Source, p.Tenant, p.Stream, p.Mode, nonNil(p.Types),
				p.From, p.To, b.at.WindowFrom, b.at.WindowTo).Scan(&b.checkpoint, &b.fence); err != nil {
				return err
			}
		default:
			b.resumed = !finished
			if finished {
				b.at = position{WindowFrom: later(b.period.From, b.period.To.Add(-late))}
			}
			if p.To.After(b.period.To) {
				b.period.To = p.To
			}
			if b.at.Cursor == nil { // a window that has begun ends where it was to end: its cursor leads to there
				b.at.WindowTo = earlier(b.at.WindowFrom.Add(window), b.period.To)
			}
			if err := tx.QueryRow(ctx, "UPDATE pull_checkpoints SET fence = fence + 1, to_time = $2, window_from = $3, window_to = $4, cursor = $5, updated_at = now(), finished_at = NULL WHERE id = $1 RETURNING fence",
				b.checkpoint, b.period.To, b.at.WindowFrom, b.at.WindowTo, b.at.Cursor).Scan(&b.fence); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "UPDATE pull_runs SET status = 'interrupted', finished_at = now() WHERE checkpoint_id = $1 AND status = 'running'", b.checkpoint); err != nil {
				return err
			}
		}
		if poll {
			if _, err := tx.Exec(ctx, `DELETE FROM pull_runs WHERE checkpoint_id = $1 AND id <= (
				SELECT id FROM pull_runs WHERE checkpoint_id = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)`, b.checkpoint, keptPolls); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, "INSERT INTO pull_runs (checkpoint_id, kept_since, started_by, request_id, to_time) VALUES ($1, $2, $3, nullif($4::bigint, 0), $5) RETURNING id",
			b.checkpoint, nullTime(keptSince), o.By, o.Request, b.period.To).Scan(&b.run)
	})
	b.period.From, b.period.To = b.period.From.UTC(), b.period.To.UTC()
	b.at.WindowFrom, b.at.WindowTo = b.at.WindowFrom.UTC(), b.at.WindowTo.UTC()
	return b, broken("beginning the pull", err)
}

// advance keeps that all before at is published. It is Permanent(Conflict) when
// another process goes on with the pull.
func (s *Store) advance(ctx context.Context, b started, at position, c Counts) error {
	return broken("keeping the checkpoint", s.write(ctx, b,
		`UPDATE pull_checkpoints SET window_from = $3, window_to = $4, cursor = $5, updated_at = now() WHERE id = $1 AND fence = $2`,
		[]any{at.WindowFrom, at.WindowTo, at.Cursor}, "running", c, ""))
}

// end keeps how the run ended. why is for a person, or "".
func (s *Store) end(ctx context.Context, b started, status string, c Counts, why string) error {
	sql := "UPDATE pull_checkpoints SET updated_at = now() WHERE id = $1 AND fence = $2"
	if status == statusDone {
		sql = "UPDATE pull_checkpoints SET updated_at = now(), finished_at = now() WHERE id = $1 AND fence = $2"
	}
	return broken("keeping how the pull ended", s.write(ctx, b, sql, nil, status, c, why))
}

// write changes the checkpoint, unless somebody else has it, and the run: in one
// request to the database.
func (s *Store) write(ctx context.Context, b started, sql string, args []any, status string, c Counts, why string) error {
	var batch pgx.Batch
	var taken bool
	batch.Queue(sql, append([]any{b.checkpoint, b.fence}, args...)...).Exec(func(tag pgconn.CommandTag) error {
		taken = tag.RowsAffected() == 0
		return nil
	})
	batch.Queue(`UPDATE pull_runs SET status = CASE WHEN status = 'running' THEN $2 ELSE status END, pages = $3, events = $4, unread = $5, oldest = $6, newest = $7,
		error = $8, updated_at = now(), finished_at = CASE WHEN $2 = 'running' THEN finished_at ELSE now() END WHERE id = $1`,
		b.run, status, c.Pages, c.Events, c.Unread, nullTime(c.Oldest), nullTime(c.Newest), why)
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	if taken {
		return fault.Permanent(fault.Conflict, errTaken)
	}
	return nil
}

// Pull is a run and the checkpoint that it worked on.
type Pull struct {
	ID, Checkpoint int64
	Period
	Counts
	// Status is running, done, failed, interrupted, or cancelled: interrupted because the
	// request that it serves was. A process that was killed leaves running, until another
	// goes on, or until the request is cancelled.
	Status string
	// Through is up to when the period is published.
	Through time.Time
	// Finished: the whole period is, by this run or a later one.
	Finished bool
	// KeptSince: the vendor promises events since then only, which is after the
	// period's beginning; else zero.
	KeptSince                     time.Time
	Error                         string
	StartedBy                     string
	Request                       int64 // that it serves; 0: none
	StartedAt, UpdatedAt, EndedAt time.Time
}

// Rate is how many events a second the run has brought, over all its time.
func (p Pull) Rate() float64 { return rateOf(p.Events, p.UpdatedAt.Sub(p.StartedAt)) }

// Filter says which runs List gives.
type Filter struct {
	Source     string // "": of all
	Unfinished bool   // only those whose period is not published as a whole
	Status     string // of the run; "": any
	Before     int64  // only older runs than this; 0: from the newest
	ID         int64  // only this run; 0: any
	Limit      int
}

// List gives runs, the newest first.
func (s *Store) List(ctx context.Context, f Filter) ([]Pull, error) {
	rows, err := s.pool.Query(ctx, `
SELECT r.id, c.id, c.source, c.tenant, c.stream, c.mode, c.types, c.from_time, coalesce(r.to_time, c.to_time), c.window_from, c.finished_at IS NOT NULL,
  s.status, r.pages, r.events, r.unread, r.oldest, r.newest, r.kept_since, r.error, r.started_by, coalesce(r.request_id, 0), r.started_at, r.updated_at, r.finished_at
FROM pull_runs r JOIN pull_checkpoints c ON c.id = r.checkpoint_id LEFT JOIN pull_requests q ON q.id = r.request_id
CROSS JOIN LATERAL (SELECT CASE WHEN q.state = 'cancelled' AND (r.status = 'interrupted' OR r.status = 'running' AND r.updated_at < now() - $7::interval)
  THEN 'cancelled' ELSE r.status END AS status) AS s
WHERE ($1 = '' OR c.source = $1) AND (NOT $2 OR c.finished_at IS NULL) AND ($4 = '' OR s.status = $4) AND ($5 = 0 OR r.id < $5) AND ($6 = 0 OR r.id = $6)
ORDER BY r.id DESC LIMIT $3`, f.Source, f.Unfinished, f.Limit, f.Status, f.Before, f.ID, leaseFor)
	if err != nil {
		return nil, broken("listing pulls", err)
	}
	pulls, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Pull, err error) {
		var oldest, newest, kept, ended *time.Time
		err = row.Scan(&p.ID, &p.Checkpoint, &p.Source, &p.Tenant, &p.Stream, &p.Mode, &p.Types, &p.From, &p.To, &p.Through, &p.Finished,
			&p.Status, &p.Pages, &p.Events, &p.Unread, &oldest, &newest, &kept, &p.Error, &p.StartedBy, &p.Request, &p.StartedAt, &p.UpdatedAt, &ended)
		for from, to := range map[*time.Time]*time.Time{oldest: &p.Oldest, newest: &p.Newest, kept: &p.KeptSince, ended: &p.EndedAt} {
			if from != nil {
				*to = from.UTC()
			}
		}
		for _, at := range []*time.Time{&p.From, &p.To, &p.Through, &p.StartedAt, &p.UpdatedAt} {
			*at = at.UTC()
		}
		return p, err
	})
	return pulls, broken("listing pulls", err)
}

// Unfinished gives the newest run of each pull that has not come to the end of its
// period, and that nobody works on: a run that has kept nothing for ten minutes has
// ended too. Polls are only those that failed.
func (s *Store) Unfinished(ctx context.Context, source string) ([]Pull, error) {
	all, err := s.List(ctx, Filter{Source: source, Unfinished: true, Limit: 1000})
	seen := map[int64]bool{}
	return slices.DeleteFunc(all, func(p Pull) bool {
		older := seen[p.Checkpoint]
		seen[p.Checkpoint] = true
		return older || p.Status == "running" && time.Since(p.UpdatedAt) < 10*time.Minute
	}), err
}

func rateOf(events int64, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(events) / took.Seconds()
}

// storeError is an error of the database that another try may not meet.
type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// OfStore reports whether the database did not answer, and not a vendor or the brokers.
func OfStore(err error) bool {
	var of *storeError
	return errors.As(err, &of)
}

func broken(doing string, err error) error {
	if err == nil || fault.IsPermanent(err) {
		return err
	}
	if err = postgres.Classify(fmt.Errorf("%s: %w", doing, err)); fault.IsPermanent(err) {
		return err
	}
	return &storeError{err}
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func nonNil(types []string) []string { return append([]string{}, types...) }
