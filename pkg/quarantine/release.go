package quarantine

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// releasable: there is a raw topic to publish to, and something to publish. What could not even be read as a dead
// letter, or as an account event, has no source.
const releasable = `(topic LIKE '%raw.%' OR source <> '') AND raw <> ''`

// Releasable reports what releasable asks of the record's row.
func (d Detail) Releasable() bool {
	return (strings.Contains(d.Topic, "raw.") || d.Source != "") && len(d.Raw) > 0
}

// Ruling says why a record is released: the note of its decision.
type Ruling struct {
	ID   int64
	Note string
}

// ReleaseByLink releases the records among these that still wait for an account, as ByLink, and gives how many. It is the
// caller who leaves out what is held off (Waiting.Held).
func (s *Store) ReleaseByLink(ctx context.Context, rulings []Ruling) (int, error) {
	if len(rulings) == 0 {
		return 0, nil
	}
	ids, notes := make([]int64, len(rulings)), make([]string, len(rulings))
	for i, r := range rulings {
		ids[i], notes[i] = r.ID, clean(r.Note)
	}
	tag, err := s.pool.Exec(ctx, `WITH picked AS (
		SELECT q.id, r.note FROM unnest($1::bigint[], $2::text[]) AS r (id, note) JOIN quarantine q ON q.id = r.id
		WHERE q.status = 'open' AND q.reason = $4 AND `+releasable+` ORDER BY q.id FOR UPDATE OF q
	), released AS (
		UPDATE quarantine q SET status = 'replaying', status_by = $3, status_at = now(), published_at = NULL, outcome = NULL,
			releases = q.releases + 1, ruling = picked.note, held_until = NULL
		FROM picked WHERE q.id = picked.id
	)
	INSERT INTO quarantine_decisions (quarantine_id, from_status, to_status, decided_by, note)
	SELECT id, 'open', 'replaying', $3, note FROM picked`, ids, notes, ByLink, string(fault.Unresolved))
	if err != nil {
		return 0, broken("releasing linked records", err)
	}
	return int(tag.RowsAffected()), nil
}

// Counts says what a command did to the records that its filter means, or on a dry run would do.
type Counts struct {
	Matched    int // records that the filter means
	Changed    int // released or discarded
	Skipped    int // already there, or in a status that the command leaves alone
	Impossible int // a release without a raw topic or without bytes
}

// Release sends the records that the filter means through their raw topics again: those that are open, and, if
// they are named by id, discarded ones too. The quarantine service publishes them within seconds. by is the person.
// A dry run changes nothing.
func (s *Store) Release(ctx context.Context, f Filter, by, note string, dryRun bool) (Counts, error) {
	return s.change(ctx, f, change{to: Replaying, from: startOf(f), only: releasable, by: by, note: note}, dryRun)
}

// startOf: a discarded record comes back only when somebody means that very one.
func startOf(f Filter) []string {
	if f.IDs != nil {
		return []string{string(Open), string(Discarded)}
	}
	return []string{string(Open)}
}

// Discard gives up the records among ids that are open. A later dead letter of the same event leaves them so.
func (s *Store) Discard(ctx context.Context, ids []int64, by, note string) (Counts, error) {
	if ids == nil {
		ids = []int64{}
	}
	return s.DiscardAll(ctx, Filter{IDs: ids}, by, note, false)
}

// DiscardAll is Discard for the records that the filter means. A dry run changes nothing.
func (s *Store) DiscardAll(ctx context.Context, f Filter, by, note string, dryRun bool) (Counts, error) {
	return s.change(ctx, f, change{to: Discarded, from: []string{string(Open)}, only: "true", by: by, note: note}, dryRun)
}

type change struct {
	to       Status
	from     []string
	only     string // a condition
	by, note string
}

// change counts and changes in one transaction, so that the counts are true.
func (s *Store) change(ctx context.Context, f Filter, c change, dryRun bool) (Counts, error) {
	if err := f.check(); err != nil {
		return Counts{}, err
	}
	if c.by == "" {
		return Counts{}, refuse(fault.Malformed, "a change of status needs somebody who makes it")
	}
	var counts Counts
	where, args := f.where()
	n := len(args)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// The lock keeps what is counted as it is until it is changed.
		lock := " FOR UPDATE"
		if dryRun {
			lock = ""
		}
		var ids []int64
		err := tx.QueryRow(ctx, fmt.Sprintf(`WITH meant AS MATERIALIZED (SELECT id, status, %s AS possible FROM quarantine WHERE %s ORDER BY id%s)
			SELECT count(*), count(*) FILTER (WHERE NOT status = ANY ($%d)), count(*) FILTER (WHERE status = ANY ($%d) AND NOT possible),
			coalesce(array_agg(id) FILTER (WHERE status = ANY ($%d) AND possible), '{}') FROM meant`, c.only, where, lock, n+1, n+1, n+1),
			append(args, c.from)...).Scan(&counts.Matched, &counts.Skipped, &counts.Impossible, &ids)
		if err != nil {
			return err
		}
		counts.Changed = len(ids)
		if dryRun || len(ids) == 0 {
			return nil
		}
		_, err = tx.Exec(ctx, `WITH before AS (SELECT id, status FROM quarantine WHERE id = ANY ($1)), changed AS (
				UPDATE quarantine SET status = $2, status_by = $3, status_at = now(), published_at = NULL, outcome = NULL,
					releases = 0, ruling = NULL, held_until = NULL WHERE id = ANY ($1)
			)
			INSERT INTO quarantine_decisions (quarantine_id, from_status, to_status, decided_by, note)
			SELECT id, status, $2, $3, $4 FROM before ORDER BY id`, ids, string(c.to), clean(c.by), clean(c.note))
		return err
	})
	if err != nil {
		return Counts{}, broken("changing the quarantine", err)
	}
	return counts, nil
}
