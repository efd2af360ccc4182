package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/shape"
)

// FindingState is what people, or the drift service, made of a finding.
type FindingState string

// The states. A closed finding stays as it is: when the same thing happens again, it
// is a new one.
const (
	FindingOpen         FindingState = "open"
	FindingAcknowledged FindingState = "acknowledged" // a person knows
	FindingClosed       FindingState = "closed"       // it is over, or a person closed it
)

// Finding is an odd thing about the payloads of one event type.
type Finding struct {
	ID int64
	PayloadType
	Path    string // "" is the event itself
	Change  shape.Change
	Was, Is string // for people: types, forms and rates, never values
	EventID string // source_event_id of an event that shows it, or ""
	At      RawPosition
	Times   int64 // how often it was found
	State   FindingState
	StateBy string
	StateAt time.Time
	Created time.Time // when it was found first, and last
	Last    time.Time
	Readers []Reader // that break by it, sorted; see Finding.Breaks
}

// Breaks reports whether a finding is of a kind that breaks who reads the path: a new
// path breaks nobody.
func (f Finding) Breaks() bool { return f.Change != shape.Appeared }

// Reader is who reads a path.
type Reader struct {
	Kind ReaderKind
	Name string // as it is declared: public.churn_risk
	Path string // that it reads, which lies at or below the finding's
}

// FindingDecision is one change of a finding's state.
type FindingDecision struct {
	State FindingState
	By    string // "drift": the service
	Note  string
	At    time.Time
}

// FindingQuery says which findings to list. Zero values ask for all.
type FindingQuery struct {
	Source, EventType string
	States            []FindingState
	Changes           []shape.Change
	Read              bool  // only those that break a reader
	Before            int64 // only those with a smaller id: the last one of the page before
	Limit             int   // 1 to 1,001; 0 for 100
}

const (
	findingColumns = "id, source, event_type, pulled, path, change, was, became, event_id, raw_topic, raw_partition, raw_offset, times, state, state_by, state_at, created_at, last_seen"

	mostFindings = 1001
	fewFindings  = 100
)

func scanFinding(row pgx.CollectableRow) (f Finding, err error) {
	err = row.Scan(&f.ID, &f.Source, &f.EventType, &f.Pulled, &f.Path, &f.Change, &f.Was, &f.Is, &f.EventID, &f.At.Topic, &f.At.Partition, &f.At.Offset, &f.Times,
		&f.State, &f.StateBy, &f.StateAt, &f.Created, &f.Last)
	f.StateAt, f.Created, f.Last = f.StateAt.UTC(), f.Created.UTC(), f.Last.UTC()
	return f, err
}

// MostFindingsCounted bounds what CountOpenFindings counts.
const MostFindingsCounted = 10_000

// CountOpenFindings counts the open findings, at most MostFindingsCounted. Errors are marked by Classify.
func CountOpenFindings(ctx context.Context, db DB) (n int64, err error) {
	if err = db.QueryRow(ctx, "SELECT count(*) FROM (SELECT FROM shape_findings WHERE state = 'open' LIMIT $1) AS few", MostFindingsCounted).Scan(&n); err != nil {
		return 0, Classify(fmt.Errorf("counting findings: %w", err))
	}
	return n, nil
}

