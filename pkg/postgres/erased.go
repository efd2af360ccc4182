package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// erasedState is the SQLSTATE (a class of ours) with which the database refuses to take up again what was erased (migrations
// 00027 and 00029 to 00032).
const erasedState = "TL001"

// IsErased reports whether the database refused a link or an account because what it names was erased on request.
func IsErased(err error) bool { return code(err) == erasedState }

// ErasedColumn gives the column that holds what was erased, where IsErased, or "": of an account its id, domain, name or owner,
// of what people write a reason, note or comment, or who wrote it, and of a decision the account that is being erased.
func ErasedColumn(err error) string {
	var pgErr *pgconn.PgError
	if !IsErased(err) || !errors.As(err, &pgErr) {
		return ""
	}
	return pgErr.ColumnName
}

// IsErasing reports whether the database refused a decision because an account that it names is being erased.
func IsErasing(err error) bool { return ErasedColumn(err) == "account" }

// erasedText is the error of a text that holds what was erased, or of a decision about an account that is being erased, for the
// person who wrote it; nil: err is another.
func erasedText(err error) error {
	var pgErr *pgconn.PgError
	if ErasedColumn(err) == "" || !errors.As(err, &pgErr) {
		return nil
	}
	if IsErasing(err) {
		return fault.Permanent(fault.Conflict, &erasingError{err})
	}
	return fault.Permanent(fault.Conflict, &erasedTextError{pgErr.ColumnName, cmp.Or(pgErr.Detail, "ID"), err})
}

// erasingError tells of a decision about an account that is being erased.
type erasingError struct{ err error }

// Error is error's.
func (*erasingError) Error() string {
	return "an account that this names is being erased on request: nothing is linked to it or moved any more (`throughline erasures list`; `throughline erasures resume` finishes an erasure that was interrupted)"
}

// Unwrap is for errors.As.
func (e *erasingError) Unwrap() error { return e.err }

// erasedTextError says it in words, and is still the database's error.
type erasedTextError struct {
	column, erasure string
	err             error
}

// Error is error's.
func (e *erasedTextError) Error() string {
	column := e.column
	if column == "author" || column == "by" || strings.HasSuffix(column, "_by") {
		column = "author (--by)"
	}
	return fmt.Sprintf("the %s holds an address that was erased on request, and is not kept again: leave it out, or let the customer who is back in with `throughline erasures lift %s`", column, e.erasure)
}

// Unwrap is for errors.As.
func (e *erasedTextError) Unwrap() error { return e.err }
