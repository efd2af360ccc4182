package erase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Eraser erases. It is safe for concurrent use; of several that run one erasure, each batch is one's.
type Eraser struct {
	pool    *pgxpool.Pool
	sources source.Set
	batch   int // events that are deleted at once
	page    int // events or records that are looked at in one statement
}

// Bounds of one transaction.
const (
	eraseBatch = 2_000
	erasePage  = 5_000
	fenceEvery = 50 * time.Millisecond
)

// New makes an Eraser for a process that knows these sources: they say what an event refers to.
func New(pool *pgxpool.Pool, sources source.Set) *Eraser {
	return &Eraser{pool: pool, sources: sources, batch: eraseBatch, page: erasePage}
}

// Counts are rows by table.
type Counts map[string]int64

func (c Counts) add(table string, n int64) {
	if n > 0 {
		c[table] += n
	}
}

// States of an erasure.
const (
	Running = "running"
	Done    = "done"
	Lifted  = "lifted" // what was erased may come again
)

// Erasure is one request.
type Erasure struct {
	ID          int64
	Kind        string // account or reference
	Label       string // what kind of thing, without its value
	Digest      []byte
	DecisionID  int64 // of the ledger, as account-changes names it
	State       string
	Stage       string // of one that runs: fence, events, quarantine or rest
	Counts      Counts // deleted or emptied so far
	RequestedBy string
	Reason      string
	References  int64 // that are kept from coming back
	CreatedAt   time.Time
	FinishedAt  time.Time // zero: it runs
	LiftedBy    string
	LiftedAt    time.Time

	next   int64
	fence  bool
	looked looked
}

// erasureColumns are those of scanErasure.
const (
	erasureColumns = ownColumns + ", " + keptColumn + ", e.target"
	ownColumns     = "e.id, e.kind, e.label, e.digest, e.decision_id, e.state, e.stage, e.counts, e.requested_by, e.reason, e.created_at, e.finished_at, e.lifted_by, e.lifted_at, e.next, e.fence IS NOT NULL"
	keptColumn     = "(SELECT count(DISTINCT s.digest) FROM suppressions s WHERE s.erasure_id = e.id AND NOT s.any_tenant)"
	// againColumns are the same for who knows of erasure $1 what grows with what it looks for: each batch would read that again.
	againColumns = ownColumns + ", CASE WHEN e.id = $1 THEN 0 ELSE " + keptColumn + " END, CASE WHEN e.id = $1 THEN NULL ELSE e.target END"
)

func scanErasure(row pgx.CollectableRow) (Erasure, error) {
	var e Erasure
	var finished, lifted *time.Time
	var counts, target []byte
	err := row.Scan(&e.ID, &e.Kind, &e.Label, &e.Digest, &e.DecisionID, &e.State, &e.Stage, &counts, &e.RequestedBy, &e.Reason,
		&e.CreatedAt, &finished, &e.LiftedBy, &lifted, &e.next, &e.fence, &e.References, &target)
	if err != nil {
		return e, err
	}
	if finished != nil {
		e.FinishedAt = *finished
	}
	if lifted != nil {
		e.LiftedAt = *lifted
	}
	if target != nil {
		err = json.Unmarshal(target, &e.looked)
	}
	return e, errors.Join(err, json.Unmarshal(counts, &e.Counts))
}

// List lists erasures, the newest first, at most limit.
func (e *Eraser) List(ctx context.Context, limit int) ([]Erasure, error) {
	rows, err := e.pool.Query(ctx, "SELECT "+erasureColumns+" FROM erasures e ORDER BY e.id DESC LIMIT $1", limit)
	if err == nil {
		var list []Erasure
		if list, err = pgx.CollectRows(rows, scanErasure); err == nil {
			return list, nil
		}
	}
	return nil, broken("listing erasures", err)
}

// Suppressed is how many events of a source were passed over.
type Suppressed struct {
	Source string
	Events int64
	LastAt time.Time
}

// Suppressed lists the sources of which events were passed over.
func (e *Eraser) Suppressed(ctx context.Context) ([]Suppressed, error) {
	rows, err := e.pool.Query(ctx, "SELECT source, events, last_at FROM suppressed_events ORDER BY source")
	if err == nil {
		var list []Suppressed
		if list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Suppressed]); err == nil {
			return list, nil
		}
	}
	return nil, broken("listing what was passed over", err)
}

