package quarantine

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Group is the open records of one reason and source whose first reference is the same.
type Group struct {
	Reason, Source string
	Reference      source.Reference // zero: they have none
	Records        int64            // at most MostCounted
	AtLeast        bool             // there may be more
	Oldest, Newest time.Time        // first seen, last seen
}

// MostCounted bounds what is counted of the quarantine.
const MostCounted = 10_000

// mostGrouped is how many open records are looked at for groups: those that came first.
const mostGrouped = 50_000

// GroupFilter says which groups are listed; the zero value lists the largest 100.
type GroupFilter struct {
	Reason, Source string
	After          *Group // only those behind it
	Limit          int    // 0: 100
}

// Groups gives what is open, by reason, source and first reference, the largest first. Where more than 50,000 records are
// open it is what those of them come to that came first, and each count is AtLeast.
func (s *Store) Groups(ctx context.Context, f GroupFilter) ([]Group, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	args := []any{f.Reason, f.Source}
	behind := "true"
	if f.After != nil {
		r := f.After.Reference
		args = append(args, -f.After.Records, f.After.Reason, f.After.Source, r.Source, r.Tenant, r.Kind, r.ID)
		behind = "(-least(n, " + fmt.Sprint(MostCounted) + "), reason, source, r_source, r_tenant, r_kind, r_id) > ($3, $4, $5, $6, $7, $8, $9)"
	}
	where := "status = 'open'" // each combination has a partial index to walk
	if f.Reason != "" {
		where += " AND reason = $1"
	}
	if f.Source != "" {
		where += " AND source = $2"
	}
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`
WITH few AS MATERIALIZED (SELECT id AS found_id FROM quarantine_states WHERE %s AND $1 = $1 AND $2 = $2 ORDER BY id LIMIT %d),
looked AS MATERIALIZED (SELECT reason, source, "references"->0 AS r, first_seen, last_seen FROM few CROSS JOIN `+recordFound+`),
groups AS MATERIALIZED (SELECT reason, source, coalesce(r->>'source', '') AS r_source, coalesce(r->>'tenant', '') AS r_tenant, coalesce(r->>'kind', '') AS r_kind, coalesce(r->>'id', '') AS r_id,
  count(*) AS n, min(first_seen) AS oldest, max(last_seen) AS newest FROM looked GROUP BY 1, 2, 3, 4, 5, 6)
SELECT reason, source, r_source, r_tenant, r_kind, r_id, least(n, %d), n > %[3]d OR (SELECT count(*) = %[2]d FROM looked), oldest, newest
FROM groups WHERE %[4]s ORDER BY least(n, %[3]d) DESC, reason, source, r_source, r_tenant, r_kind, r_id LIMIT %[5]d`,
		where, mostGrouped, MostCounted, behind, f.Limit), args...)
	if err != nil {
		return nil, broken("grouping the quarantine", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Group, error) {
		var g Group
		r := &g.Reference
		err := row.Scan(&g.Reason, &g.Source, &r.Source, &r.Tenant, &r.Kind, &r.ID, &g.Records, &g.AtLeast, &g.Oldest, &g.Newest)
		g.Oldest, g.Newest = g.Oldest.UTC(), g.Newest.UTC()
		return g, err
	})
	return list, broken("grouping the quarantine", err)
}

// Openness is what is open, of one source or of all.
type Openness struct {
	Records int64     // at most MostCounted
	Oldest  time.Time // first seen; zero: none is open
}

// Open counts the open records of each of the sources, and with the name "" of all; only of all it gives the oldest, which
// is the one that came first of each reason. The counts are read from indexes, and so is the way from reason to reason.
func (s *Store) Open(ctx context.Context, sources []string) (map[string]Openness, error) {
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`
WITH RECURSIVE oldest AS (
  (SELECT reason, id FROM quarantine_states WHERE status = 'open' ORDER BY reason, id LIMIT 1)
  UNION ALL
  SELECT n.* FROM oldest o CROSS JOIN LATERAL (SELECT reason, id FROM quarantine_states WHERE status = 'open' AND reason > o.reason ORDER BY reason, id LIMIT 1) AS n
)
SELECT '', (SELECT count(*) FROM (SELECT FROM quarantine_states WHERE status = 'open' LIMIT %d) AS few), (SELECT min(first_seen) FROM (SELECT id AS found_id FROM oldest) AS o CROSS JOIN `+recordFound+`)
UNION ALL
SELECT s.name, (SELECT count(*) FROM (SELECT FROM quarantine_states WHERE status = 'open' AND source = s.name LIMIT %[1]d) AS few), NULL
FROM unnest($1::text[]) AS s (name)`, MostCounted), sources)
	if err != nil {
		return nil, broken("counting the quarantine", err)
	}
	all := map[string]Openness{}
	var name string
	var count int64
	var oldest *time.Time
	_, err = pgx.ForEachRow(rows, []any{&name, &count, &oldest}, func() error {
		o := Openness{Records: count}
		if oldest != nil {
			o.Oldest = oldest.UTC()
		}
		all[name] = o
		return nil
	})
	return all, broken("counting the quarantine", err)
}

// Waiting counts the open records that have one of these keys (resolve.Keys), at most MostCounted.
func (s *Store) Waiting(ctx context.Context, keys []string) (int64, error) {
	var n int64
	err := s.pool.QueryRow(ctx, fmt.Sprintf(`SELECT count(*) FROM (SELECT FROM quarantine_states WHERE reference_keys && $1 AND status = 'open' LIMIT %d) AS few`, MostCounted), keys).Scan(&n)
	return n, broken("counting what waits", err)
}

// OfEvent gives the records of one identity, in whatever status, the oldest first, at most 100.
func (s *Store) OfEvent(ctx context.Context, sourceName, sourceEventID string) ([]Record, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+recordColumns+" FROM quarantine WHERE source = $1 AND source_event_id = $2 ORDER BY id LIMIT 100", sourceName, sourceEventID)
	if err != nil {
		return nil, broken("looking for an event's records", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Record, error) {
		var r Record
		return r, row.Scan(r.targets()...)
	})
	return list, broken("looking for an event's records", err)
}
