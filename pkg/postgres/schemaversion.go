package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Versions are a database's schema version and the newest that this program knows.
type Versions struct {
	Have int64 // 0: there is no schema
	Want int64
}

// String says in words how the two compare.
func (v Versions) String() string {
	switch {
	case v.Have < v.Want:
		return fmt.Sprintf("the schema is behind: it is at version %d, and this program needs %d", v.Have, v.Want)
	case v.Have > v.Want:
		return fmt.Sprintf("the schema is newer than this program: it is at version %d, and this program knows up to %d; it works on, because migrations only add", v.Have, v.Want)
	default:
		return fmt.Sprintf("the schema is at version %d, as this program", v.Have)
	}
}

// SchemaVersion reads which migrations the database has. An error is Postgres' own; a database without a schema is none.
func SchemaVersion(ctx context.Context, pool *pgxpool.Pool) (v Versions, err error) {
	if v.Want, err = newestMigration(); err != nil {
		return Versions{}, err
	}
	err = pool.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&v.Have)
	var missing *pgconn.PgError
	if errors.As(err, &missing) && missing.Code == undefinedTable {
		return Versions{Want: v.Want}, nil
	}
	if err != nil {
		return Versions{}, fmt.Errorf("reading the schema's version: %w", err)
	}
	return v, nil
}

// newestMigration is the number in the name of the last file.
func newestMigration() (int64, error) {
	files, err := Migrations()
	if err != nil {
		return 0, fmt.Errorf("reading the embedded migrations: %w", err)
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		return 0, errors.Join(err, errors.New("there are no embedded migrations"))
	}
	number, _, _ := strings.Cut(names[len(names)-1], "_") // in the order of their names
	return strconv.ParseInt(number, 10, 64)
}