// Begin writes an erasure down: from its commit on, nothing of the target is kept that comes, and no decision names the
// account. Run does the rest. Where the same was begun before and interrupted, it gives that one. An account that does not
// exist is NotFound; one to or from which events are being moved is a Conflict.
func (e *Eraser) Begin(ctx context.Context, t Target, by, reason string) (Erasure, error) {
	if err := t.check(); err != nil {
		return Erasure{}, err
	}
	if t.in(reason) {
		return Erasure{}, refuse(fault.Malformed, "the reason is kept, and holds what is to be erased: give the number of the request")
	}
	if t.in(by) {
		return Erasure{}, refuse(fault.Malformed, "the author is kept, and holds what is to be erased: give another name with --by")
	}
	var made Erasure
	err := pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		if err := claim(ctx, tx, t); err != nil {
			return err
		}
		l, err := e.find(ctx, tx, t)
		if err != nil {
			return err
		}
		target, err := json.Marshal(l)
		if err != nil {
			return fmt.Errorf("describing the erasure: %w", err)
		}
		var from *uuid.UUID
		kind := "reference"
		if t.Account != uuid.Nil {
			from, kind = &t.Account, "account"
		}
		r := l.References[0]
		rows, err := tx.Query(ctx, "SELECT "+erasureColumns+` FROM erasures e WHERE state = 'running' AND kind = $1 AND digest = reference_digest($2, $3, $4, $5) AND (kind = 'account' OR target = $6::jsonb)
			ORDER BY id LIMIT 1`, kind, r.Source, r.Kind, r.Tenant, r.ID, string(target))
		if err != nil {
			return fmt.Errorf("looking for an erasure that was interrupted: %w", err)
		}
		if made, err = pgx.CollectExactlyOneRow(rows, scanErasure); err == nil {
			return nil // whoever types it once more means that one
		} else if !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("looking for an erasure that was interrupted: %w", err)
		}
		rows, err = tx.Query(ctx, `WITH decided AS (
			INSERT INTO link_decisions (verb, from_account, learned, author, reason) VALUES ($1, $2, $3, $4, '') RETURNING id
		), made AS (
			INSERT INTO erasures (kind, label, digest, decision_id, target, requested_by, reason)
			SELECT $5, $6, reference_digest($7, $8, $9, $10), id, $11, $4, $12 FROM decided RETURNING *
		) SELECT `+erasureColumns+` FROM made e`, string(accounts.VerbErase), from, accounts.LearnedOperator, by, kind, t.label(), r.Source, r.Kind, r.Tenant, r.ID, string(target), reason)
		if err != nil {
			return fmt.Errorf("writing the erasure: %w", err)
		}
		if made, err = pgx.CollectExactlyOneRow(rows, scanErasure); err != nil {
			return fmt.Errorf("writing the erasure: %w", err)
		}
		args := l.arguments()
		args["erasure"], args["decision"] = made.ID, made.DecisionID
		tag, err := tx.Exec(ctx, `INSERT INTO suppressions (digest, erasure_id, source, kind, decision_id, mentions)
			SELECT DISTINCT ON (1) reference_digest(r.source, r.kind, r.tenant, r.id), @erasure::bigint, r.source, r.kind, @decision::bigint, @mentions::boolean
			FROM unnest(@sources::text[], @tenants::text[], @kinds::text[], @ids::text[]) AS r (source, tenant, kind, id)`, args)
		if err != nil {
			return fmt.Errorf("keeping it from coming back: %w", err)
		}
		made.References = tag.RowsAffected()
		// Without its tenant a reference stands for all of them. Another account that has it so keeps it, when an account is erased.
		if _, err := tx.Exec(ctx, `INSERT INTO suppressions (digest, erasure_id, source, kind, decision_id, mentions, any_tenant)
			SELECT DISTINCT ON (1) reference_digest(r.source, r.kind, E'\x1f', r.id), @erasure::bigint, r.source, r.kind, @decision::bigint, @mentions::boolean, true
			FROM unnest(@sources::text[], @tenants::text[], @kinds::text[], @ids::text[]) AS r (source, tenant, kind, id)
			WHERE r.tenant <> '' AND (@mentions::boolean OR NOT EXISTS (SELECT FROM account_links l
				WHERE l.source = r.source AND l.kind = r.kind AND l.external_id = r.id AND l.tenant = '' AND l.account_id <> ALL (@accounts::uuid[])))`, args); err != nil {
			return fmt.Errorf("keeping it from coming back: %w", err)
		}
		// The sink knows by a move that the account did exist.
		if _, err := tx.Exec(ctx, `INSERT INTO history_moves (decision_id, from_account, events, finished_at) SELECT $1, id, 0, now() FROM unnest($2::uuid[]) AS a (id)`,
			made.DecisionID, l.Accounts); err != nil {
			return fmt.Errorf("noting the account: %w", err)
		}
		return nil
	})
	return made, broken("beginning an erasure", err)
}

