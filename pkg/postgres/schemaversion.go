package postgres

import (
	"context"
	"errors"
	"fmt"

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
	err = pool.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable+" WHERE is_applied").Scan(&v.Have)
	var missing *pgconn.PgError
	if errors.As(err, &missing) && missing.Code == undefinedTable {
		return Versions{Want: v.Want}, nil
	}
	if err != nil {
		return Versions{}, fmt.Errorf("reading the schema's version: %w", err)
	}
	return v, nil
}
