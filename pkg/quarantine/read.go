package quarantine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Filter says which records are meant. Its parts must all hold; the zero value means all.
type Filter struct {
	IDs    []int64
	Reason string // a fault.Reason
	Source string
	Status Status
	Keys   []string  // with one of these reference keys (resolve.Keys)
	Since  time.Time // last seen at or after
	Before *Record   // List only: only those behind it
	Limit  int       // List only; 0: 100
}

// check refuses a status that is none, which would mean nothing at all.
func (f Filter) check() error {
	if f.Status != "" && !slices.Contains(Statuses(), f.Status) {
		return refuse(fault.Malformed, "%q is no status: open, replaying, resolved or discarded", f.Status)
	}
	return nil
}

// where gives the condition on quarantine_states, or on quarantine, with parameters from $1 on.
func (f Filter) where() (string, []any) {
	conditions, args := []string{"true"}, []any{}
	add := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	if f.IDs != nil {
		add("id = ANY (?)", f.IDs)
	}
	if f.Reason != "" {
		add("reason = ?", f.Reason)
	}
	if f.Source != "" {
		add("source = ?", f.Source)
	}
	if f.Status != "" {
		// A literal, for which there are partial indexes; check knows it.
		conditions = append(conditions, "status = '"+string(f.Status)+"'")
	}
	if f.Keys != nil {
		add("reference_keys && ?", f.Keys)
	}
	if !f.Since.IsZero() {
		add("last_seen >= ?", f.Since)
	}
	return strings.Join(conditions, " AND "), args
}

const recordColumns = `id, reason, error, source, tenant, coalesce(event_type, ''), coalesce(source_event_id, ''), topic, partition, "offset", raw_index,
  "references", status, coalesce(outcome, ''), attempts, least(first_seen, last_seen), last_seen, status_by, status_at, ` + publishedAt + `,
  CASE WHEN status = 'open' AND held_until > now() THEN held_until END`

// recordFound joins the records that were found in quarantine_states, each by its id whatever the statistics say. Statements
// search that table, and read here what they give.
const recordFound = "LATERAL (SELECT * FROM quarantine WHERE id = found_id LIMIT 1) AS quarantine"

// targets are where recordColumns go.
func (r *Record) targets() []any {
	return []any{&r.ID, &r.Reason, &r.Error, &r.Source, &r.Tenant, &r.EventType, &r.SourceEventID, &r.Topic, &r.Partition, &r.Offset, &r.RawIndex,
		&r.References, &r.Status, &r.Outcome, &r.Attempts, &r.FirstSeen, &r.LastSeen, &r.StatusBy, &r.StatusAt, &r.PublishedAt, &r.HeldUntil}
}

// List gives the records that the filter means, the last seen first. It reads those of each status in their order.
func (s *Store) List(ctx context.Context, f Filter) ([]Record, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	where, args := f.where()
	if f.Before != nil {
		where += fmt.Sprintf(" AND (last_seen, id) < ($%d, $%d)", len(args)+1, len(args)+2)
		args = append(args, f.Before.LastSeen, f.Before.ID)
	}
	const first = "(SELECT id AS found_id FROM quarantine_states WHERE %s AND status = '%s' ORDER BY last_seen DESC, id DESC LIMIT %d)"
	var of []string
	for _, status := range Statuses() {
		if f.Status == "" || f.Status == status {
			of = append(of, fmt.Sprintf(first, where, status, f.Limit))
		}
	}
	rows, err := s.pool.Query(ctx, fmt.Sprintf("SELECT %s FROM (%s) AS found CROSS JOIN "+recordFound+" ORDER BY last_seen DESC, id DESC LIMIT %d",
		recordColumns, strings.Join(of, " UNION ALL "), f.Limit), args...)
	if err != nil {
		return nil, broken("listing the quarantine", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Record, error) {
		var r Record
		return r, row.Scan(r.targets()...)
	})
	return list, broken("listing the quarantine", err)
}

