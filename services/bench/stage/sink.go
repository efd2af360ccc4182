package stage

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/whole"
)

// runSink writes what lies in account-events until Records are in the table.
func runSink(ctx context.Context, job Job, _ func(string)) (Result, error) {
	return runUntil(ctx, job, whole.Sink, "throughline_sink_records_total")
}

// The limit's own statements, so that it stays what it is when ours change.
const (
	bareTable = `CREATE TEMPORARY TABLE batch (account_id UUID, event_type TEXT, source TEXT, source_event_id TEXT, payload JSONB,
		occurred_at TIMESTAMPTZ, ingested_at TIMESTAMPTZ) ON COMMIT DELETE ROWS`
	bareInsert = `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		SELECT * FROM batch ON CONFLICT (source, source_event_id) DO NOTHING`
)

func bareColumns() []string {
	return []string{"account_id", "event_type", "source", "source_event_id", "payload", "occurred_at", "ingested_at"}
}

// runBareSink puts the first Records rows of account-events, which it holds in
// memory before the clock starts, into the same table: COPY to a temporary one,
// INSERT … SELECT … ON CONFLICT DO NOTHING, commit. It reads no Kafka, decodes
// nothing and keeps no offsets.
func runBareSink(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	rows, err := readRows(ctx, job)
	if err != nil {
		return r, err
	}
	pool, err := postgres.Open(ctx, postgres.Config{URL: settings.URL(job.Postgres), MaxConns: 4}, "bench-bare-sink")
	if err != nil {
		return r, err
	}
	defer pool.Close()
	r.CPU = cpuSeconds() // reading and decoding was not the limit's work
	var written atomic.Int64
	write := func(ctx context.Context) error {
		return until(ctx, func(ctx context.Context) error { return bareWrite(ctx, pool, rows, job, &written) }, func(ctx context.Context) (err error) {
			r.Samples, err = sample(ctx, len(rows), func() (int, error) { return int(written.Load()), nil })
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

func bareWrite(ctx context.Context, pool *pgxpool.Pool, rows [][]any, job Job, written *atomic.Int64) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, bareTable); err != nil {
		return fmt.Errorf("making the temporary table: %w", err)
	}
	if job.Keeper {
		if _, err := conn.Exec(ctx, "SET gin_pending_list_limit = '1GB'"); err != nil {
			return fmt.Errorf("leaving the pending list to the keeper: %w", err)
		}
	}
	for from := 0; from < len(rows); from += job.Batch {
		batch := rows[from:min(from+job.Batch, len(rows))]
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{"batch"}, bareColumns(), pgx.CopyFromRows(batch)); err != nil {
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

// readRows reads the first records of account-events as rows.
func readRows(ctx context.Context, job Job) ([][]any, error) {
	registry, err := job.registry()
	if err != nil {
		return nil, err
	}
	decoder, err := event.NewDecoder(registry)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(job.Brokers...), kgo.ConsumeTopics(stream.AccountEvents), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, fmt.Errorf("making the Kafka client: %w", err)
	}
	defer client.Close()
	rows := make([][]any, 0, job.Records)
	for len(rows) < job.Records {
		fetches := client.PollRecords(ctx, job.Records-len(rows))
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("reading account-events: %w", err)
		}
		for _, rec := range fetches.Records() {
			var e event.AccountEvent
			if err := decoder.AccountEvent(ctx, rec.Value, &e); err != nil {
				return nil, err
			}
			payload, err := rawjson.WithSubject(e.Payload, e.Subject)
			if err != nil {
				return nil, err
			}
			rows = append(rows, []any{[16]byte(e.AccountID), e.Type, e.Source, e.SourceEventID, payload, e.OccurredAt, e.IngestedAt})
		}
	}
	if len(rows) == 0 {
		return nil, errors.New("there are no rows to write")
	}
	return rows, nil
}
