package quarantine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
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
	var released int
	err := s.pool.QueryRow(ctx, `WITH decided AS MATERIALIZED (
		SELECT q.id, q.status, r.note FROM (SELECT * FROM unnest($1::bigint[], $2::text[]) AS r (id, note) ORDER BY id) AS r
		CROSS JOIN LATERAL (SELECT * FROM quarantine WHERE id = r.id LIMIT 1 FOR UPDATE) AS q
		WHERE q.status = 'open' AND q.reason = $4 AND `+releasable+`
	), released AS (
		UPDATE quarantine q SET status = 'replaying', status_by = $3, status_at = now(), published_at = NULL, outcome = NULL,
			releases = q.releases + 1, ruling = decided.note, held_until = NULL
		FROM decided WHERE q.id = decided.id
	), `+listed+`, `+decided("'replaying'", "$3")+`
	SELECT count(*) FROM decided`, ids, notes, ByLink, string(fault.Unresolved)).Scan(&released)
	return released, broken("releasing linked records", err)
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

// changePage is how many records are changed in one transaction: none of them is locked for long.
const changePage = 2000

// change counts what is meant, and changes it page by page. A page is one transaction, so that its counts are true. What
// is no longer meant when its turn comes is skipped. With an error come the counts of what is done.
func (s *Store) change(ctx context.Context, f Filter, c change, dryRun bool) (counts Counts, err error) {
	if err := f.check(); err != nil {
		return counts, err
	}
	if c.by == "" {
		return counts, refuse(fault.Malformed, "a change of status needs somebody who makes it")
	}
	where, args := f.where()
	if dryRun {
		counts, _, err = count(ctx, s.pool, c, "quarantine", "id IN (SELECT id FROM quarantine_states WHERE "+where+")", args)
		return counts, broken("counting the quarantine", err)
	}
	rows, err := s.pool.Query(ctx, "SELECT id FROM quarantine_states WHERE "+where+" ORDER BY id", args...)
	if err != nil {
		return counts, broken("reading the quarantine", err)
	}
	meant, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return counts, broken("reading the quarantine", err)
	}
	counts.Matched = len(meant)
	for page := range slices.Chunk(meant, changePage) {
		var part Counts
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
			part, err = changeIDs(ctx, tx, c, page, where, args)
			return err
		})
		if err != nil {
			return counts, broken("changing the quarantine", err)
		}
		counts.Changed += part.Changed
		counts.Impossible += part.Impossible
		counts.Skipped += len(page) - part.Changed - part.Impossible
		if s.told != nil {
			s.told(counts.Changed+counts.Impossible+counts.Skipped, counts.Matched)
		}
	}
	return counts, nil
}

// count counts, and gives the ids of what would be changed, in order.
func count(ctx context.Context, db postgres.DB, c change, from, where string, args []any) (counts Counts, ids []int64, err error) {
	n := len(args) + 1
	err = db.QueryRow(ctx, fmt.Sprintf(`WITH meant AS MATERIALIZED (SELECT id, status, %s AS possible FROM %s WHERE %s ORDER BY id)
		SELECT count(*), count(*) FILTER (WHERE NOT status = ANY ($%d)), count(*) FILTER (WHERE status = ANY ($%[4]d) AND NOT possible),
		coalesce(array_agg(id) FILTER (WHERE status = ANY ($%[4]d) AND possible), '{}') FROM meant`, c.only, from, where, n),
		append(slices.Clone(args), c.from)...).Scan(&counts.Matched, &counts.Skipped, &counts.Impossible, &ids)
	counts.Changed = len(ids)
	return counts, ids, err
}

// changeIDs changes those of the records that are meant still. The lock keeps what is counted as it is until it is changed.
//
// They are looked up by their ids, whatever else says which are meant, and whatever the statistics say.
func changeIDs(ctx context.Context, tx pgx.Tx, c change, page []int64, where string, args []any) (Counts, error) {
	if _, err := tx.Exec(ctx, "SELECT FROM quarantine WHERE id = ANY ($1) ORDER BY id FOR UPDATE", page); err != nil {
		return Counts{}, err
	}
	from := fmt.Sprintf("(SELECT * FROM quarantine WHERE id = ANY ($%d) OFFSET 0) AS quarantine", len(args)+1)
	counts, ids, err := count(ctx, tx, c, from, where, append(slices.Clone(args), page))
	if err != nil || len(ids) == 0 {
		return counts, err
	}
	outbox := ""
	if c.to == Replaying {
		outbox = listed + ", "
	}
	_, err = tx.Exec(ctx, `WITH decided AS MATERIALIZED (SELECT id, status, $4::text AS note FROM quarantine WHERE id = ANY ($1)), changed AS (
			UPDATE quarantine SET status = $2, status_by = $3, status_at = now(), published_at = NULL, outcome = NULL,
				releases = 0, ruling = NULL, held_until = NULL WHERE id = ANY ($1)
		), `+outbox+decided("$2", "$3")+`
		SELECT FROM decided`, ids, string(c.to), clean(c.by), clean(c.note))
	return counts, err
}
