package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

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
// mode: Config.Direct). The error of who waited in vain, for five minutes, names the session that holds the lock. The log
// may be nil; each migration applied is one line, and so is a wait.
func Migrate(ctx context.Context, pool *pgxpool.Pool, log *zap.Logger) error {
	return migrate(ctx, pool, log, lockTries)
}

func migrate(ctx context.Context, pool *pgxpool.Pool, log *zap.Logger, tries uint64) (err error) {
	if log == nil {
		log = zap.NewNop()
	}
	files, err := Migrations()
	if err != nil {
		return fmt.Errorf("reading the embedded migrations: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, tries))
	if err != nil {
		return fmt.Errorf("making the migration lock: %w", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	// Closing db gives its connections back; the pool stays open.
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(tellingLocker{locker, log, time.Duration(tries) * time.Second}), goose.WithDisableGlobalRegistry(true))
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

// tellingLocker says who holds the lock: before it waits, and when it has waited in vain.
type tellingLocker struct {
	lock.SessionLocker
	log  *zap.Logger
	most time.Duration
}

// SessionLock is goose's.
func (l tellingLocker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	before, err := migrating(ctx, conn)
	if err != nil {
		return err
	}
	if len(before) > 0 {
		l.log.Warn("waiting for whoever holds the lock of the migrations", zap.Stringers("holders", before), zap.Duration("at_most", l.most))
	}
	err = l.SessionLocker.SessionLock(ctx, conn)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if holders, lookErr := migrating(ctx, conn); lookErr == nil && len(holders) > 0 {
		return lockHeld("the migrations", l.most, holders)
	}
	return err
}

// migrating gives who holds the lock of the migrations.
func migrating(ctx context.Context, conn *sql.Conn) (holders []lockHolder, err error) {
	rows, err := conn.QueryContext(ctx, lockHolders, lock.DefaultLockID)
	if err != nil {
		return nil, fmt.Errorf("looking who holds the lock of the migrations: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var h lockHolder
		if err := rows.Scan(&h.PID, &h.Role, &h.Program); err != nil {
			return nil, fmt.Errorf("looking who holds the lock of the migrations: %w", err)
		}
		holders = append(holders, h)
	}
	return holders, rows.Err()
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
