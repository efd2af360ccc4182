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
	pageRecords = 2000
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
		if err := end(ctx, tx, pages, Resolved, nil); err != nil {
			return err
		}
		// A record that cannot be published is no longer one that merely waits for a link: it would be released again
		// and again.
		if err := end(ctx, tx, refused, Open, why); err != nil {
			return err
		}
		if err := mark(ctx, tx, done); err != nil { // after the records are locked: see decided
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
func (s *Store) leasePage(ctx context.Context, lease uuid.UUID, after int64) (page []Replay, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL enable_sort = off"); err != nil {
			return err
		}
		for more := true; more && len(page) == 0; {
			if page, more, err = readPage(ctx, tx, after); err != nil {
				return err
			}
		}
		if len(page) == 0 {
			return nil
		}
		tag, err := tx.Exec(ctx, "UPDATE quarantine_outbox_lease SET holder = $1, until = clock_timestamp() + $2::interval WHERE until < clock_timestamp()", lease, leaseFor)
		if err == nil && tag.RowsAffected() == 0 {
			page = nil
		}
		return err
	})
	return page, err
}

// readPage gives the next page, and drops from the outbox what it meets that is not released, or not since then: more says
// that it did.
//
// The page is read in the order of the index whatever the statistics say, so that it costs the same however many
// records wait; hence no sorting.
func readPage(ctx context.Context, tx pgx.Tx, after int64) (page []Replay, more bool, err error) {
	rows, err := tx.Query(ctx, `SELECT id, topic, record_key, raw, headers, attempts, first_seen, status_by, described, released_at, valid FROM (
			SELECT *, sum(octet_length(raw)) OVER (ORDER BY id) - octet_length(raw) AS before FROM (
				SELECT o.quarantine_id AS id, CASE WHEN topic LIKE '%raw.%' THEN topic ELSE 'raw.' || source END AS topic, record_key, coalesce(raw, '') AS raw,
					headers::text, attempts, first_seen, status_by, source_event_id IS NOT NULL AS described, o.released_at, q.id IS NOT NULL AS valid
				FROM (SELECT * FROM quarantine_outbox WHERE published_at IS NULL AND quarantine_id > $1 ORDER BY quarantine_id LIMIT $2) AS o
				LEFT JOIN LATERAL (SELECT * FROM quarantine q WHERE q.id = o.quarantine_id AND q.status IS NOT DISTINCT FROM 'replaying' AND q.status_at = o.released_at LIMIT 1) AS q ON true
			) AS first) AS sums
		WHERE before < $3 ORDER BY id`, after, pageRecords, pageBytes)
	if err != nil {
		return nil, false, err
	}
	var gone []Replay
	var r Replay
	var headers []byte
	var topic, by *string
	var attempts *int32
	var firstSeen *time.Time
	var valid bool
	_, err = pgx.ForEachRow(rows, []any{&r.ID, &topic, &r.Key, &r.Value, &headers, &attempts, &firstSeen, &by, &r.Described, &r.at, &valid}, func() error {
		if !valid {
			gone = append(gone, r)
			return nil
		}
		r.Topic, r.By, r.Attempts, r.FirstSeen, r.Headers = *topic, *by, *attempts, *firstSeen, nil
		page = append(page, r)
		return json.Unmarshal(headers, &page[len(page)-1].Headers)
	})
	if err != nil || len(gone) == 0 {
		return page, false, err
	}
	ids, at := releases(gone)
	_, err = tx.Exec(ctx, `WITH gone AS MATERIALIZED (
			SELECT r.id FROM unnest($1::bigint[], $2::timestamptz[]) AS r (id, at)
			CROSS JOIN LATERAL (SELECT * FROM quarantine_outbox WHERE quarantine_id = r.id LIMIT 1 FOR UPDATE SKIP LOCKED) AS o WHERE o.released_at = r.at)
		DELETE FROM quarantine_outbox WHERE quarantine_id = ANY (ARRAY (SELECT id FROM gone))`, ids, at)
	return page, err == nil, err
}

// releases gives the columns by which mark knows a release: of one record, each has another time.
func releases(records []Replay) (ids []int64, at []time.Time) {
	for i := range records {
		ids, at = append(ids, records[i].ID), append(at, records[i].at)
	}
	return ids, at
}

