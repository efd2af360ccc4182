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

// liveTimeout bounds the look for an event that came by itself: where there are many
// events and none did, all of them are read.
const liveTimeout = "20s"

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
		return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM account_events e JOIN account_event_origins o ON o.event_id = e.id
				WHERE e.source = $1 AND e.occurred_at < $3 AND e.occurred_at >= $2 AND o.delivery = 'webhook')
			OR EXISTS (SELECT FROM quarantine WHERE source = $1 AND first_seen < $3 AND first_seen >= $2 AND headers @> $4::jsonb)`,
			sourceName, r.From, r.To, header).Scan(&met)
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "57014" { // query_canceled
		return false, nil
	}
	return met, broken("looking for webhooks", err)
}
