package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/shape"
)

// Drift keeps what payloads look like (payload_types, payload_shapes), what is odd
// about them (shape_findings) and who reads them (drift_expectations). It is safe for
// concurrent use. Its errors are marked by Classify, or Permanent for the person who
// asked for what there is not.
type Drift struct{ pool *pgxpool.Pool }

// NewDrift makes a Drift.
func NewDrift(pool *pgxpool.Pool) *Drift { return &Drift{pool} }

// PayloadType is one event type of one source, as its webhooks have it or as it was
// pulled: by the vendor's API or a backfill, whose events may have other forms.
type PayloadType struct {
	Source, EventType string
	Pulled            bool
}

func (t PayloadType) compare(o PayloadType) int {
	pulled := func(t PayloadType) int {
		if t.Pulled {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(t.Source, o.Source), cmp.Compare(t.EventType, o.EventType), cmp.Compare(pulled(t), pulled(o)))
}

// RawPosition is where a raw record lies.
type RawPosition struct {
	Topic     string
	Partition int32
	Offset    int64
}

// RawProgress is how far a partition has been read: what lies before Next is counted,
// but for a topic that was made anew after Newest.
type RawProgress struct {
	Next   int64
	Newest time.Time // the broker's time of the newest record before Next
}

// Counted reports whether a record is in the shapes already.
func (p RawProgress) Counted(offset int64, at time.Time) bool {
	return offset < p.Next && !at.After(p.Newest)
}

// Partition is one of a topic.
type Partition struct {
	Topic string
	ID    int32
}

// ShapeWork is one batch of Settle. Its functions are called in this order, in the
// transaction.
type ShapeWork struct {
	Partitions []Partition
	// Observe is told how far the partitions are, and says which types the batch has
	// beyond that, and how far it brings them.
	Observe func(map[Partition]RawProgress) ([]PayloadType, map[Partition]RawProgress)
	// Version is that of the totals that the caller has of a type; 0: none.
	Version func(PayloadType) int64
	// Load is called with the stored totals of each type of another version.
	Load func(PayloadType, []shape.Path) error
	// Settle is called once for each type, which then has this version.
	Settle func(t PayloadType, version int64) ShapeUpdate
}

// ShapeUpdate is what a batch changes of one type.
type ShapeUpdate struct {
	Changed []shape.Path
	Events  []string // of each in Changed, the source_event_id of an event that has it
	Gone    []string
	Found   []NewFinding
}

// NewFinding is an odd thing, as the batch has it.
type NewFinding struct {
	shape.Odd
	EventID string // source_event_id; "" where none shows it
	At      RawPosition
}

// Settled is what a batch did to the findings.
type Settled struct {
	Opened, Again, Closed int64
	Dropped               int64 // new paths beyond what one type may have open at once
	Waited                time.Duration
}

// maxOpenNew bounds the open findings of new paths of one type: a sender that makes
// names up must not fill the list.
const maxOpenNew = 50

// Settle adds a batch to the shapes and the findings, with how far the raw topics are,
// in one transaction: a batch that comes again is not counted again. Batches of the
// same types wait for each other. On an error the caller must take what it has of the
// batch's types for unknown (Version 0).
func (d *Drift) Settle(ctx context.Context, w ShapeWork) (Settled, error) {
	var result Settled
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		progress, err := lockProgress(ctx, tx, w.Partitions)
		if err != nil {
			return fmt.Errorf("reading how far the topics are: %w", err)
		}
		types, next := w.Observe(progress)
		if len(types) > 0 {
			if result, err = settleTypes(ctx, tx, w, types); err != nil {
				return err
			}
		}
		return saveProgress(ctx, tx, next)
	})
	if err != nil {
		return Settled{}, Classify(fmt.Errorf("keeping the shapes of payloads: %w", err))
	}
	return result, nil
}

func split(partitions []Partition) (topics []string, ids []int32) {
	for _, p := range partitions {
		topics, ids = append(topics, p.Topic), append(ids, p.ID)
	}
	return topics, ids
}

func lockProgress(ctx context.Context, tx pgx.Tx, partitions []Partition) (map[Partition]RawProgress, error) {
	topics, ids := split(partitions)
	rows, err := tx.Query(ctx, `SELECT topic, partition, next_offset, newest FROM drift_offsets
		WHERE (topic, partition) IN (SELECT * FROM unnest($1::text[], $2::int[])) ORDER BY topic, partition FOR UPDATE`, topics, ids)
	if err != nil {
		return nil, err
	}
	progress := map[Partition]RawProgress{}
	var at Partition
	var p RawProgress
	_, err = pgx.ForEachRow(rows, []any{&at.Topic, &at.ID, &p.Next, &p.Newest}, func() error {
		progress[at] = p
		return nil
	})
	return progress, err
}