// mark notes that the brokers have these releases. It waits for nobody: a row that somebody has is of a record that has
// arrived, or is released anew.
func mark(ctx context.Context, tx pgx.Tx, done []Replay) error {
	ids, at := releases(done)
	if _, err := tx.Exec(ctx, `WITH r AS MATERIALIZED (
			SELECT r.id FROM unnest($1::bigint[], $2::timestamptz[]) AS r (id, at)
			CROSS JOIN LATERAL (SELECT * FROM quarantine_outbox WHERE quarantine_id = r.id LIMIT 1 FOR UPDATE SKIP LOCKED) AS o
			WHERE o.released_at = r.at AND o.published_at IS NULL)
		UPDATE quarantine_outbox SET published_at = now() WHERE quarantine_id = ANY (ARRAY (SELECT id FROM r))`, ids, at); err != nil {
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
	_, err := tx.Exec(ctx, `WITH decided AS MATERIALIZED (
			SELECT q.id, q.status, r.why AS note FROM unnest($1::bigint[], $2::timestamptz[], $3::text[]) AS r (id, at, why) JOIN quarantine q ON q.id = r.id
			WHERE q.status IS NOT DISTINCT FROM 'replaying' AND q.status_at = r.at ORDER BY q.id FOR UPDATE OF q
		), ended AS (
			UPDATE quarantine q SET status = $5, status_by = $4, status_at = now(), published_at = CASE $5 WHEN 'resolved' THEN now() END,
				reason = CASE $5 WHEN 'open' THEN $6 ELSE q.reason END, error = CASE $5 WHEN 'open' THEN decided.note ELSE q.error END
			FROM decided WHERE q.id = decided.id
		), `+unlisted+`, `+decided("$5", "$4")+`
		SELECT FROM decided`, ids, at, why, ByFeed, string(status), string(fault.Oversized))
	if err != nil {
		return fmt.Errorf("ending releases: %w", err)
	}
	return nil
}

// stuck are the releases, of quarantine_outbox o, that were published before a time and came neither to the timeline nor back.
const stuck = `o.published_at < $1 AND EXISTS (SELECT FROM quarantine q WHERE q.id = o.quarantine_id AND q.status IS NOT DISTINCT FROM 'replaying' AND q.status_at = o.released_at)`

// Stuck gives the time that lies after before now, by the database's clock, and whether any release that was published
// before it has come neither to the timeline nor back.
func (s *Store) Stuck(ctx context.Context, after time.Duration) (before time.Time, some bool, err error) {
	if err = s.pool.QueryRow(ctx, "SELECT now() - $1::interval", after).Scan(&before); err == nil {
		err = s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM quarantine_outbox o WHERE "+stuck+")", before).Scan(&some)
	}
	return before, some, broken("looking for releases that do not arrive", err)
}

// Republish puts what was published before a time, and came neither to the timeline nor back, into the outbox again,
// and gives how many (at most 10,000). Publishing twice is harmless.
func (s *Store) Republish(ctx context.Context, before time.Time) (int, error) {
	tag, err := s.pool.Exec(ctx, `WITH stuck AS MATERIALIZED (
		SELECT quarantine_id FROM quarantine_outbox o WHERE `+stuck+` ORDER BY published_at LIMIT 10000 FOR UPDATE OF o SKIP LOCKED)
		UPDATE quarantine_outbox SET published_at = NULL WHERE quarantine_id = ANY (ARRAY (SELECT quarantine_id FROM stuck))`, before)
	if err != nil {
		return 0, broken("putting lost records into the outbox again", err)
	}
	return int(tag.RowsAffected()), nil
}

// Adopt puts what programs released that do not know the outbox into it, and gives how many (at most 10,000). Those
// programs publish what they released themselves, too; but they may have been replaced.
func (s *Store) Adopt(ctx context.Context) (int, error) {
	tag, err := s.pool.Exec(ctx, `WITH released AS MATERIALIZED (
		SELECT q.id, q.status_at, q.published_at FROM (SELECT id AS found_id FROM quarantine_states WHERE status = 'replaying' ORDER BY id) AS found
			CROSS JOIN LATERAL (SELECT * FROM quarantine WHERE id = found_id LIMIT 1 FOR UPDATE SKIP LOCKED) AS q
			WHERE q.status IS NOT DISTINCT FROM 'replaying' AND NOT EXISTS (SELECT FROM quarantine_outbox o WHERE o.quarantine_id = q.id AND o.released_at = q.status_at) LIMIT 10000)
		INSERT INTO quarantine_outbox (quarantine_id, released_at, published_at) SELECT id, status_at, published_at FROM released ORDER BY id
		ON CONFLICT (quarantine_id) DO UPDATE SET released_at = excluded.released_at, published_at = excluded.published_at`)
	if err != nil {
		return 0, broken("taking over what older programs released", err)
	}
	return int(tag.RowsAffected()), nil
}

// IsLink says whether a release was made by a link and not by a person.
func (r *Replay) IsLink() bool { return r.By == ByLink }
