package retention

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// Keeper deletes by age. It is safe for concurrent use; several that run at once take different rows.
type Keeper struct {
	pool  *pgxpool.Pool
	now   func() time.Time
	batch int   // rows of one transaction
	most  int64 // rows that are counted
}

const (
	batchRows = 2_000
	// MostCounted is how many rows of a table Plan counts; there may be more.
	MostCounted = 100_000
	// auditFor bounds writing down what was deleted by a run that was interrupted.
	auditFor = 10 * time.Second
)

// New makes a Keeper. The pool's user needs the rights of postgres.RoleRetention.
func New(pool *pgxpool.Pool) *Keeper {
	return &Keeper{pool: pool, now: time.Now, batch: batchRows, most: MostCounted}
}

// Due is what a table holds that is older than the operator wants.
type Due struct {
	Rule
	Before time.Time // rows from before are deleted; zero: none
	Oldest time.Time // of all rows that the rule is about; zero: there is none
	Rows   int64     // from before; at most MostCounted
	More   bool      // there may be more
	Bytes  int64     // about, by the average row with its indexes; -1: not known, because the table was never analyzed
}

// Plan gives what Apply would do now, a Due for each rule, without changing anything. Only an index or a bounded number of
// rows is read. Errors are Permanent for settings that Validate refuses, else by postgres.Classify.
func (k *Keeper) Plan(ctx context.Context, s Settings) ([]Due, error) {
	if err := s.Validate(); err != nil {
		return nil, fault.Permanent(fault.Malformed, err)
	}
	now := k.now()
	var plan []Due
	for _, r := range s.rules() {
		d := Due{Rule: r}
		var before time.Time // nothing is
		if r.Deletes() {
			d.Before = r.before(now)
			before = d.Before
		}
		oldest, rows, err := r.look(ctx, k.pool, before, k.most)
		if err != nil {
			return nil, broken("looking at "+r.Table, err)
		}
		if oldest != nil {
			d.Oldest = *oldest
		}
		d.Rows, d.More = rows, rows >= k.most
		if d.Bytes, err = k.bytes(ctx, r, rows); err != nil {
			return nil, broken("looking at the size of "+r.Table, err)
		}
		plan = append(plan, d)
	}
	return plan, nil
}

func (k *Keeper) bytes(ctx context.Context, r Rule, rows int64) (int64, error) {
	if rows == 0 {
		return 0, nil
	}
	var perRow *float64
	err := k.pool.QueryRow(ctx, "SELECT sum(pg_total_relation_size(c.oid) / nullif(greatest(c.reltuples, 0), 0)) FROM unnest($1::text[]) AS t (name) JOIN pg_class c ON c.oid = to_regclass(t.name)",
		append([]string{r.Table}, r.Also...)).Scan(&perRow)
	if err != nil || perRow == nil {
		return -1, err
	}
	return int64(*perRow * float64(rows)), nil
}

// Done is what Apply has deleted from a table.
type Done struct {
	Table  string
	Rows   int64
	Before time.Time
	Vacuum bool // too few for autovacuum to come soon, and many enough to be worth one
}

// worthVacuum is from how many deleted rows on somebody is told to vacuum.
const worthVacuum = 100_000

// Apply deletes what is due, a rule after the other, in batches that are transactions of their own; progress, if not nil, hears
// of each. by is who asked, for the audit log: an entry comes with the first row that is deleted, and one with the counts at the
// end, also of a run that fails or is interrupted; the next goes on. What was deleted is given with an error, too. Errors are
// as those of Plan.
func (k *Keeper) Apply(ctx context.Context, s Settings, by string, progress func(Done)) ([]Done, error) {
	if err := s.Validate(); err != nil {
		return nil, fault.Permanent(fault.Malformed, err)
	}
	if progress == nil {
		progress = func(Done) {}
	}
	run := run{Keeper: k, by: by, progress: progress}
	now := k.now()
	var due []string
	for _, r := range s.rules() {
		if r.Deletes() {
			due = append(due, fmt.Sprintf("%s before %s", r.Table, r.before(now).UTC().Format(time.RFC3339)))
		}
	}
	run.what = strings.Join(due, ", ")
	var err error
	for _, r := range s.rules() {
		if !r.Deletes() {
			continue
		}
		done := Done{Table: r.Table, Before: r.before(now)}
		err = run.rule(ctx, r, &done)
		run.done = append(run.done, done)
		if err != nil {
			err = broken("deleting from "+r.Table, err)
			break
		}
	}
	return run.done, errors.Join(err, run.end(ctx, err))
}

// run is one Apply.
type run struct {
	*Keeper
	by, what string
	begun    bool // the audit log has its first entry
	done     []Done
	progress func(Done)
}

func (r *run) rule(ctx context.Context, rule Rule, done *Done) error {
	for _, next := range rule.expires {
		var at place
		for more := true; more; {
			before, began := at, r.begun
			err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
				var rows int64
				var err error
				if rows, more, err = next(ctx, tx, done.Before, &at, r.batch); err != nil || rows == 0 {
					return err
				}
				if !r.begun {
					if err := audit(ctx, tx, r.by, "applyRetention", r.what, "done"); err != nil {
						return err
					}
				}
				r.begun = true
				done.Rows += rows
				return nil
			})
			if err != nil {
				at, r.begun = before, began
				return err
			}
			r.progress(*done)
		}
	}
	if done.Rows < worthVacuum {
		return nil
	}
	// Autovacuum comes by itself when a fifth is dead, unless it is set otherwise.
	if err := r.pool.QueryRow(ctx, "SELECT $2 < 0.2 * greatest(reltuples, 0) FROM pg_class WHERE oid = to_regclass($1)", done.Table, done.Rows).Scan(&done.Vacuum); err != nil {
		return fmt.Errorf("looking whether autovacuum comes: %w", err)
	}
	return nil
}

// end writes down what was deleted, also of a run whose context has ended.
func (r *run) end(ctx context.Context, failed error) error {
	if !r.begun {
		return nil
	}
	result := "done"
	if failed != nil {
		result = "failed"
	}
	var counts []string
	for _, d := range r.done {
		if d.Rows > 0 {
			counts = append(counts, fmt.Sprintf("%d of %s", d.Rows, d.Table))
		}
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditFor)
	defer cancel()
	return broken("writing the audit log", pgx.BeginFunc(bounded, r.pool, func(tx pgx.Tx) error {
		return audit(bounded, tx, r.by, "endRetention", strings.Join(counts, ", "), result)
	}))
}

func audit(ctx context.Context, tx pgx.Tx, by, action, target, result string) error {
	_, err := tx.Exec(ctx, "INSERT INTO audit_log (who, role, action, target, result, via) VALUES (left($1, 200), 'retention', $2, left($3, 1200), $4, 'cli')", by, action, target, result)
	if err != nil {
		return fmt.Errorf("writing the audit log: %w", err)
	}
	return nil
}

func broken(doing string, err error) error {
	if err == nil {
		return nil
	}
	return postgres.Classify(fmt.Errorf("%s: %w", doing, err))
}