// Show gives everything about one record. An id that is none is Permanent.
func (s *Store) Show(ctx context.Context, id int64) (Detail, error) {
	var d Detail
	var headers, payload []byte
	err := s.pool.QueryRow(ctx, "SELECT "+recordColumns+", record_key, headers::text, raw, payload::text FROM quarantine WHERE id = $1", id).
		Scan(append(d.targets(), &d.Key, &headers, &d.Raw, &payload)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return Detail{}, refuse(fault.NotFound, "the quarantine has no record %d: `throughline quarantine list --status all` shows what it has", id)
	}
	if err != nil {
		return Detail{}, broken("reading a record", err)
	}
	d.Payload = payload
	if err := json.Unmarshal(headers, &d.Headers); err != nil {
		return Detail{}, broken("reading a record's headers", err)
	}
	rows, err := s.pool.Query(ctx, decisionsOf, id)
	if err != nil {
		return Detail{}, broken("reading a record's decisions", err)
	}
	d.Decisions, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Decision])
	return d, broken("reading a record's decisions", err)
}

// Stats is the quarantine's size.
type Stats struct {
	Open      map[string]int       // by reason
	OldestOf  map[string]time.Time // first seen of the oldest of the 1,000 open records that came first, by reason
	Oldest    time.Time            // of all these; zero: none is open
	Replaying int
	Stuck     int // replaying, and published longer ago than asked
	Held      int // open, and held off
}

// mostOldest is how many records of a reason are looked at for the oldest.
const mostOldest = 1000

// Stats counts what is open and under way, each count up to most, or all with 0. It reads narrow tables by their indexes,
// and few records.
func (s *Store) Stats(ctx context.Context, stuckAfter time.Duration, most int) (Stats, error) {
	stats := Stats{Open: map[string]int{}, OldestOf: map[string]time.Time{}}
	var limit *int
	if most > 0 {
		limit = &most
	}
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`
WITH RECURSIVE reasons AS (
  (SELECT reason FROM quarantine_states WHERE status = 'open' ORDER BY reason LIMIT 1)
  UNION ALL
  SELECT n.* FROM reasons r CROSS JOIN LATERAL (SELECT reason FROM quarantine_states WHERE status = 'open' AND reason > r.reason ORDER BY reason LIMIT 1) AS n
)
SELECT r.reason, (SELECT count(*) FROM (SELECT FROM quarantine_states WHERE status = 'open' AND reason = r.reason LIMIT $2::bigint) AS few), f.oldest, 0::bigint, 0::bigint
FROM reasons r CROSS JOIN LATERAL (SELECT min(first_seen) AS oldest FROM (
  SELECT id AS found_id FROM quarantine_states WHERE status = 'open' AND reason = r.reason ORDER BY id LIMIT %d) AS few CROSS JOIN `+recordFound+`) AS f
UNION ALL
SELECT '', (SELECT count(*) FROM (SELECT FROM quarantine_outbox LIMIT $2::bigint) AS few), NULL,
  (SELECT count(*) FROM (SELECT FROM quarantine_outbox WHERE published_at < now() - $1::interval LIMIT $2::bigint) AS few),
  (SELECT count(*) FROM (SELECT FROM quarantine WHERE status = 'open' AND held_until > now() LIMIT $2::bigint) AS few)`, mostOldest), stuckAfter, limit)
	if err != nil {
		return Stats{}, broken("counting the quarantine", err)
	}
	var reason string
	var count, stuck, held int
	var oldest *time.Time
	_, err = pgx.ForEachRow(rows, []any{&reason, &count, &oldest, &stuck, &held}, func() error {
		if reason == "" {
			stats.Replaying, stats.Stuck, stats.Held = count, stuck, held
			return nil
		}
		stats.Open[reason] = count
		if oldest == nil {
			return nil
		}
		stats.OldestOf[reason] = *oldest
		if stats.Oldest.IsZero() || oldest.Before(stats.Oldest) {
			stats.Oldest = *oldest
		}
		return nil
	})
	return stats, broken("counting the quarantine", err)
}
