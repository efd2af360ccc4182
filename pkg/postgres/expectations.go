package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/shape"
)

// ReaderKind is where an expectation was learned.
type ReaderKind string

// The kinds of readers.
const (
	ReaderView      ReaderKind = "view"      // a view or materialized view of this database
	ReaderStatement ReaderKind = "statement" // a statement that pg_stat_statements knows
	ReaderFile      ReaderKind = "file"      // a file that somebody declared
)

// Expectation is a path that somebody reads.
type Expectation struct {
	Kind      ReaderKind
	Reader    string // the view, the dashboard, the file
	Source    string // "" is any
	EventType string // "" is any
	Path      string
	Types     []string // JSON types that the reader takes; none: any
	By        string   // who declared it
}

// Of reports whether the expectation is about events of this type.
func (e Expectation) Of(t PayloadType) bool {
	return (e.Source == "" || e.Source == t.Source) && (e.EventType == "" || e.EventType == t.EventType)
}

// maxExpectations bounds what is read, and what one Expect may declare.
const maxExpectations = 20_000

// Expectations gives all that is expected, sorted.
func (d *Drift) Expectations(ctx context.Context) ([]Expectation, error) {
	rows, err := d.pool.Query(ctx, `SELECT origin, reader, source, event_type, path, types, declared_by FROM drift_expectations
		ORDER BY origin, reader, source, event_type, path LIMIT $1`, maxExpectations)
	if err != nil {
		return nil, Classify(fmt.Errorf("reading expectations: %w", err))
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Expectation, err error) {
		return e, row.Scan(&e.Kind, &e.Reader, &e.Source, &e.EventType, &e.Path, &e.Types, &e.By)
	})
	if err != nil {
		return nil, Classify(fmt.Errorf("reading expectations: %w", err))
	}
	return all, nil
}

// Expect replaces what is expected of a kind of reader: of these readers, or of all readers
// where none are named. What is expected of others stays.
func (d *Drift) Expect(ctx context.Context, kind ReaderKind, readers []string, all []Expectation, by string) error {
	if len(all) > maxExpectations {
		return fault.Permanent(fault.Oversized, fmt.Errorf("%d paths are expected, the bound is %d", len(all), maxExpectations))
	}
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM drift_expectations WHERE origin = $1 AND (cardinality($2::text[]) = 0 OR reader = ANY ($2))", kind, words(readers)); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		for _, e := range all {
			batch.Queue(`INSERT INTO drift_expectations (origin, reader, source, event_type, path, types, declared_by) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (origin, reader, source, event_type, path) DO UPDATE SET types = EXCLUDED.types, declared_by = EXCLUDED.declared_by, declared_at = now()`,
				kind, e.Reader, e.Source, e.EventType, e.Path, words(e.Types), by)
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return Classify(fmt.Errorf("saving expectations: %w", err))
	}
	return nil
}

// readersOf gives who breaks by a finding.
func readersOf(f Finding, all []Expectation) (readers []Reader) {
	if !f.Breaks() {
		return nil
	}
	for _, e := range all {
		if e.Of(f.PayloadType) && shape.Within(f.Path, e.Path) {
			readers = append(readers, Reader{e.Kind, e.Reader, e.Path})
		}
	}
	slices.SortFunc(readers, func(a, b Reader) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Path, b.Path)) })
	return slices.Compact(readers)
}

// Query is a text of SQL in which paths may be read, and whose it is.
type Query struct {
	Kind   ReaderKind
	Reader string
	SQL    string
}

// maxQueries bounds how many statements are looked at, the most called first.
const maxQueries = 2000

// Queries gives the definitions of all views and materialized views that read
// account_events, directly or through another view, and, where the extension
// pg_stat_statements is there and lets the user see them, the statements that name it.
func (d *Drift) Queries(ctx context.Context) ([]Query, error) {
	rows, err := d.pool.Query(ctx, `WITH RECURSIVE reading AS (
			SELECT 'account_events'::regclass::oid AS oid
			UNION
			SELECT w.ev_class FROM reading r JOIN pg_depend p ON p.refobjid = r.oid AND p.refclassid = 'pg_class'::regclass AND p.classid = 'pg_rewrite'::regclass
			JOIN pg_rewrite w ON w.oid = p.objid AND w.ev_class <> r.oid)
		SELECT n.nspname || '.' || c.relname, pg_get_viewdef(c.oid) FROM reading JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('v', 'm') ORDER BY 1 LIMIT $1`, maxQueries)
	if err != nil {
		return nil, Classify(fmt.Errorf("reading views: %w", err))
	}
	queries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Query, error) {
		q := Query{Kind: ReaderView}
		return q, row.Scan(&q.Reader, &q.SQL)
	})
	if err != nil {
		return nil, Classify(fmt.Errorf("reading views: %w", err))
	}
	statements, err := d.statements(ctx)
	return append(queries, statements...), err
}