func saveProgress(ctx context.Context, tx pgx.Tx, next map[Partition]RawProgress) error {
	var partitions []Partition
	for p := range next {
		partitions = append(partitions, p)
	}
	slices.SortFunc(partitions, func(a, b Partition) int { return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID)) })
	topics, ids := split(partitions)
	var offsets []int64
	var newest []time.Time
	for _, p := range partitions {
		offsets, newest = append(offsets, next[p].Next), append(newest, next[p].Newest)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO drift_offsets (topic, partition, next_offset, newest)
		SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::timestamptz[])
		ON CONFLICT (topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset, newest = EXCLUDED.newest`, topics, ids, offsets, newest); err != nil {
		return fmt.Errorf("saving how far the topics are: %w", err)
	}
	return nil
}

// lockedType is a type of the batch, whose row is locked.
type lockedType struct {
	PayloadType
	id, version int64
}

func settleTypes(ctx context.Context, tx pgx.Tx, w ShapeWork, types []PayloadType) (Settled, error) {
	begin := time.Now()
	locked, err := lockTypes(ctx, tx, types)
	if err != nil {
		return Settled{}, fmt.Errorf("locking the event types: %w", err)
	}
	waited := time.Since(begin)
	var stale []lockedType
	for _, t := range locked {
		if t.version == 0 || w.Version(t.PayloadType) != t.version {
			stale = append(stale, t)
		}
	}
	if err := loadTypes(ctx, tx, stale, w.Load); err != nil {
		return Settled{}, fmt.Errorf("reading the shapes: %w", err)
	}
	var ids []int64
	updates := make([]ShapeUpdate, len(locked))
	for i, t := range locked {
		ids = append(ids, t.id)
		updates[i] = w.Settle(t.PayloadType, t.version+1)
	}
	if _, err := tx.Exec(ctx, "UPDATE payload_types SET version = version + 1 WHERE id = ANY ($1)", ids); err != nil {
		return Settled{}, fmt.Errorf("marking the event types: %w", err)
	}
	if err := saveShapes(ctx, tx, locked, updates); err != nil {
		return Settled{}, fmt.Errorf("saving the shapes: %w", err)
	}
	result, err := saveFindings(ctx, tx, locked, updates)
	result.Waited = waited
	return result, err
}

func lockTypes(ctx context.Context, tx pgx.Tx, types []PayloadType) ([]lockedType, error) {
	slices.SortFunc(types, PayloadType.compare)
	var sources, names []string
	var pulled []bool
	for _, t := range types {
		sources, names, pulled = append(sources, t.Source), append(names, t.EventType), append(pulled, t.Pulled)
	}
	const find = `SELECT t.source, t.event_type, t.pulled, t.id, t.version FROM payload_types t
		JOIN unnest($1::text[], $2::text[], $3::boolean[]) AS asked (source, event_type, pulled) USING (source, event_type, pulled)
		ORDER BY t.source COLLATE "C", t.event_type COLLATE "C", t.pulled FOR UPDATE OF t`
	locked, err := collectTypes(tx.Query(ctx, find, sources, names, pulled))
	if err != nil || len(locked) == len(types) {
		return locked, err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO payload_types (source, event_type, pulled) SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[]) ON CONFLICT DO NOTHING`, sources, names, pulled); err != nil {
		return nil, err
	}
	return collectTypes(tx.Query(ctx, find, sources, names, pulled))
}

func collectTypes(rows pgx.Rows, err error) ([]lockedType, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t lockedType, err error) {
		return t, row.Scan(&t.Source, &t.EventType, &t.Pulled, &t.id, &t.version)
	})
}

const shapeColumns = "path, present, nulls, booleans, numbers, strings, arrays, objects, first_at, last_at, first_seen, last_seen, longest_gap, folded, window_present, window_nulls, form"

func scanShape(p *shape.Path, gap *time.Duration) []any {
	return []any{&p.Path, &p.Present, &p.Null, &p.Bool, &p.Number, &p.String, &p.Array, &p.Object, &p.FirstAt, &p.LastAt, &p.FirstSeen, &p.LastSeen, gap,
		&p.Folded, &p.WindowPresent, &p.WindowNulls, &p.Form}
}

