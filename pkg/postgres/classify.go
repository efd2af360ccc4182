package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Classify marks a database error as one that this data will always cause (Permanent, fault.Unstorable: the data
// is a dead letter) or one that another try may mend (Transient, fault.Unavailable). nil gives
// nil.
//
// The SQLSTATE class alone decides (https://www.postgresql.org/docs/current/errcodes-appendix.html):
//
//	22  data exception: a NUL in JSONB, a bad UUID, a number out of range      Permanent
//	23  constraint violation: NULL where there may be none, a check            Permanent
//	54  program limit: an index row over 2,704 bytes, JSON nested too deep     Permanent
//	all others, and no SQLSTATE at all (the connection broke)                  Transient
//
// 23505, a duplicate key, is the exception in class 23: duplicates of an event are skipped by ON CONFLICT, so
// what is left is a duplicate id from a sequence that lags (after a restore), and each retry advances it.
func Classify(err error) error {
	if err == nil {
		return nil
	}
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || len(pgErr.Code) != 5 {
		return fault.Transient(fault.Unavailable, err)
	}
	switch pgErr.Code[:2] {
	case "22", "54":
		return fault.Permanent(fault.Unstorable, err)
	case "23":
		if pgErr.Code != uniqueViolation {
			return fault.Permanent(fault.Unstorable, err)
		}
	}
	return fault.Transient(fault.Unavailable, err)
}

const uniqueViolation = "23505"
