package quarantine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Replay is a released record that is to be published.
type Replay struct {
	ID        int64
	Topic     string // the raw topic
	Key       []byte
	Value     []byte
	Headers   []Header // the original record's
	Attempts  int32    // so far
	FirstSeen time.Time
	By        string    // who released it
	Described bool      // it is known which event it is
	at        time.Time // of the release
}

// ErrPage is the outcome of a replay that the brokers have and that is a page of events, a record that was refused as a
// whole: it is resolved then, because its elements come back as events and dead letters of their own.
var ErrPage = errors.New("the record is a page")

// Bounds of a page of the outbox: it is in memory at once.
const (
	pageRecords = 500
	pageBytes   = 8 << 20
	// leaseFor is how long one process may publish a page before others may. Publishing takes at most half of it.
	leaseFor = 20 * time.Second
)

// PublishResult says what became of a page.
type PublishResult struct {
	Published []Replay // acknowledged and marked
	Refused   int      // open again, because the brokers will never take them
	Failed    int      // still to be published
	Last      int64    // the highest id of the page: go on after it; 0: there was nothing to do, or another process is at it
	Err       error    // of the first that failed
}

// Publish takes a page of released records that are not published yet, with ids above after, hands them to
// publish, and marks those that it acknowledged. publish gives one error a record, in order: nil, Transient (it
// stays in the outbox), Permanent (it is open again, with the error) or ErrPage; its context ends after 10 seconds.
//
// One process publishes at a time, under a lease that is free again with the marks; no row is locked while publish
// runs. After a crash in between the page is published once more, when the lease has run out (20 seconds). What was
// released anew meanwhile (Return) is not marked: it is still to be published.
func (s *Store) Publish(ctx context.Context, after int64, publish func(ctx context.Context, page []Replay) []error) (PublishResult, error) {
	var result PublishResult
	lease := uuid.New()
	page, err := s.leasePage(ctx, lease, after)
	if err != nil || len(page) == 0 {
		return result, broken("reading released records", err)
	}
	result.Last = page[len(page)-1].ID
	bounded, cancel := context.WithTimeout(ctx, leaseFor/2)
	outcomes := publish(bounded, page)
	cancel()
	var done, pages, refused []Replay
	var why []string
	for i, err := range outcomes {
		switch {
		case err == nil:
			done = append(done, page[i])
		case errors.Is(err, ErrPage):
			done, pages = append(done, page[i]), append(pages, page[i])
		case fault.IsPermanent(err):
			refused, why = append(refused, page[i]), append(why, clean(err.Error()))
		default:
			result.Failed++
			if result.Err == nil {
				result.Err = err
			}
		}
	}
	result.Published, result.Refused = done, len(refused)
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := mark(ctx, tx, done); err != nil {
			return err
		}
		if err := end(ctx, tx, pages, Resolved, nil); err != nil {
			return err
		}
		// A record that cannot be published is no longer one that merely waits for a link: it would be released again
		// and again.
		if err := end(ctx, tx, refused, Open, why); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE quarantine_outbox_lease SET until = '-infinity' WHERE holder = $1", lease)
		return err
	})
	if err != nil {
		return PublishResult{}, broken("marking published records", err)
	}
	return result, nil
}

