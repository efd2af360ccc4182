package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations is the schema: goose files in the order of their names, at the root of the file system.
func Migrations() (fs.FS, error) {
	return fs.Sub(migrations, "migrations")
}

// lockTries is how often, one second apart, a migrator asks for the lock while another migrates: as long as
// Kubernetes' patience with an init container, roughly.
const lockTries = 300

// Migrate brings the schema up to date, and does nothing where it is. Any number of processes may do so at once:
// a session advisory lock lets one work and the others wait (so pool must not go through a pooler in transaction
// mode: Config.Direct). The log may be nil; each migration applied is one line.
func Migrate(ctx context.Context, pool *pgxpool.Pool, log *zap.Logger) (err error) {
	if log == nil {
		log = zap.NewNop()
	}
	files, err := Migrations()
	if err != nil {
		return fmt.Errorf("reading the embedded migrations: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, lockTries))
	if err != nil {
		return fmt.Errorf("making the migration lock: %w", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	// Closing db gives its connections back; the pool stays open.
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	for _, result := range results {
		log.Info("migration applied", zap.Int64("version", result.Source.Version), zap.Duration("took", result.Duration))
	}
	if code(err) == insufficientPrivilege {
		return fault.Advise(fmt.Errorf("migrating the database as %s, who may not change the schema: %w", pool.Config().ConnConfig.User, err),
			"run `throughline migrate` as the owner of the schema (a service: without THROUGHLINE_SINK_MIGRATE), and `throughline roles apply` after it")
	}
	if err != nil {
		return fmt.Errorf("migrating the database: %w", err)
	}
	return nil
}

// newestMigration is the version of the schema that this program makes.
func newestMigration() (newest int64, err error) {
	files, err := Migrations()
	if err != nil {
		return 0, fmt.Errorf("reading the embedded migrations: %w", err)
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("reading the embedded migrations: %w", err)
	}
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("reading the embedded migrations: %w", err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}
