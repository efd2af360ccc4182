package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/expect"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

type driftCommand struct {
	List   driftListCommand   `cmd:"" default:"withargs" help:"List what changed about payloads, the newest first, and who reads it."`
	Diff   driftDiffCommand   `cmd:"" help:"Compare payloads with what is read of them; exit code 1 when an expected field is missing or changed."`
	Expect driftExpectCommand `cmd:"" help:"Declare which fields files of SQL or dashboards read."`
	Ack    driftAckCommand    `cmd:"" help:"Acknowledge a finding, or close it."`
	Shape  driftShapeCommand  `cmd:"" help:"Show the paths of an event type, with their types, counts and times."`
}

// Help is kong's: what --help says beyond the summary.
func (*driftCommand) Help() string {
	return "The drift service learns what payloads look like and finds what changes: new, vanished, type_changed, null_rate, silent. " +
		"docs/operations/drift.md says when, and how to say which fields are read."
}

type driftListCommand struct {
	Source string `name:"source" help:"Only of this source."`
	Type   string `name:"type" placeholder:"EVENT_TYPE" help:"Only of this event type."`
	State  string `name:"state" enum:"open,acknowledged,closed,all" default:"open" help:"Only these: ${enum}; ${default} ones unless told otherwise."`
	Read   bool   `name:"read" help:"Only those that break a view, a statement or a dashboard."`
	Limit  int    `name:"limit" default:"100" placeholder:"N" help:"At most so many (${default})."`
	outputFlags
}

func (*driftListCommand) needs() need { return needsPostgres | needsSources }

// Validate is kong's.
func (c *driftListCommand) Validate() error { return checkLimit(c.Limit) }

func (c *driftListCommand) checkSources(set source.Set) error { return checkSource(set, c.Source) }

// Run is kong's.
func (c *driftListCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		q := postgres.FindingQuery{Source: c.Source, EventType: c.Type, Read: c.Read, Limit: c.Limit}
		if c.State != "all" {
			q.States = []postgres.FindingState{postgres.FindingState(c.State)}
		}
		found, err := postgres.NewDrift(pool).Findings(ctx, q)
		if err != nil {
			return err
		}
		views := make([]api.Finding, len(found))
		for i, f := range found {
			views[i] = api.NewFinding(f)
		}
		s.hintList(len(views), c.Limit, "finding", "")
		return list(s, c.JSON, views, []column[api.Finding]{
			{title: "id", text: func(f api.Finding) string { return fmt.Sprint(f.ID) }},
			{title: "state", text: func(f api.Finding) string { return f.State }, leave: 1},
			{title: "source", text: func(f api.Finding) string { return f.Source }},
			{title: "event_type", text: func(f api.Finding) string { return f.EventType }},
			{title: "path", text: func(f api.Finding) string { return f.Path }},
			{title: "change", text: func(f api.Finding) string { return f.Change }},
			{title: "was", text: func(f api.Finding) string { return f.Was }, wide: true, leave: 4},
			{title: "is", text: func(f api.Finding) string { return f.Is }, wide: true},
			{title: "read by", text: func(f api.Finding) string { return readBy(f.Readers) }, wide: true},
			{title: "source_event_id", text: func(f api.Finding) string { return f.SourceEventID }, leave: 2},
			{title: "found_at", text: func(f api.Finding) string { return stamp(f.FoundAt) }, leave: 3},
		})
	})
}

func readBy(readers []api.Reader) string {
	names := make([]string, len(readers))
	for i, r := range readers {
		names[i] = r.Name
	}
	return strings.Join(slices.Compact(names), ", ")
}

