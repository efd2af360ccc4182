package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Row is one event on its way to the timeline.
type Row struct {
	AccountID     uuid.UUID
	EventType     string
	Source        string
	SourceEventID string
	Payload       []byte    // JSON text, which Postgres validates; nil is refused
	OccurredAt    time.Time // kept to the microsecond
	IngestedAt    time.Time // kept to the microsecond
	Origin        Origin
}

// MaxReferenceBytes bounds Origin.Reference, by which origins are looked up. It is a constraint of the table, too.
const MaxReferenceBytes = 1024

// Origin is how an event found its account and where it came from: its row of account_event_origins.
type Origin struct {
	Reference    string // the reference that led to the account, as text; at most MaxReferenceBytes; "": not known
	Rule         string // the resolution rule
	Delivery     string // webhook, poll, backfill or replay
	RawTopic     string // "": not known
	RawPartition int32
	RawOffset    int64
	RawIndex     int32 // place in a raw record that is a page; -1: the record itself
}

// Result counts what became of a batch's rows. They add up to its length.
type Result struct {
	Inserted       int
	AlreadyPresent int // the same source and source_event_id, earlier in the table or in the batch
}

// Inserted says of each row of a batch, by its index, whether it is new on the timeline.
type Inserted []bool

// After is work in the transaction of a batch, once its rows are written. An error undoes the whole batch; it is
// given back as Transient, because it says nothing about the rows.
type After func(ctx context.Context, tx pgx.Tx, inserted Inserted) error

// BatchTimeout bounds a batch's transaction, the wait for a connection included, where WithTimeout does not: a server
// that hangs, or whose machine is gone, becomes an error.
const BatchTimeout = 30 * time.Second

// errBatchTimeout is in the chain of an error of a batch that took longer.
var errBatchTimeout = errors.New("Postgres took too long")

// Writer upserts batches into account_events. It takes a connection from the pool for each batch and leaves nothing
// behind on it: no temporary table (which would hold back vacuum), no prepared statement and no setting. So it works
// through a pooler in transaction mode, and is safe for concurrent use. Any number of Writers, in any number of
// processes, work side by side without deadlocks: all of them insert in the order of (source, source_event_id).
type Writer struct {
	pool    *pgxpool.Pool
	timeout time.Duration
	keeper  keeperWatch
}

// NewWriter makes a Writer. The pool stays the caller's.
func NewWriter(pool *pgxpool.Pool) *Writer { return &Writer{pool: pool, timeout: BatchTimeout} }

// WithTimeout gives a Writer on the same pool whose batches may take this long.
func (w *Writer) WithTimeout(d time.Duration) *Writer { return &Writer{pool: w.pool, timeout: d} }

// classify is Classify for an error that names the server, or all that it may be.
func (w *Writer) classify(err error) error {
	if err == nil {
		return nil
	}
	config := w.pool.Config().ConnConfig
	hosts := []string{net.JoinHostPort(config.Host, fmt.Sprint(config.Port))}
	for _, fallback := range config.Fallbacks {
		if host := net.JoinHostPort(fallback.Host, fmt.Sprint(fallback.Port)); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return Classify(fmt.Errorf("Postgres at %s: %w", strings.Join(hosts, " or "), err))
}

// acquire takes a connection, and says how its transaction begins.
func (w *Writer) acquire(ctx context.Context) (*pgxpool.Conn, string, error) {
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("taking a connection: %w", err)
	}
	begin, err := w.keeper.begin(ctx, conn.Conn())
	if err != nil {
		conn.Release()
		return nil, "", err
	}
	return conn, begin, nil
}

// Upsert writes the batch, and the origins of those rows that are new, in one transaction: all of it, or on an error
// nothing. Rows that are on the timeline already are counted and left as they are, so a batch may be repeated. The
// work of after is done in the same transaction, in order. An empty batch touches nothing. rows is not changed.
//
// The error is Permanent when some row can never be stored (halve the batch to find it), else Transient. One that
// TimedOut may mean that the batch is too large for this server at the moment: halve it, too.
func (w *Writer) Upsert(ctx context.Context, rows []Row, after ...After) (Result, error) {
	if len(rows) == 0 {
		return Result{}, nil
	}
	inserted, err := Bound(ctx, w.timeout, func(ctx context.Context) (Inserted, error) { return w.upsert(ctx, rows, after) })
	if err != nil {
		return Result{}, err
	}
	var result Result
	for _, isNew := range inserted {
		if isNew {
			result.Inserted++
		}
	}
	result.AlreadyPresent = len(rows) - result.Inserted
	return result, nil
}

// Bound gives work no longer than limit; past that it is a Transient error with which Advice helps. Without it a server
// process that hangs, on a connection that is alive, holds its caller for as long as it hangs.
func Bound[T any](ctx context.Context, limit time.Duration, work func(ctx context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errBatchTimeout)
	defer cancel()
	result, err := work(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errBatchTimeout) {
		err = fault.Transient(fault.Unavailable, fmt.Errorf("%w: no answer within %v: %w", errBatchTimeout, limit, err))
	}
	return result, err
}

func (w *Writer) upsert(ctx context.Context, rows []Row, after []After) (Inserted, error) {
	conn, begin, err := w.acquire(ctx)
	if err != nil {
		return nil, w.classify(err)
	}
	defer conn.Release()
	inserted := make(Inserted, len(rows))
	var late error // of the work after the rows
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		if err := insertAll(ctx, tx, rows, inserted); err != nil {
			return fmt.Errorf("inserting %d rows: %w", len(rows), err)
		}
		if err := requireKept(ctx, tx, rows, inserted); err != nil {
			return err
		}
		for _, work := range after {
			if late = work(ctx, tx, inserted); late != nil {
				return late
			}
		}
		return nil
	})
	if late != nil {
		return nil, fault.Transient(fault.Unavailable, late)
	}
	if fault.IsPermanent(err) {
		return nil, err
	}
	return inserted, w.classify(err)
}

func byIdentity(a, b *Row) int {
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.SourceEventID, b.SourceEventID))
}

// keeperWatch remembers whether a Keeper runs.
type keeperWatch struct {
	runs atomic.Bool
	next atomic.Int64 // when to look again, in Unix nanoseconds
}

// begin gives the statement that begins a batch's transaction. While a Keeper merges the payload index's pending
// list, it lets that list grow; for this transaction only.
func (k *keeperWatch) begin(ctx context.Context, conn *pgx.Conn) (string, error) {
	now, next := time.Now(), k.next.Load()
	if now.UnixNano() >= next && k.next.CompareAndSwap(next, now.Add(keeperCheckEvery).UnixNano()) {
		var runs bool
		if err := conn.QueryRow(ctx, "SELECT "+keeperRuns, pgx.QueryExecModeSimpleProtocol).Scan(&runs); err != nil {
			k.next.Store(0)
			return "", fmt.Errorf("looking for the keeper of the payload index: %w", err)
		}
		k.runs.Store(runs)
	}
	if k.runs.Load() {
		return "BEGIN; SET LOCAL gin_pending_list_limit = '1GB'", nil
	}
	return "BEGIN", nil
}
