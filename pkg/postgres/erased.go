package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// erasedState is the SQLSTATE (a class of ours) with which the database refuses to take up again what was erased (migrations
// 00027 and 00029).
const erasedState = "TL001"

// IsErased reports whether the database refused a link or an account because what it names was erased on request.
func IsErased(err error) bool { return code(err) == erasedState }

// ErasedColumn gives the column of an account that holds what was erased (id, domain or name), where IsErased; else "".
func ErasedColumn(err error) string {
	var pgErr *pgconn.PgError
	if !IsErased(err) || !errors.As(err, &pgErr) {
		return ""
	}
	return pgErr.ColumnName
}