type driftDiffCommand struct {
	NoLearn bool `name:"no-learn" help:"Do not read views and pg_stat_statements first; take what is known of them."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*driftDiffCommand) Help() string {
	return "First it learns which paths the views over account_events read, and the statements that pg_stat_statements keeps whole. Then a line is a path that is read " +
		"and that no event has, or has otherwise than is expected, with who reads it. What is acknowledged does not count. It is made for a daily cron."
}

func (*driftDiffCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *driftDiffCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		store := postgres.NewDrift(pool)
		if !c.NoLearn {
			if err := learnQueries(ctx, s, store); err != nil {
				return err
			}
		}
		unmet, quiet, err := store.Unmet(ctx)
		if err != nil {
			return err
		}
		views := make([]api.Unmet, len(unmet))
		for i, u := range unmet {
			views[i] = api.NewUnmet(u)
		}
		if quiet > 0 {
			s.say("%s about event types of which none was seen yet", plural(int64(quiet), "expectation"))
		}
		err = list(s, c.JSON, views, []column[api.Unmet]{
			{title: "source", text: func(u api.Unmet) string { return u.Source }},
			{title: "event_type", text: func(u api.Unmet) string { return u.EventType }},
			{title: "path", text: func(u api.Unmet) string { return u.Path }},
			{title: "why", text: func(u api.Unmet) string { return u.Why }, wide: true},
			{title: "finding", text: func(u api.Unmet) string {
				if u.Finding == 0 {
					return ""
				}
				return fmt.Sprint(u.Finding)
			}, leave: 1},
			{title: "read by", text: func(u api.Unmet) string { return strings.Join(u.Readers, ", ") }, wide: true},
		})
		switch {
		case err != nil:
			return err
		case len(unmet) == 0:
			s.say("payloads have all that is read of them")
			return nil
		}
		return fmt.Errorf("%s missing or changed: mend who reads it, or `throughline drift ack ID` where a finding is given", plural(int64(len(unmet)), "expected field"))
	})
}

// learnQueries replaces what is expected of views and statements.
func learnQueries(ctx context.Context, s *session, store *postgres.Drift) error {
	queries, err := store.Queries(ctx)
	if err != nil {
		return err
	}
	all := map[postgres.ReaderKind][]postgres.Expectation{postgres.ReaderView: nil, postgres.ReaderStatement: nil}
	notRead := 0
	for _, q := range queries {
		reads, _, err := expect.SQL(q.SQL)
		if err != nil { // a statement may be cut, or of another version
			notRead++
			continue
		}
		for _, r := range reads {
			all[q.Kind] = append(all[q.Kind], postgres.Expectation{Reader: q.Reader, Source: r.Source, EventType: r.EventType, Path: r.Path, Types: r.Types})
		}
	}
	if notRead > 0 {
		s.say("%s not understood, and left out", plural(int64(notRead), "view or statement"))
	}
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		if err := store.Expect(ctx, kind, nil, all[kind], name); err != nil {
			return err
		}
	}
	return nil
}

type driftExpectCommand struct {
	Files []string `arg:"" name:"file" type:"existingfile" help:"Files of SQL (FILE.sql) or of dashboards (FILE.yaml)."`
	byFlags
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*driftExpectCommand) Help() string {
	return "Of SQL, the paths that statements read from a column named payload; what they read is theirs by the name of the view that they make, or of the file. A YAML file " +
		"names dashboards: `dashboards: [{name: Churn risk, source: stripe, event_type: invoice.paid, fields: {data.object.amount_paid: number}}]`. " +
		"What was declared by the same names before is replaced. Views of the database need no file: `throughline drift diff` reads them."
}

func (*driftExpectCommand) needs() need { return needsPostgres }

// expected is one reader, for the output.
type expected struct {
	Reader string `json:"reader"`
	Paths  int    `json:"paths"`
}

// Run is kong's.
func (c *driftExpectCommand) Run(ctx context.Context, s *session) error {
	var all []postgres.Expectation
	for _, file := range c.Files {
		found, err := c.read(s, file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if len(found) == 0 {
			return fmt.Errorf("%s: it reads nothing from a column named payload: name that column payload in it, or declare its fields in a YAML file", file)
		}
		all = append(all, found...)
	}
	var readers []expected
	for _, e := range all {
		i := slices.IndexFunc(readers, func(o expected) bool { return o.Reader == e.Reader })
		if i < 0 {
			i, readers = len(readers), append(readers, expected{Reader: e.Reader})
		}
		readers[i].Paths++
	}
	names := make([]string, len(readers))
	for i, r := range readers {
		names[i] = r.Reader
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		if err := postgres.NewDrift(pool).Expect(ctx, postgres.ReaderFile, names, all, c.author()); err != nil {
			return err
		}
		return list(s, c.JSON, readers, []column[expected]{
			{title: "reader", text: func(e expected) string { return e.Reader }},
			{title: "paths", text: func(e expected) string { return fmt.Sprint(e.Paths) }},
		})
	})
}

func (c *driftExpectCommand) read(s *session, file string) (all []postgres.Expectation, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	switch ext := strings.ToLower(filepath.Ext(file)); ext {
	case ".sql":
		reads, unknown, err := expect.SQL(string(text))
		if err != nil {
			return nil, err
		}
		if unknown > 0 {
			s.say("%s: %s whose path is no constant", file, plural(int64(unknown), "access"))
		}
		for _, r := range reads {
			all = append(all, postgres.Expectation{Reader: cmp.Or(r.Relation, filepath.Base(file)), Source: r.Source, EventType: r.EventType, Path: r.Path, Types: r.Types})
		}
		return all, nil
	case ".yaml", ".yml":
		dashboards, err := expect.YAML(text)
		if err != nil {
			return nil, err
		}
		for _, d := range dashboards {
			for path, kind := range d.Fields {
				e := postgres.Expectation{Reader: d.Name, Source: d.Source, EventType: d.EventType, Path: path}
				if kind != "" {
					e.Types = []string{kind}
				}
				all = append(all, e)
			}
		}
		return all, nil
	default:
		return nil, errors.New("it should end with .sql, .yaml or .yml")
	}
}

type driftAckCommand struct {
	ID    int64  `arg:"" help:"The finding's number, as the list shows it."`
	Close bool   `name:"close" help:"Close it: it is dealt with. If it is found again, it is a new finding."`
	Note  string `name:"note" placeholder:"TEXT" help:"Why, as recorded."`
	byFlags
	outputFlags
}

func (*driftAckCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *driftAckCommand) Run(ctx context.Context, s *session) error {
	state := postgres.FindingAcknowledged
	if c.Close {
		state = postgres.FindingClosed
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		f, err := postgres.NewDrift(pool).Decide(ctx, c.ID, state, c.author(), c.Note)
		if err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(s, api.NewFinding(f))
		}
		s.line("Finding %d (%s of %s %s) is %s.", f.ID, f.Change, f.Source, f.EventType, f.State)
		return nil
	})
}

type driftShapeCommand struct {
	Source string `arg:"" help:"The source."`
	Type   string `arg:"" name:"type" help:"The event type, such as invoice.paid."`
	Pulled bool   `name:"pulled" help:"As the vendor's API or a backfill has it, in place of webhooks."`
	outputFlags
}

func (*driftShapeCommand) needs() need { return needsPostgres | needsSources }

func (c *driftShapeCommand) checkSources(set source.Set) error { return checkSource(set, c.Source) }

// Run is kong's.
func (c *driftShapeCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		paths, err := postgres.NewDrift(pool).Shape(ctx, postgres.PayloadType{Source: c.Source, EventType: c.Type, Pulled: c.Pulled})
		if err != nil {
			return err
		}
		views := make([]api.ShapePath, len(paths))
		for i, p := range paths {
			views[i] = api.NewShapePath(p)
		}
		s.hintList(len(views), len(views)+1, "path", "no such event was seen by the drift service; with --pulled it shows those of the vendor's API")
		return list(s, c.JSON, views, []column[api.ShapePath]{
			{title: "path", text: func(p api.ShapePath) string { return p.Path }},
			{title: "types", text: func(p api.ShapePath) string { return strings.Join(p.Types, ", ") }},
			{title: "form", text: func(p api.ShapePath) string { return p.Form }, leave: 1},
			{title: "events", text: func(p api.ShapePath) string { return fmt.Sprint(p.Present) }},
			{title: "nulls", text: func(p api.ShapePath) string { return fmt.Sprint(p.Nulls) }, leave: 3},
			{title: "first_seen", text: func(p api.ShapePath) string { return stamp(p.FirstSeen) }, leave: 2},
			{title: "last_seen", text: func(p api.ShapePath) string { return stamp(p.LastSeen) }},
		})
	})
}
