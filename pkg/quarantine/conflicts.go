package quarantine

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Conflict is a record whose identity is on the timeline with other content.
type Conflict struct {
	Record
	Stored StoredEvent
}

// StoredEvent is the event that came first and is kept.
type StoredEvent struct {
	ID         int64 // of account_events
	AccountID  uuid.UUID
	EventType  string
	OccurredAt time.Time
	IngestedAt time.Time
}

// Conflicts gives those of the records that the filter means, whatever its Reason, that contradict the timeline; the
// last seen first.
func (s *Store) Conflicts(ctx context.Context, f Filter) ([]Conflict, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	f.Reason = string(fault.Conflict)
	where, args := f.where()
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`
SELECT q.*, e.id, e.account_id, e.event_type, e.occurred_at, e.ingested_at
FROM (SELECT %s FROM (SELECT id AS found_id FROM quarantine_states WHERE %s) AS found CROSS JOIN `+recordFound+` WHERE source_event_id IS NOT NULL) AS q
CROSS JOIN LATERAL (SELECT * FROM account_events e WHERE e.source = q.source AND e.source_event_id = q.identity LIMIT 1) AS e
ORDER BY q.last_seen DESC, q.id DESC LIMIT %d`, recordColumns+", source_event_id AS identity", where, f.Limit), args...)
	if err != nil {
		return nil, broken("listing the conflicts", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Conflict, error) {
		var c Conflict
		var identity string
		e := &c.Stored
		return c, row.Scan(append(c.targets(), &identity, &e.ID, &e.AccountID, &e.EventType, &e.OccurredAt, &e.IngestedAt)...)
	})
	return list, broken("listing the conflicts", err)
}
