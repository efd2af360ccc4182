package pull

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// keptReports is how many reports of a stream are kept.
const keptReports = 60

// have gives those of the ids that are on the timeline, and that wait in quarantine
// or have waited there.
func (s *Store) have(ctx context.Context, source string, ids []string) (timeline, waits map[string]bool, err error) {
	timeline, waits = map[string]bool{}, map[string]bool{}
	if len(ids) == 0 {
		return timeline, waits, nil
	}
	var batch pgx.Batch
	for table, into := range map[string]map[string]bool{"account_events": timeline, "quarantine": waits} {
		batch.Queue("SELECT source_event_id FROM "+table+" WHERE source = $1 AND source_event_id = ANY ($2)", source, ids).Query(func(rows pgx.Rows) error {
			var id string
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error { into[id] = true; return nil })
			return err
		})
	}
	return timeline, waits, broken("looking for events", s.pool.SendBatch(ctx, &batch).Close())
}

// beginReport begins a report, ends those that a process left which is gone, and
// drops the oldest.
func (s *Store) beginReport(ctx context.Context, r *ReconcileReport) error {
	return broken("beginning the report", pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		stream := []any{r.Source, r.Tenant, r.Stream}
		if _, err := tx.Exec(ctx, `UPDATE reconcile_reports SET status = 'interrupted', finished_at = now()
			WHERE source = $1 AND tenant = $2 AND stream = $3 AND status = 'running' AND looked_at < now() - interval '15 minutes'`, stream...); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM reconcile_reports WHERE source = $1 AND tenant = $2 AND stream = $3 AND id <= (
			SELECT id FROM reconcile_reports WHERE source = $1 AND tenant = $2 AND stream = $3 ORDER BY id DESC OFFSET $4 LIMIT 1)`, append(stream, keptReports-1)...); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `INSERT INTO reconcile_reports (source, tenant, stream, from_time, to_time, through, heals, kept_since, retained_since, started_by)
			VALUES ($1, $2, $3, $4, $5, $4, $6, $7, $8, $9) RETURNING id, started_at, looked_at`, append(stream, r.From, r.To, r.Heals, nullTime(r.KeptSince), nullTime(r.RetainedSince), r.StartedBy)...).
			Scan(&r.ID, &r.StartedAt, &r.LookedAt)
	}))
}

const updateReport = `UPDATE reconcile_reports SET through = $2, pages = $3, said = $4, unread = $5, on_timeline = $6, in_quarantine = $7, missing = $8, healed = $9,
	reasons = $10, status = $11, error = $12, beyond_retention = $13, looked_at = now(), finished_at = CASE WHEN $11 = 'running' THEN NULL ELSE now() END WHERE id = $1`

func (r *ReconcileReport) update() []any {
	reasons, _ := json.Marshal(r.Reasons) // texts and numbers
	return []any{r.ID, r.Through, r.Pages, r.Said, r.Unread, r.OnTimeline, r.InQuarantine, r.Missing, r.Healed, reasons, r.Status, r.Error, r.Beyond}
}

// keepReport keeps how far it is.
func (s *Store) keepReport(ctx context.Context, r ReconcileReport) error {
	_, err := s.pool.Exec(ctx, updateReport, r.update()...)
	return broken("keeping the report", err)
}

// endReport keeps how it ended, and what is missing still.
func (s *Store) endReport(ctx context.Context, r *ReconcileReport, left []missed) error {
	return broken("keeping the report", pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, updateReport+" RETURNING looked_at", r.update()...); err != nil {
			return err
		}
		var ids, types, reasons []string
		var at []time.Time
		for _, m := range left {
			ids, types, reasons, at = append(ids, m.id), append(types, m.typ), append(reasons, m.reason), append(at, m.at)
		}
		_, err := tx.Exec(ctx, `INSERT INTO reconcile_missing (report_id, source_event_id, event_type, occurred_at, reason)
			SELECT $1, * FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::text[]) ON CONFLICT DO NOTHING`, r.ID, ids, types, at, reasons)
		return err
	}))
}

// LookAgain looks for what the newest report of each stream misses still, and counts
// as healed what has come. It gives how many have. A report names a thousand events;
// the others count as missing until the next comparison.
func (s *Store) LookAgain(ctx context.Context, source string) (came int64, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT m.report_id, m.source_event_id FROM reconcile_missing m JOIN reconcile_reports r ON r.id = m.report_id
			WHERE r.id IN (SELECT max(id) FROM reconcile_reports WHERE source = $1 GROUP BY tenant, stream) AND r.status <> 'running' FOR UPDATE OF r, m`, source)
		if err != nil {
			return err
		}
		reports := map[int64][]string{}
		var report int64
		var id string
		if _, err := pgx.ForEachRow(rows, []any{&report, &id}, func() error { reports[report] = append(reports[report], id); return nil }); err != nil {
			return err
		}
		for report, ids := range reports {
			var n int64
			if err := tx.QueryRow(ctx, `WITH came AS (
				DELETE FROM reconcile_missing WHERE report_id = $1 AND source_event_id IN (
					SELECT source_event_id FROM account_events WHERE source = $2 AND source_event_id = ANY ($3)
					UNION SELECT source_event_id FROM quarantine WHERE source = $2 AND source_event_id = ANY ($3)) RETURNING reason
			), reasons AS (
				SELECT coalesce(jsonb_object_agg(key, left_over) FILTER (WHERE left_over > 0), '{}') AS reasons FROM (
					SELECT key, value::bigint - (SELECT count(*) FROM came WHERE reason = key) AS left_over
					FROM reconcile_reports, jsonb_each_text(reasons) WHERE id = $1) AS counted
			)
			UPDATE reconcile_reports SET healed = healed + (SELECT count(*) FROM came), reasons = (SELECT reasons FROM reasons), looked_at = now()
			WHERE id = $1 RETURNING (SELECT count(*) FROM came)`, report, source, ids).Scan(&n); err != nil {
				return err
			}
			came += n
		}
		return nil
	})
	return came, broken("looking for what was missing", err)
}

