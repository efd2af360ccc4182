package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Classify marks a database error as one that this data will always cause (Permanent, fault.Unstorable: the data
// is a dead letter) or one that another try, or a person, may fix (Transient, fault.Unavailable). nil gives nil.
//
// The SQLSTATE alone decides; the table is in states.go. An error without one (the connection broke) is Transient. A text that
// holds what was erased on request (ErasedColumn) is fault.Conflict.
func Classify(err error) error {
	if err == nil {
		return nil
	}
	if erased := erasedText(err); erased != nil {
		return erased
	}
	if stateOf(err).permanent {
		return fault.Permanent(fault.Unstorable, err)
	}
	return fault.Transient(fault.Unavailable, named(err))
}

// Advice says in one line what a person can do about an error of the database; "" where nothing is known or where
// waiting is enough. Use it where an error is shown: a command's output, the readiness report, the log.
func Advice(err error) string {
	if errors.Is(err, errBatchTimeout) {
		return timeoutAdvice
	}
	if advice := tlsAdvice(err); advice != "" {
		return advice
	}
	return stateOf(err).advice
}

// timeoutAdvice is for work that Postgres neither does nor refuses.
const timeoutAdvice = "Postgres does not finish the statement: look in pg_stat_activity and pg_blocking_pids() for who holds a lock, " +
	"and at the server's disks and processes"

// ReadOnly reports whether the server takes no writes: a standby, or one that is set so.
func ReadOnly(err error) bool { return errors.Is(err, errReadOnly) || code(err) == readOnlyTransaction }

// TimedOut reports whether a statement or a batch took longer than it may: statement_timeout, or Upsert's own bound.
func TimedOut(err error) bool {
	return errors.Is(err, errBatchTimeout) || code(err) == queryCanceled
}

// Suspect reports whether an error may be one row's, as well as the whole table's: a trigger's refusal, row security.
// Whether it is, Writer.Probe can tell.
func Suspect(err error) bool { return stateOf(err).suspect }

// code gives the SQLSTATE of an error; "": it has none.
func code(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && len(pgErr.Code) == 5 {
		return pgErr.Code
	}
	return ""
}

// stateOf looks an error up: by its SQLSTATE, else by the SQLSTATE's class (its first two characters).
func stateOf(err error) state {
	if errors.Is(err, errReadOnly) {
		return states()[readOnlyTransaction]
	}
	c := code(err)
	if c == "" {
		return state{}
	}
	if s, ok := states()[c]; ok {
		return s
	}
	return states()[c[:2]]
}
