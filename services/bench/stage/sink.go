package stage

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/whole"
)

// runSink writes what lies in account-events until Records are in the table.
func runSink(ctx context.Context, job Job, ready func(string)) (Result, error) {
	if job.Records == 0 {
		return runConsuming(ctx, job, ready, whole.Sink, stream.Names{}.Group(stream.Sink), stream.AccountEvents)
	}
	return runUntil(ctx, job, whole.Sink, "throughline_sink_records_total")
}

// The limit's own statements, so that it stays what it is when ours change.
const (
	bareTable = `CREATE TEMPORARY TABLE batch (account_id UUID, event_type TEXT, source TEXT, source_event_id TEXT, payload JSONB,
		occurred_at TIMESTAMPTZ, ingested_at TIMESTAMPTZ, reference TEXT, rule TEXT, delivery TEXT,
		raw_topic TEXT, raw_partition INTEGER, raw_offset BIGINT, raw_index INTEGER) ON COMMIT DELETE ROWS`
	bareInsert = `WITH inserted AS (
			INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
			SELECT account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at FROM batch
			ON CONFLICT (source, source_event_id) DO NOTHING RETURNING id, source, source_event_id)
		INSERT INTO account_event_origins (event_id, reference, rule, delivery, raw_topic, raw_partition, raw_offset, raw_index)
		SELECT id, reference, rule, delivery, raw_topic, raw_partition, raw_offset, raw_index
		FROM inserted JOIN batch USING (source, source_event_id)`
)

// runBareSink puts the first Records rows of account-events and their origins,
// which it holds in memory before the clock starts, into the same tables: COPY
// to a temporary one, one INSERT of both from there, commit. It reads no Kafka,
// decodes nothing and keeps no offsets.
func runBareSink(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	var batches [][][]any
	err = readRows(ctx, job, func(rows [][]any) error {
		batches = append(batches, rows)
		return nil
	})
	if err != nil {
		return r, err
	}
	pool, err := postgres.Open(ctx, postgres.Config{URL: settings.URL(job.Postgres), MaxConns: 4}, "bench-bare-sink")
	if err != nil {
		return r, err
	}
	defer pool.Close()
	r.CPU = CPUSeconds() // reading and decoding was not the limit's work
	var written atomic.Int64
	write := func(ctx context.Context) error {
		return until(ctx, func(ctx context.Context) error { return bareWrite(ctx, pool, batches, job.Keeper, &written) }, func(ctx context.Context) (err error) {
			r.Samples, err = sample(ctx, job.Records, func() (int, error) { return int(written.Load()), nil })
			return err
		})
	}
	if !job.Keeper {
		return r, write(ctx)
	}
	keeper := postgres.NewKeeper(pool, nil)
	err = until(ctx, keeper.Run, func(ctx context.Context) error {
		for !keeper.Stats().Holds {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(sampleEvery):
			}
		}
		return write(ctx)
	})
	return r, err
}

func bareWrite(ctx context.Context, pool *pgxpool.Pool, batches [][][]any, keeper bool, written *atomic.Int64) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, bareTable); err != nil {
		return fmt.Errorf("making the temporary table: %w", err)
	}
	if keeper {
		if _, err := conn.Exec(ctx, "SET gin_pending_list_limit = '1GB'"); err != nil {
			return fmt.Errorf("leaving the pending list to the keeper: %w", err)
		}
	}
	columns := append(eventColumns(), originColumns()...)
	for _, batch := range batches {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{"batch"}, columns, pgx.CopyFromRows(batch)); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, bareInsert)
			return err
		})
		if err != nil {
			return fmt.Errorf("writing a batch: %w", err)
		}
		written.Add(int64(len(batch)))
	}
	return nil
}