// leasePage gives the next page, if nobody else publishes now. An outbox that is empty costs one look at its index.
//
// The page is read in the order of the index whatever the statistics say, so that it costs the same however many
// records wait; hence no sorting.
func (s *Store) leasePage(ctx context.Context, lease uuid.UUID, after int64) ([]Replay, error) {
	var page []Replay
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL enable_sort = off"); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT id, topic, record_key, raw, headers, attempts, first_seen, status_by, described, status_at FROM (
				SELECT *, sum(octet_length(raw)) OVER (ORDER BY id) - octet_length(raw) AS before FROM (
					SELECT id, CASE WHEN topic LIKE '%raw.%' THEN topic ELSE 'raw.' || source END AS topic, record_key, raw, headers::text, attempts, first_seen, status_by,
						source_event_id IS NOT NULL AS described, status_at
					FROM quarantine WHERE status = 'replaying' AND published_at IS NULL AND id > $1 ORDER BY id LIMIT $2) AS first) AS sums
			WHERE before < $3 ORDER BY id`, after, pageRecords, pageBytes)
		if err != nil {
			return err
		}
		if page, err = pgx.CollectRows(rows, scanReplay); err != nil || len(page) == 0 {
			return err
		}
		tag, err := tx.Exec(ctx, "UPDATE quarantine_outbox_lease SET holder = $1, until = clock_timestamp() + $2::interval WHERE until < clock_timestamp()", lease, leaseFor)
		if err == nil && tag.RowsAffected() == 0 {
			page = nil
		}
		return err
	})
	return page, err
}

func scanReplay(row pgx.CollectableRow) (Replay, error) {
	var r Replay
	var headers []byte
	if err := row.Scan(&r.ID, &r.Topic, &r.Key, &r.Value, &headers, &r.Attempts, &r.FirstSeen, &r.By, &r.Described, &r.at); err != nil {
		return r, err
	}
	return r, json.Unmarshal(headers, &r.Headers)
}

// releases gives the columns by which mark knows a release: of one record, each has another time.
func releases(records []Replay) (ids []int64, at []time.Time) {
	for i := range records {
		ids, at = append(ids, records[i].ID), append(at, records[i].at)
	}
	return ids, at
}

// mark notes that the brokers have these releases. Rows are locked in the order of their ids, like everywhere. A record
// whose event has arrived already is marked too, for whoever looks.
func mark(ctx context.Context, tx pgx.Tx, done []Replay) error {
	ids, at := releases(done)
	if _, err := tx.Exec(ctx, `WITH r AS (
			SELECT q.id FROM unnest($1::bigint[], $2::timestamptz[]) AS r (id, at) JOIN quarantine q ON q.id = r.id
			WHERE q.published_at IS NULL AND (q.status = 'replaying' AND q.status_at = r.at OR q.status = 'resolved') ORDER BY q.id FOR UPDATE OF q)
		UPDATE quarantine q SET published_at = now() FROM r WHERE q.id = r.id`, ids, at); err != nil {
		return fmt.Errorf("marking what is published: %w", err)
	}
	return nil
}

// end gives releases that nothing will arrive of their status: Resolved, or Open with what the brokers said.
func end(ctx context.Context, tx pgx.Tx, replays []Replay, status Status, why []string) error {
	if len(replays) == 0 {
		return nil
	}
	if why == nil {
		why = slices.Repeat([]string{ErrPage.Error()}, len(replays))
	}
	ids, at := releases(replays)
	_, err := tx.Exec(ctx, `WITH r AS (
			SELECT q.id, r.why FROM unnest($1::bigint[], $2::timestamptz[], $3::text[]) AS r (id, at, why) JOIN quarantine q ON q.id = r.id
			WHERE q.status = 'replaying' AND q.status_at = r.at ORDER BY q.id FOR UPDATE OF q
		), ended AS (
			UPDATE quarantine q SET status = $5, status_by = $4, status_at = now(),
				reason = CASE $5 WHEN 'open' THEN $6 ELSE q.reason END, error = CASE $5 WHEN 'open' THEN r.why ELSE q.error END
			FROM r WHERE q.id = r.id
		)
		INSERT INTO quarantine_decisions (quarantine_id, from_status, to_status, decided_by, note)
		SELECT id, 'replaying', $5, $4, why FROM r ORDER BY id`, ids, at, why, ByFeed, string(status), string(fault.Oversized))
	if err != nil {
		return fmt.Errorf("ending releases: %w", err)
	}
	return nil
}

// Stuck gives the time that lies after before now, by the database's clock, and whether any release that was published
// before it has come neither to the timeline nor back.
func (s *Store) Stuck(ctx context.Context, after time.Duration) (before time.Time, some bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT now() - $1::interval, EXISTS (SELECT FROM quarantine WHERE status = 'replaying' AND published_at < now() - $1::interval)`, after).
		Scan(&before, &some)
	return before, some, broken("looking for releases that do not arrive", err)
}

// Republish puts what was published before a time, and came neither to the timeline nor back, into the outbox again,
// and gives how many (at most 10,000). Publishing twice is harmless.
func (s *Store) Republish(ctx context.Context, before time.Time) (int, error) {
	tag, err := s.pool.Exec(ctx, `WITH stuck AS (
		SELECT id FROM quarantine WHERE status = 'replaying' AND published_at < $1 ORDER BY id LIMIT 10000 FOR UPDATE SKIP LOCKED)
		UPDATE quarantine q SET published_at = NULL FROM stuck WHERE q.id = stuck.id`, before)
	if err != nil {
		return 0, broken("putting lost records into the outbox again", err)
	}
	return int(tag.RowsAffected()), nil
}

// IsLink says whether a release was made by a link and not by a person.
func (r *Replay) IsLink() bool { return r.By == ByLink }
