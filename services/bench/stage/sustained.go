package stage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// runSustained posts different events as fast as they are answered, Records at
// most, and waits until every one of them is visible.
func runSustained(ctx context.Context, job Job, _ func(string)) (Result, error) {
	events, err := job.Accounts.Traffic()
	if err != nil {
		return Result{}, err
	}
	ready, err := requests(job, events, job.Records)
	if err != nil {
		return Result{}, err
	}
	conn, err := pgx.Connect(ctx, job.Postgres)
	if err != nil {
		return Result{}, fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	began := time.Now()
	r, err := load(ctx, job, ready, true)
	if err != nil {
		return r, err
	}
	r.Posting = time.Since(began).Seconds()
	visible, last, err := awaitRows(ctx, conn, r.Sent)
	r.Lost, r.Seconds = r.Sent-visible, last.Sub(began).Seconds()
	return r, err
}

// awaitRows waits until so many rows are there for others, or none has come for
// visiblePatience. It gives how many there are, and since when. A look counts
// only the rows above the last look's: see steady.watch.
func awaitRows(ctx context.Context, conn *pgx.Conn, want int) (rows int, last time.Time, err error) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var highest int64
	for last = time.Now(); ; {
		var fresh int
		err := conn.QueryRow(ctx, "SELECT count(*), coalesce(max(id), $1) FROM account_events WHERE id > $1", highest).Scan(&fresh, &highest)
		if err != nil {
			return rows, last, fmt.Errorf("looking at the table: %w", err)
		}
		if fresh > 0 {
			rows, last = rows+fresh, time.Now()
		}
		if rows >= want || time.Since(last) > visiblePatience {
			return rows, last, nil
		}
		select {
		case <-ctx.Done():
			return rows, last, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