// statements reads pg_stat_statements. It replaces constants by $1, so that of most
// statements the path cannot be known; some keep theirs (DECLARE, COPY, CREATE).
func (d *Drift) statements(ctx context.Context) ([]Query, error) {
	var home string
	err := d.pool.QueryRow(ctx, `SELECT coalesce((SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'), '')`).Scan(&home)
	if err != nil {
		return nil, Classify(fmt.Errorf("looking for pg_stat_statements: %w", err))
	}
	if home == "" {
		return nil, nil
	}
	rows, err := d.pool.Query(ctx, `SELECT r.rolname || ' ' || s.queryid, s.query FROM `+home+`.pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
		WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.query LIKE '%account_events%' AND s.query ~ '->|#>|@>|@\?|@@|jsonb_'
		  AND s.queryid IS NOT NULL AND length(s.query) < 100000 ORDER BY s.calls DESC LIMIT $1`, maxQueries)
	if err == nil {
		var all []Query
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Query, error) {
			q := Query{Kind: ReaderStatement}
			return q, row.Scan(&q.Reader, &q.SQL)
		})
		if err == nil {
			return all, nil
		}
	}
	const notLoaded, insufficient = "55000", "42501"
	if c := code(err); c == notLoaded || c == insufficient { // it is not in shared_preload_libraries, or not ours to read
		return nil, nil
	}
	return nil, Classify(fmt.Errorf("reading pg_stat_statements: %w", err))
}

// Unmet is an expectation that events do not meet.
type Unmet struct {
	PayloadType        // without its form of delivery; "" where no type in particular has it
	Path        string // that is read
	Why         string // for people
	FindingID   int64  // the standing finding that says so; 0: none
	Readers     []string
}

// Unmet compares what is expected with what events have: paths that no event of the
// expected types ever had, types that their readers do not take, and open findings on
// paths that are read. What a person has acknowledged does not count, and neither does
// an event type of which nothing was seen: quiet gives how many expectations are about
// such types alone.
func (d *Drift) Unmet(ctx context.Context) (unmet []Unmet, quiet int, err error) {
	expectations, err := d.Expectations(ctx)
	if err != nil {
		return nil, 0, err
	}
	type seenPath struct {
		PayloadType
		path string
	}
	rows, err := d.pool.Query(ctx, `SELECT t.source, t.event_type, t.pulled, p.path, p.nulls, p.booleans, p.numbers, p.strings, p.arrays, p.objects
		FROM payload_shapes p JOIN payload_types t ON t.id = p.type_id WHERE t.event_type <> '*' ORDER BY t.id, p.path COLLATE "C"`)
	if err != nil {
		return nil, 0, Classify(fmt.Errorf("reading the shapes: %w", err))
	}
	byType := map[PayloadType]map[string][]string{}
	var at seenPath
	var c shape.Counts
	if _, err := pgx.ForEachRow(rows, []any{&at.Source, &at.EventType, &at.Pulled, &at.path, &c.Null, &c.Bool, &c.Number, &c.String, &c.Array, &c.Object}, func() error {
		if byType[at.PayloadType] == nil {
			byType[at.PayloadType] = map[string][]string{}
		}
		byType[at.PayloadType][at.path] = c.Types()
		return nil
	}); err != nil {
		return nil, 0, Classify(fmt.Errorf("reading the shapes: %w", err))
	}
	add := func(u Unmet, reader string) {
		for i := range unmet {
			if o := &unmet[i]; o.PayloadType == u.PayloadType && o.Path == u.Path && o.Why == u.Why {
				o.Readers = append(o.Readers, reader)
				return
			}
		}
		u.Readers = []string{reader}
		unmet = append(unmet, u)
	}
	for _, e := range expectations {
		types, has := 0, false
		for t, paths := range byType {
			if !e.Of(t) {
				continue
			}
			types++
			is, ok := lookUp(paths, e.Path)
			has = has || ok
			for _, kind := range is {
				if len(e.Types) > 0 && kind != "null" && !slices.Contains(e.Types, kind) {
					add(Unmet{PayloadType: PayloadType{Source: t.Source, EventType: t.EventType}, Path: e.Path, Why: fmt.Sprintf("it is also a JSON %s", kind)}, e.Reader)
				}
			}
		}
		switch {
		case types == 0:
			quiet++
		case !has:
			add(Unmet{PayloadType: PayloadType{Source: e.Source, EventType: e.EventType}, Path: e.Path, Why: "no event has ever had it"}, e.Reader)
		}
	}
	query := FindingQuery{States: []FindingState{FindingOpen}, Read: true, Limit: mostFindings}
	open, err := d.Findings(ctx, query)
	if err != nil {
		return nil, 0, err
	}
	for _, f := range open {
		for _, r := range f.Readers {
			why := fmt.Sprintf("%s: %s", f.Change, f.Is)
			if f.Was != "" {
				why = fmt.Sprintf("%s: was %s, is %s", f.Change, f.Was, f.Is)
			}
			add(Unmet{PayloadType: PayloadType{Source: f.Source, EventType: f.EventType}, Path: r.Path, Why: why, FindingID: f.ID}, r.Name)
		}
	}
	slices.SortFunc(unmet, func(a, b Unmet) int {
		return cmp.Or(a.compare(b.PayloadType), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Why, b.Why))
	})
	for i := range unmet {
		slices.Sort(unmet[i].Readers)
		unmet[i].Readers = slices.Compact(unmet[i].Readers)
	}
	return unmet, quiet, nil
}

// lookUp gives the types of a path, also where one side has * for a name.
func lookUp(paths map[string][]string, path string) ([]string, bool) {
	if types, ok := paths[path]; ok {
		return types, true
	}
	for is, types := range paths {
		if is != "" && shape.Within(is, path) && shape.Within(path, is) {
			return types, true
		}
	}
	return nil, false
}
