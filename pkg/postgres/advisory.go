package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// LockAdvisory takes a transaction-level advisory lock, and waits its turn for at most wait (milliseconds at least).
// Anybody who may connect to the database can hold any advisory lock, so nobody waits for one without a bound: beyond
// it the error, which is Transient, names the sessions that are in the way, and its advice says how to end them. The
// transaction can go on after it. what is what the lock is for, as in "the link ledger". Other errors are marked by
// Classify.
func LockAdvisory(ctx context.Context, tx pgx.Tx, key int64, what string, wait time.Duration) error {
	// The savepoint keeps the transaction alive and takes lock_timeout back; a lock that was taken in it stays.
	err := pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
		var before string
		if err := savepoint.QueryRow(ctx, "SELECT current_setting('lock_timeout')").Scan(&before); err != nil {
			return err
		}
		const set = "SELECT set_config('lock_timeout', $1, true)"
		if _, err := savepoint.Exec(ctx, set, fmt.Sprintf("%dms", max(wait.Milliseconds(), 1))); err != nil {
			return err
		}
		if _, err := savepoint.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", key); err != nil {
			return err
		}
		_, err := savepoint.Exec(ctx, set, before)
		return err
	})
	if code(err) != lockNotAvailable {
		if err != nil {
			return Classify(fmt.Errorf("taking the lock of %s: %w", what, err))
		}
		return nil
	}
	rows, err := tx.Query(ctx, lockHolders, key)
	if err != nil {
		return Classify(fmt.Errorf("looking who holds the lock of %s: %w", what, err))
	}
	holders, err := pgx.CollectRows(rows, pgx.RowToStructByPos[lockHolder])
	if err != nil {
		return Classify(fmt.Errorf("looking who holds the lock of %s: %w", what, err))
	}
	return lockHeld(what, wait, holders)
}

// lockHolder is a session that holds an advisory lock; all may see this much of each other's.
type lockHolder struct {
	PID     int // 0: a prepared transaction, which has no session
	Role    string
	Program string // application_name
}

// String names the session for a person who may end it.
func (h lockHolder) String() string {
	switch {
	case h.PID == 0:
		return "a prepared transaction (see pg_prepared_xacts)"
	case h.Program == "":
		return fmt.Sprintf("process %d of role %s", h.PID, h.Role)
	}
	return fmt.Sprintf("process %d of role %s (%s)", h.PID, h.Role, h.Program)
}

// advisoryHeld finds a lock l of this database by the key that follows: pg_locks splits the 64-bit key of an advisory
// lock in two, and marks such a key with objsubid 1.
const advisoryHeld = `l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = `

const lockHolders = `SELECT coalesce(l.pid, 0), coalesce(a.usename::text, ''), coalesce(a.application_name, '')
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE ` + advisoryHeld + `$1::bigint ORDER BY 1`

// lockHeld is the error of who waited in vain.
func lockHeld(what string, waited time.Duration, holders []lockHolder) error {
	if len(holders) == 0 {
		return fault.Transient(fault.Unavailable, fmt.Errorf("the lock of %s was held for %v, and is free now: try again", what, waited))
	}
	var names, ends []string
	for _, h := range holders {
		names = append(names, h.String())
		if h.PID != 0 {
			ends = append(ends, fmt.Sprintf("SELECT pg_terminate_backend(%d)", h.PID))
		}
	}
	advice := "try again when it is done; where that session is not Throughline's, or hangs, somebody who may ends it"
	if len(ends) > 0 {
		advice += ": " + strings.Join(ends, "; ")
	}
	return fault.Advise(fault.Transient(fault.Unavailable,
		fmt.Errorf("the lock of %s is held by %s, and was not free within %v", what, strings.Join(names, ", "), waited)), advice)
}
