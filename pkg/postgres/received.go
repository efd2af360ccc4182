package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// receivedRows is how many of the newest rows Received looks at, of each table.
	receivedRows = 100_000
	// receivedOfType is how many of the newest events of a type it looks at.
	receivedOfType = 10_000
	// receivedTimeout bounds each of its questions.
	receivedTimeout = "10s"
)

// Receipt is what a source's webhooks have brought lately.
type Receipt struct {
	// Newest is when the newest was received, on a timeline or in quarantine. Zero:
	// none is among the newest 100,000 events and records.
	Newest time.Time
	// LastDay is how many came within 24 hours; with AtLeast, so many or more.
	LastDay int64
	AtLeast bool
	// Waiting is how many of the newest 100,000 records of the quarantine are the
	// source's and open.
	Waiting int64
	// MissingTypes are those of the types that were asked about of which the source has
	// no event among the newest 10,000 of the type, however it came.
	MissingTypes []string
}

// Received reads what a source's webhooks have brought lately, and of which of these
// event types no event of it is on a timeline. There is no index by source and time,
// so it looks at the newest rows, and asks for their origins by key: a join may read all
// there are. Errors are marked by Classify.
func Received(ctx context.Context, pool *pgxpool.Pool, source string, types []string) (r Receipt, err error) {
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = '"+receivedTimeout+"'"); err != nil {
			return err
		}
		var newest, waiting *time.Time
		var whole bool
		if err := tx.QueryRow(ctx, `
WITH latest AS MATERIALIZED (SELECT id, source, ingested_at FROM account_events ORDER BY id DESC LIMIT $2)
SELECT max(e.ingested_at), count(*) FILTER (WHERE e.ingested_at > now() - interval '24 hours'),
  (SELECT count(*) < $2 OR min(ingested_at) < now() - interval '24 hours' FROM latest)
FROM latest e WHERE e.source = $1 AND (SELECT delivery FROM account_event_origins o WHERE o.event_id = e.id) = 'webhook'`,
			source, receivedRows).Scan(&newest, &r.LastDay, &whole); err != nil {
			return err
		}
		// The header's value is "webhook" in base64.
		var day int64
		if err := tx.QueryRow(ctx, `
WITH latest AS MATERIALIZED (SELECT id, source, status, first_seen, headers FROM quarantine ORDER BY id DESC LIMIT $2)
SELECT max(first_seen) FILTER (WHERE web), count(*) FILTER (WHERE web AND first_seen > now() - interval '24 hours'), count(*)
FROM (SELECT first_seen, headers @> '[{"key": "tl-delivery", "value": "d2ViaG9vaw=="}]' AS web FROM latest WHERE source = $1 AND status = 'open') AS waiting`,
			source, receivedRows).Scan(&waiting, &day, &r.Waiting); err != nil {
			return err
		}
		r.LastDay, r.AtLeast = r.LastDay+day, !whole
		for _, at := range []*time.Time{newest, waiting} {
			if at != nil && at.After(r.Newest) {
				r.Newest = at.UTC()
			}
		}
		rows, err := tx.Query(ctx, `SELECT t FROM unnest($2::text[]) WITH ORDINALITY AS asked (t, n)
WHERE NOT EXISTS (SELECT FROM (SELECT source FROM account_events e WHERE e.event_type = t ORDER BY occurred_at DESC LIMIT $3) newest WHERE newest.source = $1)
ORDER BY n`, source, types, receivedOfType)
		if err != nil {
			return err
		}
		r.MissingTypes, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return Receipt{}, Classify(fmt.Errorf("reading what was received: %w", err))
	}
	return r, nil
}