func loadTypes(ctx context.Context, tx pgx.Tx, stale []lockedType, load func(PayloadType, []shape.Path) error) error {
	if len(stale) == 0 {
		return nil
	}
	at := map[int64]int{}
	var ids []int64
	for i, t := range stale {
		at[t.id] = i
		ids = append(ids, t.id)
	}
	rows, err := tx.Query(ctx, "SELECT "+shapeColumns+", type_id FROM payload_shapes WHERE type_id = ANY ($1) ORDER BY type_id, path COLLATE \"C\"", ids)
	if err != nil {
		return err
	}
	stored := make([][]shape.Path, len(stale))
	var p shape.Path
	var id int64
	if _, err := pgx.ForEachRow(rows, append(scanShape(&p, &p.LongestGap), &id), func() error {
		stored[at[id]] = append(stored[at[id]], inUTC(p))
		return nil
	}); err != nil {
		return err
	}
	for i, t := range stale {
		if err := load(t.PayloadType, stored[i]); err != nil {
			return fmt.Errorf("%s %s: %w", t.Source, t.EventType, err)
		}
	}
	return nil
}

func inUTC(p shape.Path) shape.Path {
	p.FirstSeen, p.LastSeen = p.FirstSeen.UTC(), p.LastSeen.UTC()
	return p
}

// shapeRows are columns of payload_shapes.
type shapeRows struct {
	ids                  []int64
	paths, forms, events []string
	numbers              [9][]int64 // present to last_at
	windows              [2][]int64
	first, last          []time.Time
	gaps                 []time.Duration
	folded               []bool
	goneTypes            []int64
	gonePaths            []string
}

func saveShapes(ctx context.Context, tx pgx.Tx, locked []lockedType, updates []ShapeUpdate) error {
	var r shapeRows
	for i, u := range updates {
		for j, p := range u.Changed {
			r.ids, r.paths, r.forms, r.events = append(r.ids, locked[i].id), append(r.paths, p.Path), append(r.forms, p.Form), append(r.events, u.Events[j])
			for k, n := range [...]int64{p.Present, p.Null, p.Bool, p.Number, p.String, p.Array, p.Object, p.FirstAt, p.LastAt} {
				r.numbers[k] = append(r.numbers[k], n)
			}
			r.windows[0], r.windows[1] = append(r.windows[0], p.WindowPresent), append(r.windows[1], p.WindowNulls)
			r.first, r.last, r.gaps, r.folded = append(r.first, p.FirstSeen), append(r.last, p.LastSeen), append(r.gaps, p.LongestGap), append(r.folded, p.Folded)
		}
		for _, path := range u.Gone {
			r.goneTypes, r.gonePaths = append(r.goneTypes, locked[i].id), append(r.gonePaths, path)
		}
	}
	if len(r.gonePaths) > 0 {
		if _, err := tx.Exec(ctx, "DELETE FROM payload_shapes WHERE (type_id, path) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))", r.goneTypes, r.gonePaths); err != nil {
			return err
		}
	}
	n := r.numbers
	_, err := tx.Exec(ctx, `INSERT INTO payload_shapes (type_id, `+shapeColumns+`, event_id)
		SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],
			$12::timestamptz[], $13::timestamptz[], $14::interval[], $15::boolean[], $16::bigint[], $17::bigint[], $18::text[], $19::text[])
		ON CONFLICT (type_id, path) DO UPDATE SET present = EXCLUDED.present, nulls = EXCLUDED.nulls, booleans = EXCLUDED.booleans, numbers = EXCLUDED.numbers,
			strings = EXCLUDED.strings, arrays = EXCLUDED.arrays, objects = EXCLUDED.objects, first_at = EXCLUDED.first_at, last_at = EXCLUDED.last_at, first_seen = EXCLUDED.first_seen,
			last_seen = EXCLUDED.last_seen, longest_gap = EXCLUDED.longest_gap, folded = EXCLUDED.folded, window_present = EXCLUDED.window_present,
			window_nulls = EXCLUDED.window_nulls, form = EXCLUDED.form, event_id = EXCLUDED.event_id, silent = false`,
		r.ids, r.paths, n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], r.first, r.last, r.gaps, r.folded, r.windows[0], r.windows[1], r.forms, r.events)
	return err
}

// ShapePath is one path of a type, with the identity of an event that has it. The
// event's own row in account_events has the value, as long as there is the event.
type ShapePath struct {
	shape.Path
	EventID string // source_event_id
}

// Shape gives all paths of one event type, sorted; none: no such event was seen.
func (d *Drift) Shape(ctx context.Context, t PayloadType) ([]ShapePath, error) {
	rows, err := d.pool.Query(ctx, "SELECT "+shapeColumns+`, event_id FROM payload_shapes
		WHERE type_id = (SELECT id FROM payload_types WHERE source = $1 AND event_type = $2 AND pulled = $3) ORDER BY path COLLATE "C"`, t.Source, t.EventType, t.Pulled)
	if err != nil {
		return nil, Classify(fmt.Errorf("reading a shape: %w", err))
	}
	paths, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p ShapePath, err error) {
		err = row.Scan(append(scanShape(&p.Path, &p.LongestGap), &p.EventID)...)
		p.Path = inUTC(p.Path)
		return p, err
	})
	if err != nil {
		return nil, Classify(fmt.Errorf("reading a shape: %w", err))
	}
	return paths, nil
}