// claim locks an account that is to be erased against decisions about it (the trigger refuse_erasing), and refuses while
// events are on their way to or from it: those that are its by now would stay, and others' go with it.
func claim(ctx context.Context, tx pgx.Tx, t Target) error {
	if t.Account == uuid.Nil {
		return nil
	}
	rows, err := tx.Query(ctx, "SELECT id FROM accounts WHERE id = $1 OR merged_into = $1 ORDER BY id FOR UPDATE", t.Account)
	if err != nil {
		return fmt.Errorf("locking the account: %w", err)
	}
	locked, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("locking the account: %w", err)
	}
	var moves int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM history_moves m JOIN link_decisions d ON d.id = m.decision_id
		WHERE m.finished_at IS NULL AND (m.from_account = ANY ($1) OR d.to_account = ANY ($1))`, locked).Scan(&moves); err != nil {
		return fmt.Errorf("looking for moves of events: %w", err)
	}
	if moves > 0 {
		return refuse(fault.Conflict, "%d moves of events to or from this account are not finished: `throughline accounts moves --resume` finishes them, then erase it", moves)
	}
	return nil
}

// Lift lets what an erasure keeps away come again: a customer who is back. Nothing that was erased comes back by it.
func (e *Eraser) Lift(ctx context.Context, id int64, by, reason string) (Erasure, error) {
	var lifted Erasure
	err := pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT "+erasureColumns+" FROM erasures e WHERE e.id = $1 FOR UPDATE OF e", id)
		if err != nil {
			return err
		}
		lifted, err = pgx.CollectExactlyOneRow(rows, scanErasure)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return refuse(fault.NotFound, "there is no erasure %d: `throughline erasures list` shows them", id)
		case err != nil:
			return err
		case lifted.State == Running:
			return refuse(fault.Conflict, "erasure %d is not finished: finish it with `throughline erasures resume`, then lift it", id)
		case lifted.State == Lifted:
			return nil
		}
		if _, err := tx.Exec(ctx, "DELETE FROM suppressions WHERE erasure_id = $1", id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO link_decisions (verb, learned, author, reason) VALUES ($1, $2, $3, $4)", string(accounts.VerbLift), accounts.LearnedOperator, by, reason); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "UPDATE erasures SET state = 'lifted', lifted_by = $2, lifted_at = now() WHERE id = $1 RETURNING lifted_at", id, by).Scan(&lifted.LiftedAt); err != nil {
			return err
		}
		lifted.State, lifted.LiftedBy = Lifted, by
		return audit(ctx, tx, by, "liftErasure", lifted, reason)
	})
	return lifted, broken("lifting an erasure", err)
}

// ByReference gives the erasures, the newest first, that keep a reference away; one without a tenant, in any tenant.
func (e *Eraser) ByReference(ctx context.Context, r source.Reference) ([]Erasure, error) {
	rows, err := e.pool.Query(ctx, "SELECT "+erasureColumns+` FROM erasures e WHERE e.id IN (
		SELECT s.erasure_id FROM suppressions s WHERE s.digest = ANY (ARRAY[reference_digest($1, $2, coalesce(nullif($3, ''), E'\x1f'), $4), reference_digest($1, $2, '', $4)])) ORDER BY e.id DESC`, r.Source, r.Kind, r.Tenant, r.ID)
	if err == nil {
		var list []Erasure
		if list, err = pgx.CollectRows(rows, scanErasure); err == nil {
			return list, nil
		}
	}
	return nil, broken("looking for erasures", err)
}

// Keeps says what an erasure keeps away, by kind ("email", "stripe customer"), the most frequent first.
func (e *Eraser) Keeps(ctx context.Context, id int64) ([]Kept, error) {
	rows, err := e.pool.Query(ctx, `SELECT CASE source WHEN kind THEN kind ELSE source || ' ' || kind END, count(DISTINCT digest) FROM suppressions
		WHERE erasure_id = $1 AND NOT any_tenant GROUP BY 1 ORDER BY 2 DESC, 1`, id)
	if err == nil {
		var kept []Kept
		if kept, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Kept]); err == nil {
			return kept, nil
		}
	}
	return nil, broken("looking what an erasure keeps away", err)
}

// Kept is how many references of a kind an erasure keeps away.
type Kept struct {
	Kind       string
	References int64
}

// audit proves it without holding the data.
func audit(ctx context.Context, tx pgx.Tx, by, action string, of Erasure, why string) error {
	_, err := tx.Exec(ctx, `INSERT INTO audit_log (who, role, action, target, result, why, via) VALUES (left($1, 200), 'eraser', $2, $3, 'done', left($4, 1000), 'cli')`,
		by, action, fmt.Sprintf("erasure %d: %s %x", of.ID, of.Label, of.Digest), why)
	if err != nil {
		return fmt.Errorf("writing the audit log: %w", err)
	}
	return nil
}

func refuse(reason fault.Reason, format string, args ...any) error {
	return fault.Permanent(reason, fmt.Errorf(format, args...))
}

func broken(doing string, err error) error {
	if err == nil || fault.IsPermanent(err) {
		return err
	}
	return postgres.Classify(fmt.Errorf("%s: %w", doing, err))
}