// Findings lists findings, the newest first, each with who reads its path. Fewer than
// the limit means the end.
func (d *Drift) Findings(ctx context.Context, q FindingQuery) ([]Finding, error) {
	if q.Limit < 1 || q.Limit > mostFindings {
		q.Limit = fewFindings
	}
	expectations, err := d.Expectations(ctx)
	if err != nil {
		return nil, err
	}
	var found []Finding
	for {
		page, err := d.findings(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, f := range page {
			f.Readers = readersOf(f, expectations)
			if !q.Read || len(f.Readers) > 0 {
				found = append(found, f)
			}
			if len(found) == q.Limit {
				return found, nil
			}
		}
		if len(page) < q.Limit {
			return found, nil
		}
		q.Before = page[len(page)-1].ID
	}
}

func (d *Drift) findings(ctx context.Context, q FindingQuery) ([]Finding, error) {
	rows, err := d.pool.Query(ctx, "SELECT "+findingColumns+` FROM shape_findings
		WHERE ($1 = '' OR source = $1) AND ($2 = '' OR event_type = $2) AND (cardinality($3::text[]) = 0 OR state = ANY ($3)) AND (cardinality($4::text[]) = 0 OR change = ANY ($4))
		  AND ($5 = 0 OR id < $5) ORDER BY id DESC LIMIT $6`, q.Source, q.EventType, words(q.States), words(q.Changes), q.Before, q.Limit)
	if err != nil {
		return nil, Classify(fmt.Errorf("listing findings: %w", err))
	}
	found, err := pgx.CollectRows(rows, scanFinding)
	if err != nil {
		return nil, Classify(fmt.Errorf("listing findings: %w", err))
	}
	return found, nil
}

// words gives texts, never nil: NULL has no cardinality.
func words[T ~string](list []T) []string {
	texts := make([]string, len(list))
	for i, word := range list {
		texts[i] = string(word)
	}
	return texts
}

// Finding gives one finding, with what was decided about it, oldest first. One that
// is not there is Permanent(NotFound).
func (d *Drift) Finding(ctx context.Context, id int64) (Finding, []FindingDecision, error) {
	fail := func(err error) (Finding, []FindingDecision, error) {
		if errors.Is(err, pgx.ErrNoRows) {
			return Finding{}, nil, fault.Permanent(fault.NotFound, fmt.Errorf("there is no finding %d: `throughline drift` lists them", id))
		}
		return Finding{}, nil, Classify(fmt.Errorf("reading finding %d: %w", id, err))
	}
	rows, err := d.pool.Query(ctx, "SELECT "+findingColumns+" FROM shape_findings WHERE id = $1", id)
	if err != nil {
		return fail(err)
	}
	f, err := pgx.CollectExactlyOneRow(rows, scanFinding)
	if err != nil {
		return fail(err)
	}
	expectations, err := d.Expectations(ctx)
	if err != nil {
		return Finding{}, nil, err
	}
	f.Readers = readersOf(f, expectations)
	if rows, err = d.pool.Query(ctx, "SELECT state, by, note, created_at FROM drift_decisions WHERE finding_id = $1 ORDER BY id", id); err != nil {
		return fail(err)
	}
	decisions, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c FindingDecision, err error) {
		err = row.Scan(&c.State, &c.By, &c.Note, &c.At)
		c.At = c.At.UTC()
		return c, err
	})
	if err != nil {
		return fail(err)
	}
	return f, decisions, nil
}

// maxNote bounds what a person says about a finding.
const maxNote = 2000

// Decide acknowledges, opens again or closes a finding: by is who, note why. To give it
// the state that it has is no change. A closed finding cannot be opened again, which is
// Permanent(Conflict): if it is still so, it is found anew.
func (d *Drift) Decide(ctx context.Context, id int64, state FindingState, by, note string) (Finding, error) {
	if by == "" || len(note) > maxNote || !slices.Contains([]FindingState{FindingOpen, FindingAcknowledged, FindingClosed}, state) {
		return Finding{}, fault.Permanent(fault.Malformed, fmt.Errorf("a decision needs an author, one of the states open, acknowledged and closed, and a note of at most %d bytes", maxNote))
	}
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		var is FindingState
		if err := tx.QueryRow(ctx, "SELECT state FROM shape_findings WHERE id = $1 FOR UPDATE", id).Scan(&is); err != nil {
			return err
		}
		switch is {
		case state:
			return nil
		case FindingClosed:
			return fault.Permanent(fault.Conflict, fmt.Errorf("finding %d is closed: if it is still so, it is found anew", id))
		}
		if _, err := tx.Exec(ctx, "UPDATE shape_findings SET state = $2, state_by = $3, state_at = now() WHERE id = $1", id, state, by); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO drift_decisions (finding_id, state, by, note) VALUES ($1, $2, $3, $4)", id, state, by, note)
		return err
	})
	switch {
	case fault.IsPermanent(err):
		return Finding{}, err
	case err != nil && !errors.Is(err, pgx.ErrNoRows):
		return Finding{}, Classify(fmt.Errorf("deciding about finding %d: %w", id, err))
	}
	f, _, err := d.Finding(ctx, id)
	return f, err
}

// OpenFindings counts the findings that nobody has acknowledged, by change.
func (d *Drift) OpenFindings(ctx context.Context) (map[shape.Change]int, error) {
	rows, err := d.pool.Query(ctx, "SELECT change, count(*) FROM shape_findings WHERE state = 'open' GROUP BY change")
	if err != nil {
		return nil, Classify(fmt.Errorf("counting findings: %w", err))
	}
	open := map[shape.Change]int{}
	var change shape.Change
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&change, &n}, func() error { open[change] = n; return nil }); err != nil {
		return nil, Classify(fmt.Errorf("counting findings: %w", err))
	}
	return open, nil
}

