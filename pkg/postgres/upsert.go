package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Row is one event on its way to the timeline.
type Row struct {
	AccountID     [16]byte
	EventType     string
	Source        string
	SourceEventID string
	// Payload is JSON text. Postgres validates it.
	Payload    []byte
	OccurredAt time.Time // kept to the microsecond
	IngestedAt time.Time // kept to the microsecond
	// QuarantineID is the quarantine row that this event was released from; 0 for an event that comes by itself.
	QuarantineID int64
	// RawSHA256 is the hash of the vendor's bytes; only read when QuarantineID is set, to know the quarantine row
	// again that was put there before the event could be described.
	RawSHA256 [32]byte
}

// Result counts what became of a batch's rows. They add up to its length.
type Result struct {
	Inserted       int
	AlreadyPresent int // the same source and source_event_id, earlier in the table or in the batch
}

// sinkName is who a quarantine row's resolution is signed by.
const sinkName = "sink"

// Writer upserts batches into account_events over one connection, which it keeps between batches and replaces
// when it breaks. A Writer serves one goroutine at a time; several Writers work side by side without deadlocks,
// because each takes its rows in the order of (source, source_event_id).
type Writer struct {
	pool *pgxpool.Pool
	conn *pgxpool.Conn
	rows []Row // the batch in order; its memory is reused
	// nextKeeperCheck is when to look again whether a keeper merges the GIN index's pending list.
	nextKeeperCheck time.Time
}

// NewWriter makes a Writer that takes its connection from the pool at the first batch. Close it.
func NewWriter(pool *pgxpool.Pool) *Writer { return &Writer{pool: pool} }

// Close gives up the connection. It is not returned to the pool, whose other users should not inherit its settings
// and its temporary table.
func (w *Writer) Close() {
	if w.conn == nil {
		return
	}
	conn := w.conn.Hijack()
	w.conn = nil
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = conn.Close(ctx) // a lost goodbye; the server notices the closed socket
}

// closeTimeout bounds the goodbye to the server.
const closeTimeout = 2 * time.Second

// Upsert writes the batch in one transaction: all of it, or on an error nothing. Rows that are on the timeline
// already are counted and left as they are, so a batch may be repeated. Each row's quarantine row, if it has
// one, becomes resolved in the same transaction, with the outcome and a decision; one that is resolved already
// keeps its first outcome.
//
// The error is Permanent when some row can never be stored (halve the batch to find it), else Transient. rows is
// not changed. An empty batch touches nothing.
func (w *Writer) Upsert(ctx context.Context, rows []Row) (Result, error) {
	if len(rows) == 0 {
		return Result{}, nil
	}
	conn, err := w.connection(ctx)
	if err != nil {
		return Result{}, Classify(err)
	}
	w.rows = append(w.rows[:0], rows...)
	slices.SortStableFunc(w.rows, byIdentity)
	defer clear(w.rows) // lets go of the payloads
	var result Result
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var err error
		result, err = upsert(ctx, tx, w.rows)
		return err
	})
	if err != nil {
		return Result{}, Classify(err)
	}
	return result, nil
}

// connection returns a live connection that is prepared for batches.
func (w *Writer) connection(ctx context.Context) (*pgx.Conn, error) {
	if w.conn != nil && w.conn.Conn().IsClosed() {
		w.Close()
	}
	if w.conn == nil {
		conn, err := w.pool.Acquire(ctx)
		if err != nil {
			return nil, fmt.Errorf("taking a connection: %w", err)
		}
		if _, err := conn.Exec(ctx, createBatchTable); err != nil {
			conn.Release()
			return nil, fmt.Errorf("making the batch table: %w", err)
		}
		w.conn, w.nextKeeperCheck = conn, time.Time{}
	}
	if now := time.Now(); now.After(w.nextKeeperCheck) {
		if err := followKeeper(ctx, w.conn.Conn()); err != nil {
			return nil, err
		}
		w.nextKeeperCheck = now.Add(keeperCheckEvery)
	}
	return w.conn.Conn(), nil
}

func byIdentity(a, b Row) int {
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.SourceEventID, b.SourceEventID))
}
