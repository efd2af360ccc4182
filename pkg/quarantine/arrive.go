package quarantine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// Outcomes of a released record, as the column outcome has them.
const (
	OutcomeInserted       = "inserted"
	OutcomeAlreadyPresent = "already_present"
)

// Arrival is a released record that has come through to the sink.
type Arrival struct {
	Row           int    // the index of the event's row in its batch
	ID            int64  // the record's id, as header tl-quarantine-id says
	Source        string // the event's identity
	SourceEventID string
	SHA256        [32]byte // of the vendor's bytes
}

// arrivalWait is how long the sink waits for a record that somebody has locked, and how long for the table.
const arrivalWait = "500ms"

// ResolveArrivals gives the work that resolves these records in the transaction that writes their events, for
// postgres.Writer.Upsert. Each becomes resolved, with the outcome and a decision; one that is resolved already keeps
// its first outcome.
//
// A header's word is not enough to close a record, because headers are copied with records from elsewhere: the event
// must have the record's identity and its bytes (the bytes alone, where the record could not be described before).
// And it must be on the timeline when the record is locked: work before this one may have taken it off again
// (accounts.Mover), and so may another transaction, which then has released the record anew.
//
// The timeline does not wait for a person's table: a record that stays locked is passed over after half a second,
// and so are all of them when the table is. [Store.ResolveStored] resolves those later.
func ResolveArrivals(arrivals []Arrival) postgres.After {
	return func(ctx context.Context, tx pgx.Tx, inserted postgres.Inserted) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+arrivalWait+"'"); err != nil {
			return fmt.Errorf("bounding the wait for the quarantine: %w", err)
		}
		for _, lock := range []string{"", "SKIP LOCKED"} {
			err := pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
				return resolveArrivals(ctx, savepoint, arrivals, inserted, lock)
			})
			if !locked(err) {
				return err
			}
		}
		return nil
	}
}

// locked reports whether a statement gave up waiting for a lock.
func locked(err error) bool {
	const lockNotAvailable = "55P03"
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == lockNotAvailable
}

func resolveArrivals(ctx context.Context, tx pgx.Tx, arrivals []Arrival, inserted postgres.Inserted, lock string) error {
	ids := make([]int64, len(arrivals))
	for i := range arrivals {
		ids[i] = arrivals[i].ID
	}
	// Locked in the order of their ids, like everywhere. A record that was published twice may arrive twice.
	rows, err := tx.Query(ctx, `SELECT q.id FROM quarantine q WHERE q.id = ANY ($1) AND q.status <> 'resolved' ORDER BY q.id FOR UPDATE OF q `+lock, ids)
	if err != nil {
		return fmt.Errorf("locking %d released records: %w", len(arrivals), err)
	}
	held, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("locking %d released records: %w", len(arrivals), err)
	}
	if len(held) == 0 {
		return nil
	}
	var heldIDs []int64
	var outcomes, sources, eventIDs []string
	var hashes [][]byte
	for i := range arrivals {
		a := &arrivals[i]
		if _, locked := slices.BinarySearch(held, a.ID); !locked {
			continue
		}
		outcome := OutcomeAlreadyPresent
		if inserted[a.Row] {
			outcome = OutcomeInserted
		}
		heldIDs, sources, eventIDs = append(heldIDs, a.ID), append(sources, a.Source), append(eventIDs, a.SourceEventID)
		hashes, outcomes = append(hashes, a.SHA256[:]), append(outcomes, outcome)
	}
	// Whoever takes an event off the timeline does so before locking its record (Return). So once the record is locked,
	// a new statement sees whether the event is there still. The lateral look-ups with their limits are by the unique
	// indexes whatever the statistics say.
	_, err = tx.Exec(ctx, `WITH decided AS MATERIALIZED (
		SELECT q.id, q.status, max(r.outcome) AS note
		FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bytea[]) AS r (id, outcome, source, source_event_id, sha256)
		CROSS JOIN LATERAL (SELECT * FROM quarantine WHERE id = r.id LIMIT 1) AS q
		CROSS JOIN LATERAL (SELECT FROM account_events e WHERE e.source = r.source AND e.source_event_id = r.source_event_id LIMIT 1) AS e
		WHERE q.status <> 'resolved' AND sha256(q.raw) = r.sha256
		  AND (q.source_event_id IS NULL OR q.source = r.source AND q.source_event_id = r.source_event_id)
		GROUP BY q.id, q.status
	), `+resolveArrived("$6"), heldIDs, outcomes, sources, eventIDs, hashes, BySink)
	if err != nil {
		return fmt.Errorf("resolving %d released records: %w", len(arrivals), err)
	}
	return nil
}

// resolveArrived is the end of a statement that resolves the records in decided (id, status, note), whose notes are the
// outcomes, and gives how many. by is the parameter that says who does. What arrived was published, marked or not.
func resolveArrived(by string) string {
	return unlisted + `, updated AS (
		UPDATE quarantine q SET status = 'resolved', outcome = decided.note, status_by = ` + by + `, status_at = now(),
			published_at = CASE decided.status WHEN 'replaying' THEN coalesce((SELECT o.published_at FROM quarantine_outbox o WHERE o.quarantine_id = q.id), q.published_at, now()) ELSE q.published_at END
		FROM decided WHERE q.id = decided.id
	), ` + decided("'resolved'", by) + `
	SELECT count(*) FROM decided`
}

// maxStored bounds how many records ResolveStored looks at.
const maxStored = 10_000

// ResolveStored resolves published records whose events are on the timeline, with the same content: those that
// ResolveArrivals passed over, and those of a sink that ended in between. It looks at the 10,000 that were published
// first and gives how many it resolved. Call it now and then.
func (s *Store) ResolveStored(ctx context.Context) (int, error) {
	// The lateral look-up with its limit is by the unique index whatever the statistics say. The payload differs from
	// the record by the subject line at most, and the vendor's own has another name there. The locked record is asked again
	// since when it is released: Return releases it anew when it takes the event off the timeline, which this statement's
	// snapshot may not show.
	var resolved int
	err := s.pool.QueryRow(ctx, `WITH published AS MATERIALIZED (
		SELECT quarantine_id AS id, released_at FROM quarantine_outbox WHERE published_at < now() - interval '10 seconds' ORDER BY published_at LIMIT $1
	), decided AS MATERIALIZED (
		SELECT q.id, q.status, $2::text AS note FROM published JOIN quarantine q ON q.id = published.id
		CROSS JOIN LATERAL (SELECT payload FROM account_events e WHERE e.source = q.source AND e.source_event_id = q.source_event_id LIMIT 1) AS e
		WHERE q.status IS NOT DISTINCT FROM 'replaying' AND q.status_at = published.released_at
		  AND e.payload - 'subject' - 'subject_ref' = q.payload - 'subject' - 'subject_ref' AND e.payload -> 'subject_ref' IS NOT DISTINCT FROM q.payload -> 'subject'
		ORDER BY q.id FOR UPDATE OF q SKIP LOCKED
	), `+resolveArrived("$3"), maxStored, OutcomeAlreadyPresent, BySink).Scan(&resolved)
	return resolved, broken("resolving what is on the timeline", err)
}