// ShapeType is one event type, as lists show it.
type ShapeType struct {
	PayloadType
	Events              int64
	Paths               int
	FirstSeen, LastSeen time.Time
}

// ShapeTypes gives the event types that were seen of a source ("": of all), sorted, at
// most limit after the one given (zero: from the first).
func (d *Drift) ShapeTypes(ctx context.Context, source string, after PayloadType, limit int) ([]ShapeType, error) {
	rows, err := d.pool.Query(ctx, `SELECT t.source, t.event_type, t.pulled, s.present, (SELECT count(*) FROM payload_shapes p WHERE p.type_id = t.id) - 1, s.first_seen, s.last_seen
		FROM payload_types t JOIN payload_shapes s ON s.type_id = t.id AND s.path = ''
		WHERE ($1 = '' OR t.source = $1) AND (t.source, t.event_type, t.pulled) > ($2, $3, $4) ORDER BY t.source, t.event_type, t.pulled LIMIT $5`,
		source, after.Source, after.EventType, after.Pulled, limit)
	if err != nil {
		return nil, Classify(fmt.Errorf("listing shapes: %w", err))
	}
	types, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t ShapeType, err error) {
		err = row.Scan(&t.Source, &t.EventType, &t.Pulled, &t.Events, &t.Paths, &t.FirstSeen, &t.LastSeen)
		t.FirstSeen, t.LastSeen = t.FirstSeen.UTC(), t.LastSeen.UTC()
		return t, err
	})
	if err != nil {
		return nil, Classify(fmt.Errorf("listing shapes: %w", err))
	}
	return types, nil
}

// quiet are paths that may have been silent for long enough to tell, and nothing above them is known to be gone.
const quiet = `SELECT t.source, t.event_type, p.event_id, ` + shapeColumns + `, t.id FROM payload_shapes p JOIN payload_types t ON t.id = p.type_id
	WHERE NOT t.pulled AND NOT p.silent AND p.present >= 20 AND p.last_seen < $1::timestamptz - interval '1 hour'
	  AND NOT EXISTS (SELECT FROM shape_findings f WHERE f.source = t.source AND f.event_type = t.event_type AND NOT f.pulled AND f.change IN ('vanished', 'silent') AND f.state <> 'closed'
	    AND (f.path IN ('', p.path) OR starts_with(p.path, f.path || '.') OR starts_with(p.path, f.path || '[')))
	ORDER BY t.id, p.path COLLATE "C" LIMIT $2`

// maxSilences bounds what one look for silences reads.
const maxSilences = 20_000

// FindSilences opens findings for what was regular and has not been seen until now,
// which is as far as all raw topics have been read. Several at once are safe.
func (d *Drift) FindSilences(ctx context.Context, now time.Time) (Settled, error) {
	var result Settled
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, quiet, now, maxSilences)
		if err != nil {
			return err
		}
		var t lockedType
		var p shape.Path
		var event string
		var locked []lockedType
		var updates []ShapeUpdate
		var ids []int64
		var paths []string
		if _, err := pgx.ForEachRow(rows, append(append([]any{&t.Source, &t.EventType, &event}, scanShape(&p, &p.LongestGap)...), &t.id), func() error {
			at := p.SilentAt()
			if at.IsZero() || now.Before(at) {
				return nil
			}
			ids, paths = append(ids, t.id), append(paths, p.Path)
			if n := len(updates); n > 0 && locked[n-1].id == t.id && slices.ContainsFunc(updates[n-1].Found, func(f NewFinding) bool { return shape.Within(f.Path, p.Path) }) {
				return nil // what lies above is silent
			}
			locked, updates = append(locked, t), append(updates, ShapeUpdate{Found: []NewFinding{{
				Odd: shape.Odd{Path: p.Path, Change: shape.Silent, Was: p.Interval(), Is: "not seen since " + p.LastSeen.UTC().Format(time.RFC3339)}, EventID: event, At: RawPosition{Partition: -1, Offset: -1},
			}}})
			return nil
		}); err != nil {
			return err
		}
		if len(ids) == 0 {
			return nil
		}
		if _, err := tx.Exec(ctx, "UPDATE payload_shapes SET silent = true WHERE (type_id, path) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))", ids, paths); err != nil {
			return err
		}
		result, err = saveFindings(ctx, tx, locked, updates)
		return err
	})
	if err != nil {
		return Settled{}, Classify(fmt.Errorf("looking for silences: %w", err))
	}
	return result, nil
}
