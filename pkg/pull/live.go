package pull

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

const (
	// liveTimeout bounds the look for an event that came by itself.
	liveTimeout = "20s"
	// liveEvents is how many events of each type are looked at, the newest of the period:
	// had anything come by itself by its end, then of the last that happened.
	liveEvents = 200
	// liveRecords is how many of the newest records of the quarantine are.
	liveRecords = 100_000
)

// meetsLive looks at no more than that: there is no index by source and time, but one by
// type and time, of which the first part goes from type to type. An origin is asked for
// by its key: a join would read all of them.
const meetsLive = `
WITH RECURSIVE types (event_type) AS (
  (SELECT event_type FROM account_events ORDER BY event_type LIMIT 1)
  UNION ALL
  SELECT (SELECT event_type FROM account_events e WHERE e.event_type > t.event_type ORDER BY event_type LIMIT 1) FROM types t WHERE t.event_type IS NOT NULL)
SELECT EXISTS (
  SELECT FROM types t CROSS JOIN LATERAL (
    SELECT id, source FROM account_events WHERE event_type = t.event_type AND occurred_at < $3 AND occurred_at >= $2 ORDER BY occurred_at DESC LIMIT $5) e
  WHERE e.source = $1 AND (SELECT delivery FROM account_event_origins o WHERE o.event_id = e.id) = 'webhook')
OR EXISTS (
  SELECT FROM (SELECT source, first_seen, headers FROM quarantine ORDER BY id DESC LIMIT $6) q
  WHERE source = $1 AND first_seen < $3 AND first_seen >= $2 AND headers @> $4::jsonb)`

// MeetsLive says whether what comes by itself (webhooks, or polls where the vendor
// never pushes the stream) had begun before the end of a pulled period: nothing is
// missing then between the past and what comes. It is false too where that could not
// be found out in time.
func (s *Store) MeetsLive(ctx context.Context, r Report, sourceName, tenant string, of source.Stream) (met bool, err error) {
	if of.Poll {
		err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pull_checkpoints WHERE source = $1 AND tenant = $2 AND stream = $3 AND mode = 'poll' AND from_time < $4)`,
			sourceName, tenant, of.Name, r.To).Scan(&met)
		return met, broken("looking for polls", err)
	}
	header := fmt.Sprintf(`[{"key": %q, "value": %q}]`, stream.HeaderDelivery, base64.StdEncoding.EncodeToString([]byte(source.ModeWebhook)))
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = '"+liveTimeout+"'"); err != nil {
			return err
		}
		return tx.QueryRow(ctx, meetsLive, sourceName, r.From, r.To, header, liveEvents, liveRecords).Scan(&met)
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "57014" { // query_canceled
		return false, nil
	}
	return met, broken("looking for webhooks", err)
}
