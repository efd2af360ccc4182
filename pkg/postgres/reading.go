package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DB is what statements run on: a pool or a transaction.
type DB interface {
	Begin(ctx context.Context) (pgx.Tx, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Reading gives read a transaction that sees one state of the database, changes nothing, and ends a statement that takes
// longer than limit (then TimedOut). It is for what people and programs ask for while others work: a question that is too
// large must not keep the server busy when nobody waits for its answer any more. Errors of the database are marked by Classify.
func Reading(ctx context.Context, pool *pgxpool.Pool, limit time.Duration, read func(tx pgx.Tx) error) error {
	// One request begins it, and the limit holds behind a transaction pooler too.
	begin := fmt.Sprintf("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = %d", max(1, limit.Milliseconds()))
	var failed error
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		failed = read(tx)
		return failed
	})
	if failed != nil {
		return failed // as read has marked it
	}
	if err != nil {
		return Classify(fmt.Errorf("reading: %w", err))
	}
	return nil
}
