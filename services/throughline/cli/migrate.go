package cli

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

type migrateCommand struct{}

// Help is kong's: what --help says beyond the summary.
func (*migrateCommand) Help() string {
	return "Does nothing where the schema is up to date. Then brings account domains that an earlier version stored in Unicode into the form that events are resolved by (xn--…), and lists those that it could not. Any number of processes may migrate at once: one works, the others " +
		"wait up to five minutes. Where --postgres-url leads to a pooler in transaction mode, --postgres-direct-url should lead past it."
}

func (*migrateCommand) needs() need { return needsPostgres | needsSession }

// Run is kong's.
func (c *migrateCommand) Run(ctx context.Context, s *session) error {
	return s.withSessions(ctx, func(pool *pgxpool.Pool) error {
		if err := postgres.Migrate(ctx, pool, s.plainLog()); err != nil {
			return err
		}
		if err := s.normalizeDomains(ctx, pool); err != nil {
			return err
		}
		var version int64
		if err := pool.QueryRow(ctx, "SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&version); err != nil {
			return fmt.Errorf("reading the schema's version: %w", err)
		}
		_, err := fmt.Fprintf(s.Out, "the schema is up to date, at version %d\n", version)
		return err
	})
}

// normalizeDomains brings the domains that earlier versions stored into the form in which events are resolved, which
// no SQL can: names in Unicode.
func (s *session) normalizeDomains(ctx context.Context, pool *pgxpool.Pool) error {
	changed, left, err := s.store(pool).NormalizeDomains(ctx)
	for _, d := range changed {
		s.say("domain of %s (%s): %s is stored as %s now", d.Name, d.AccountID, d.Domain, d.Normal)
	}
	for _, d := range left {
		why := "it is not a domain"
		if d.Taken {
			why = "another account has " + d.Normal
		}
		s.say("domain of %s (%s): %s was left, and no event resolves by it: %s", d.Name, d.AccountID, d.Domain, why)
	}
	return err
}

// plainLog shows a package's log lines to a person: the message and its fields.
func (s *session) plainLog() *zap.Logger {
	encoder := zapcore.NewConsoleEncoder(zapcore.EncoderConfig{
		MessageKey: "msg", ConsoleSeparator: " ", EncodeDuration: zapcore.StringDurationEncoder,
	})
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(s.Err)), zap.InfoLevel))
}