const selectReport = `SELECT id, source, tenant, stream, from_time, to_time, through, status, heals, pages, said, unread, on_timeline, in_quarantine, missing, healed,
	beyond_retention, retained_since, reasons, kept_since, error, started_by, started_at, looked_at, finished_at FROM reconcile_reports`

// Reports gives the newest report of each stream, of one source or with "" of all,
// ordered by source and stream.
func (s *Store) Reports(ctx context.Context, source string) ([]ReconcileReport, error) {
	rows, err := s.pool.Query(ctx, selectReport+` WHERE id IN (SELECT max(id) FROM reconcile_reports WHERE $1 IN ('', source) GROUP BY source, tenant, stream)
		ORDER BY source, tenant, stream`, source)
	if err != nil {
		return nil, broken("listing reports", err)
	}
	reports, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r ReconcileReport, err error) {
		var kept, retained, ended *time.Time
		var reasons []byte
		if err := row.Scan(&r.ID, &r.Source, &r.Tenant, &r.Stream, &r.From, &r.To, &r.Through, &r.Status, &r.Heals, &r.Pages, &r.Said, &r.Unread, &r.OnTimeline,
			&r.InQuarantine, &r.Missing, &r.Healed, &r.Beyond, &retained, &reasons, &kept, &r.Error, &r.StartedBy, &r.StartedAt, &r.LookedAt, &ended); err != nil {
			return r, err
		}
		for from, to := range map[*time.Time]*time.Time{kept: &r.KeptSince, retained: &r.RetainedSince, ended: &r.Finished} {
			if from != nil {
				*to = from.UTC()
			}
		}
		for _, at := range []*time.Time{&r.From, &r.To, &r.Through, &r.StartedAt, &r.LookedAt} {
			*at = at.UTC()
		}
		if err := json.Unmarshal(reasons, &r.Reasons); err != nil {
			return r, fmt.Errorf("reading the reasons of report %d: %w", r.ID, err)
		}
		return r, nil
	})
	return reports, broken("listing reports", err)
}

// LastReconciled is when the newest comparison of a stream that came to its end began;
// zero: there is none.
func (s *Store) LastReconciled(ctx context.Context, source, tenant, stream string) (time.Time, error) {
	var at *time.Time
	err := s.pool.QueryRow(ctx, "SELECT max(started_at) FROM reconcile_reports WHERE source = $1 AND tenant = $2 AND stream = $3 AND status = 'done'", source, tenant, stream).Scan(&at)
	if err != nil || at == nil {
		return time.Time{}, broken("looking for the last comparison", err)
	}
	return *at, nil
}