// findingRows are columns of shape_findings.
type findingRows struct {
	sources, types, paths, changes, was, became, events, topics []string
	partitions                                                  []int32
	offsets                                                     []int64
	pulled                                                      []bool
}

func (r *findingRows) add(t PayloadType, f NewFinding) {
	r.sources, r.types, r.paths, r.changes = append(r.sources, t.Source), append(r.types, t.EventType), append(r.paths, f.Path), append(r.changes, string(f.Change))
	r.was, r.became, r.events = append(r.was, f.Was), append(r.became, f.Is), append(r.events, f.EventID)
	r.topics, r.partitions, r.offsets = append(r.topics, f.At.Topic), append(r.partitions, f.At.Partition), append(r.offsets, f.At.Offset)
	r.pulled = append(r.pulled, t.Pulled)
}

// saveFindings opens findings, counts those that stand already, and closes what is over.
func saveFindings(ctx context.Context, tx pgx.Tx, locked []lockedType, updates []ShapeUpdate) (result Settled, err error) {
	var found, over findingRows
	seen := map[string]bool{} // a statement must not meet a row twice
	for i, u := range updates {
		t := locked[i].PayloadType
		for _, f := range u.Found {
			key := strings.Join([]string{t.Source, t.EventType, strconv.FormatBool(t.Pulled), f.Path, string(f.Change)}, "\x00")
			switch {
			case f.Over:
				over.add(t, f)
			case !seen[key]:
				seen[key] = true
				found.add(t, f)
			}
		}
	}
	if len(found.paths) > 0 {
		// A row's xmax is 0 only where it was inserted.
		err = tx.QueryRow(ctx, `WITH asked AS (
			SELECT *, row_number() OVER (PARTITION BY source, event_type, pulled, change ORDER BY path) AS n
			FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int[], $10::bigint[], $12::boolean[])
			  AS f (source, event_type, path, change, was, became, event_id, raw_topic, raw_partition, raw_offset, pulled)
		), kept AS (
			INSERT INTO shape_findings (source, event_type, path, change, was, became, event_id, raw_topic, raw_partition, raw_offset, pulled)
			SELECT source, event_type, path, change, was, became, event_id, raw_topic, raw_partition, raw_offset, pulled FROM asked a
			WHERE change <> 'new' OR n + (SELECT count(*) FROM shape_findings f WHERE f.source = a.source AND f.event_type = a.event_type AND f.pulled = a.pulled AND f.change = 'new' AND f.state <> 'closed') <= $11
			ON CONFLICT (source, event_type, pulled, path, change) WHERE state <> 'closed'
			DO UPDATE SET times = shape_findings.times + 1, last_seen = now(), became = EXCLUDED.became, event_id = EXCLUDED.event_id
			RETURNING id, xmax = 0 AS fresh
		), said AS (
			INSERT INTO drift_decisions (finding_id, state, by) SELECT id, 'open', 'drift' FROM kept WHERE fresh
		)
		SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh), (SELECT count(*) FROM asked) - count(*) FROM kept`,
			found.sources, found.types, found.paths, found.changes, found.was, found.became, found.events, found.topics, found.partitions, found.offsets, maxOpenNew, found.pulled).
			Scan(&result.Opened, &result.Again, &result.Dropped)
		if err != nil {
			return Settled{}, fmt.Errorf("saving findings: %w", err)
		}
	}
	if len(over.paths) > 0 {
		err = tx.QueryRow(ctx, `WITH ended AS (
			UPDATE shape_findings f SET state = 'closed', state_by = 'drift', state_at = now()
			FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[]) AS o (source, event_type, path, change, pulled)
			WHERE f.source = o.source AND f.event_type = o.event_type AND f.pulled = o.pulled AND f.path = o.path AND f.change = o.change AND f.state <> 'closed' RETURNING f.id
		), said AS (
			INSERT INTO drift_decisions (finding_id, state, by, note) SELECT id, 'closed', 'drift', 'it is back' FROM ended
		)
		SELECT count(*) FROM ended`, over.sources, over.types, over.paths, over.changes, over.pulled).Scan(&result.Closed)
		if err != nil {
			return Settled{}, fmt.Errorf("closing findings: %w", err)
		}
	}
	return result, nil
}
