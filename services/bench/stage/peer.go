package stage

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// readAhead is how many batches a job that streams holds in memory.
const readAhead = 32

// runSQLInsert writes the first Records rows of account-events as Redpanda
// Connect's sql_insert does, with InFlight batches at a time: each batch is one
// INSERT of many rows of values, in no explicit transaction. It writes no
// origins, keeps no offsets, and deals with no bad row. Unless Stream is set, the
// rows are in memory before the clock starts.
func runSQLInsert(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	room := readAhead
	if !job.Stream {
		room = job.Records/job.Batch + 1
	}
	batches := make(chan [][]any, room)
	read := func(ctx context.Context) error {
		defer close(batches)
		return readRows(ctx, job, func(rows [][]any) error {
			select {
			case batches <- rows:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}
	if !job.Stream {
		if err := read(ctx); err != nil {
			return r, err
		}
	}
	pool, err := postgres.Open(ctx, postgres.Config{URL: settings.URL(job.Postgres), MaxConns: int32(job.InFlight)}, "bench-sql-insert")
	if err != nil {
		return r, err
	}
	defer pool.Close()
	r.CPU = CPUSeconds()
	var written atomic.Int64
	write := func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		if job.Stream {
			group.Go(func() error { return read(ctx) })
		}
		for range job.InFlight {
			group.Go(func() error { return sqlInsert(ctx, pool, batches, &written) })
		}
		return group.Wait()
	}
	err = until(ctx, write, func(ctx context.Context) (err error) {
		r.Samples, err = sample(ctx, job.Records, func() (int, error) { return int(written.Load()), nil })
		return err
	})
	return r, err
}

// sqlInsert writes batches until there are no more. Statements are prepared once
// a connection (pgx's default), which Redpanda Connect does not do: that favours
// the peer.
func sqlInsert(ctx context.Context, pool *pgxpool.Pool, batches <-chan [][]any, written *atomic.Int64) error {
	var statement string
	var values []any
	columns := len(eventColumns())
	for batch := range batches {
		if len(values) != len(batch)*columns {
			statement = insertValues(len(batch))
		}
		values = values[:0]
		for _, row := range batch {
			values = append(values, row[:columns]...)
		}
		if _, err := pool.Exec(ctx, statement, values...); err != nil {
			return fmt.Errorf("writing a batch: %w", err)
		}
		written.Add(int64(len(batch)))
	}
	return nil
}

// insertValues is an INSERT of so many rows, each value a parameter. Postgres
// takes 65,535 of those, which is 9,362 rows.
func insertValues(rows int) string {
	columns := eventColumns()
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO account_events (%s) VALUES ", strings.Join(columns, ", "))
	for i := range rows * len(columns) {
		switch {
		case i%len(columns) > 0:
			b.WriteString(", ")
		case i > 0:
			b.WriteString("), (")
		default:
			b.WriteString("(")
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	b.WriteString(") ON CONFLICT DO NOTHING")
	return b.String()
}
