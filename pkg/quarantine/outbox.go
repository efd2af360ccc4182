package quarantine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

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
	By        string // who released it
}

// Bounds of a page of the outbox: it is in memory at once.
const (
	pageRecords = 200
	pageBytes   = 8 << 20
)

// PublishResult says what became of a page.
type PublishResult struct {
	Published []Replay // acknowledged and marked
	Refused   int      // open again, because the brokers will never take them
	Failed    int      // still to be published
	Last      int64    // the highest id of the page: go on after it; 0: the page was empty
	Err       error    // of the first that failed
}

// Publish takes a page of released records that are not published yet, with ids above after, hands them to
// publish, and marks those that it acknowledged. publish gives one error a record, in order: nil, Transient (it
// stays in the outbox) or Permanent (it is open again, with the error). The page is locked until then; other
// processes pass over it.
func (s *Store) Publish(ctx context.Context, after int64, publish func(ctx context.Context, page []Replay) []error) (PublishResult, error) {
	var result PublishResult
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		page, err := lockPage(ctx, tx, after)
		if err != nil || len(page) == 0 {
			return err
		}
		result.Last = page[len(page)-1].ID
		var done, refused []int64
		var errors []string
		for i, err := range publish(ctx, page) {
			switch {
			case err == nil:
				done = append(done, page[i].ID)
				result.Published = append(result.Published, page[i])
			case fault.IsPermanent(err):
				refused, errors = append(refused, page[i].ID), append(errors, clean(err.Error()))
			default:
				result.Failed++
				if result.Err == nil {
					result.Err = err
				}
			}
		}
		result.Refused = len(refused)
		return mark(ctx, tx, done, refused, errors)
	})
	return result, broken("publishing released records", err)
}

func lockPage(ctx context.Context, tx pgx.Tx, after int64) ([]Replay, error) {
	rows, err := tx.Query(ctx, `SELECT id, CASE WHEN topic LIKE 'raw.%' THEN topic ELSE 'raw.' || source END, record_key, raw, headers::text, attempts, first_seen, status_by
		FROM quarantine
		WHERE id IN (SELECT id FROM (
			SELECT id, sum(octet_length(raw)) OVER (ORDER BY id) - octet_length(raw) AS before FROM (
				SELECT id, raw FROM quarantine WHERE status = 'replaying' AND published_at IS NULL AND id > $1 ORDER BY id LIMIT $2) AS first) AS sums
			WHERE before < $3)
		AND status = 'replaying' AND published_at IS NULL ORDER BY id FOR UPDATE SKIP LOCKED`, after, pageRecords, pageBytes)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Replay, error) {
		var r Replay
		var headers []byte
		if err := row.Scan(&r.ID, &r.Topic, &r.Key, &r.Value, &headers, &r.Attempts, &r.FirstSeen, &r.By); err != nil {
			return r, err
		}
		return r, json.Unmarshal(headers, &r.Headers)
	})
}

func mark(ctx context.Context, tx pgx.Tx, done, refused []int64, errors []string) error {
	if _, err := tx.Exec(ctx, "UPDATE quarantine SET published_at = now() WHERE id = ANY ($1)", done); err != nil {
		return fmt.Errorf("marking what is published: %w", err)
	}
	if len(refused) == 0 {
		return nil
	}
	// A record that cannot be published is no longer one that merely waits for a link: it would be released again
	// and again.
	_, err := tx.Exec(ctx, `WITH r AS (SELECT * FROM unnest($1::bigint[], $2::text[]) AS r (id, error)), reopened AS (
			UPDATE quarantine q SET status = 'open', reason = $4, error = r.error, status_by = $3, status_at = now() FROM r WHERE q.id = r.id
		)
		INSERT INTO quarantine_decisions (quarantine_id, from_status, to_status, decided_by, note)
		SELECT id, 'replaying', 'open', $3, error FROM r ORDER BY id`, refused, errors, ByFeed, string(fault.Oversized))
	if err != nil {
		return fmt.Errorf("opening what the brokers refuse: %w", err)
	}
	return nil
}

// RepublishStuck puts what was published longer ago than after, and came neither to the timeline nor back, into
// the outbox again, and gives how many. Publishing twice is harmless.
func (s *Store) RepublishStuck(ctx context.Context, after time.Duration) (int, error) {
	tag, err := s.pool.Exec(ctx, `WITH stuck AS (
		SELECT id FROM quarantine WHERE status = 'replaying' AND published_at < now() - $1::interval ORDER BY id LIMIT 10000 FOR UPDATE SKIP LOCKED)
		UPDATE quarantine q SET published_at = NULL FROM stuck WHERE q.id = stuck.id`, after)
	if err != nil {
		return 0, broken("putting stuck records into the outbox again", err)
	}
	return int(tag.RowsAffected()), nil
}

// IsLink says whether a release was made by a link and not by a person.
func (r *Replay) IsLink() bool { return r.By == ByLink }
