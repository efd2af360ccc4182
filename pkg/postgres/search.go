package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// SearchQuery says which events of all accounts are meant.
type SearchQuery struct {
	Contains     string   // JSON that the payload contains (@>); "": any
	Path         string   // a JSON path that the payload has a match for (@?); "": any
	Words        []string // that the subject holds, upper and lower case the same
	Source, Type string
	AccountID    uuid.UUID // Nil: of all
	From         time.Time // occurred at it or later
	Limit        int       // at least 1

	Before int64 // only ids below, as Searched.Before says; 0: all
	Walk   bool  // as Searched.Walk says
}

// Searched is what a search has found.
type Searched struct {
	Events []TimelineEvent // the newest stored first
	// Before is where to go on: all events from it on were looked at. 0: the search is at its end.
	Before int64
	// Walk says that the index is of no use to this search, so that it goes on from event to event.
	Walk bool
	// To is when the last one that was looked at was received; zero where the index was asked, or nothing was looked at.
	To time.Time
}

const (
	// recentStep is how many of the newest events are looked at before the index is asked: what is found everywhere is
	// found there, and the index would have to give all of it.
	recentStep = 2_000
	// searchStep is how many events one statement looks at that has no index to ask.
	searchStep = 20_000
	// walkShare is which part of the time for a statement a search takes that reads event by event, for somebody waits.
	walkShare = 10
)

// Search looks for events, the newest stored first. It looks at a bounded number of them, and takes about limit at most:
// with fewer than the query's limit and a Before it has not come to the end. Containment and JSON paths are found by the
// index of the payloads, words and what the index cannot answer in time by reading events from the newest on. Contains
// and Path that Postgres cannot read are Permanent, as Classify marks them.
func Search(ctx context.Context, pool *pgxpool.Pool, limit time.Duration, q SearchQuery) (Searched, error) {
	var found Searched
	indexed := (q.Contains != "" || q.Path != "") && q.AccountID == uuid.Nil && !q.Walk
	step := searchStep
	if indexed {
		step = recentStep
	}
	for began := time.Now(); ; step = searchStep {
		part, err := searchWalk(ctx, pool, limit, q, step)
		if err != nil {
			return Searched{}, err
		}
		found.Events = append(found.Events, part.Events...)
		found.Before, found.Walk, found.To = part.Before, q.Walk, later(part.To, found.To)
		q.Before, q.Limit = part.Before, q.Limit-len(part.Events)
		switch {
		case part.Before == 0 || q.Limit == 0:
			return found, nil
		case indexed:
			indexed = false
			rest, err := searchIndex(ctx, pool, limit/2, q)
			if err == nil {
				found.Events = append(found.Events, rest.Events...)
				found.Before, found.To = rest.Before, time.Time{}
				return found, nil
			}
			if !TimedOut(err) || ctx.Err() != nil {
				return Searched{}, err
			}
			q.Walk, found.Walk = true, true
		case time.Since(began) > limit/walkShare:
			return found, nil
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}

// searchIndex asks the index of the payloads for all that match.
func searchIndex(ctx context.Context, pool *pgxpool.Pool, limit time.Duration, q SearchQuery) (found Searched, err error) {
	c := q.indexConditions()
	c.add("id < ?", q.Before)
	err = Reading(ctx, pool, limit, func(tx pgx.Tx) error {
		// Where the planner expects many, it would rather read the table: then the time is up, and Search walks.
		if _, err := tx.Exec(ctx, "SET LOCAL enable_seqscan = off"); err != nil {
			return searchError(err)
		}
		// The CTE keeps the planner from walking all events by id in the hope to meet some soon.
		found.Events, err = searchEvents(ctx, tx, fmt.Sprintf(`WITH hit AS MATERIALIZED (SELECT id FROM account_events WHERE %s), page AS (SELECT id FROM hit ORDER BY id DESC LIMIT %d)
SELECT e.* FROM page CROSS JOIN LATERAL (SELECT %s FROM account_events WHERE id = page.id LIMIT 1) AS e ORDER BY e.id DESC`, c.text(), q.Limit, eventColumns), c.values)
		return err
	})
	if len(found.Events) == q.Limit {
		found.Before = found.Events[q.Limit-1].ID
	}
	return found, err
}

// searchWalk looks at the step events before the query's place.
func searchWalk(ctx context.Context, pool *pgxpool.Pool, limit time.Duration, q SearchQuery, step int) (found Searched, err error) {
	c := q.conditions()
	where := &conditions{values: c.values}
	if q.Before > 0 {
		where.add("id < ?", q.Before)
	}
	looked := "SELECT * FROM account_events"
	if q.AccountID != uuid.Nil {
		where.add("account_id = ?", q.AccountID)
	}
	if len(where.terms) > 0 {
		looked += " WHERE " + where.text()
	}
	with := ""
	if q.AccountID != uuid.Nil { // by the index of its account, not by walking all events
		with = "WITH mine AS MATERIALIZED (SELECT id FROM account_events WHERE " + where.text() + ") "
		looked = "SELECT e.* FROM (SELECT id FROM mine ORDER BY id DESC) AS m CROSS JOIN LATERAL (SELECT * FROM account_events WHERE id = m.id LIMIT 1) AS e"
	}
	condition := "true"
	if len(c.terms) > 0 {
		condition = c.text()
	}
	err = Reading(ctx, pool, limit, func(tx pgx.Tx) error {
		if found.Events, err = searchEvents(ctx, tx, fmt.Sprintf("%sSELECT %s FROM (%s ORDER BY id DESC LIMIT %d) AS looked WHERE %s ORDER BY id DESC LIMIT %d",
			with, eventColumns, looked, step, condition, q.Limit), where.values); err != nil {
			return err
		}
		if n := len(found.Events); n == q.Limit {
			found.Before, found.To = found.Events[n-1].ID, found.Events[n-1].IngestedAt
			return nil
		}
		bounds := &conditions{}
		if q.Before > 0 {
			bounds.add("id < ?", q.Before)
		}
		last := "SELECT id FROM account_events"
		if q.AccountID != uuid.Nil {
			bounds.add("account_id = ?", q.AccountID)
		}
		if len(bounds.terms) > 0 {
			last += " WHERE " + bounds.text()
		}
		if q.AccountID != uuid.Nil {
			last = "WITH mine AS MATERIALIZED (" + last + ") SELECT * FROM mine"
		}
		var n int
		// The last that was looked at: the oldest of the step. Of the others the index is read alone.
		err := tx.QueryRow(ctx, fmt.Sprintf(`WITH step AS (SELECT coalesce(min(id), 0) AS id, count(*) AS n FROM (%s ORDER BY id DESC LIMIT %d) AS step)
			SELECT s.id, s.n, coalesce(e.ingested_at, 'epoch') FROM step AS s LEFT JOIN account_events AS e ON e.id = s.id`, last, step),
			bounds.values...).Scan(&found.Before, &n, &found.To)
		if found.To = found.To.UTC(); n < step {
			found.Before = 0
		}
		if n == 0 {
			found.To = time.Time{}
		}
		return searchError(err)
	})
	return found, err
}

func searchEvents(ctx context.Context, tx pgx.Tx, sql string, values []any) ([]TimelineEvent, error) {
	rows, err := tx.Query(ctx, sql, values...)
	if err != nil {
		return nil, searchError(err)
	}
	events, err := pgx.CollectRows(rows, scanEvent)
	return events, searchError(err)
}

func searchError(err error) error {
	if err == nil {
		return nil
	}
	return Classify(fmt.Errorf("searching: %w", err))
}

// CheckJSON says whether Postgres takes the text as JSONB, and CheckPath whether it takes it as a JSON path. The error is
// Permanent where it does not, with what Postgres says about it.
func CheckJSON(ctx context.Context, db DB, text string) error {
	return check(ctx, db, "SELECT $1::text::jsonb IS NULL", text)
}

// CheckPath is like CheckJSON.
func CheckPath(ctx context.Context, db DB, text string) error {
	return check(ctx, db, "SELECT $1::text::jsonpath IS NULL", text)
}

func check(ctx context.Context, db DB, sql, text string) error {
	var ignored bool
	err := db.QueryRow(ctx, sql, text).Scan(&ignored)
	if err == nil {
		return nil
	}
	if c := code(err); len(c) == 5 && (c[:2] == "22" || c[:2] == "42") { // data exception, syntax error
		var refused *pgconn.PgError
		errors.As(err, &refused)
		return fault.Permanent(fault.Malformed, errors.New(refused.Message))
	}
	return Classify(fmt.Errorf("reading what is searched for: %w", err))
}

const (
	// mostTelling is how many values the index of the payloads is asked for at most.
	mostTelling = 2
	// tellingText and tellingDigits are the fewest bytes of a text, and digits of a number, that few events have.
	tellingText   = 8
	tellingDigits = 5
)

// tellingValues gives the values of a JSON text that few events have, ids and addresses, the longest first, as a JSON
// path writes them. The index holds each name and each value by itself. Names are in millions of events, so that to
// intersect them with a value that is in a few costs a hundred times what the value alone costs.
func tellingValues(text string) (values []string) {
	var all any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&all) != nil {
		return nil
	}
	var collect func(value any)
	collect = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			for _, member := range v {
				collect(member)
			}
		case []any:
			for _, element := range v {
				collect(element)
			}
		case json.Number:
			if len(v) >= tellingDigits && strings.Trim(string(v), "0123456789") == "" {
				values = append(values, string(v))
			}
		case string:
			const year = len("2026-") // a date, or the version of an API, is in many
			if len(v) >= tellingText && strings.ContainsAny(v, "0123456789@") && strings.Trim(v[:year], "0123456789") != "-" {
				quoted, _ := json.Marshal(v) // of a string it has no error
				values = append(values, string(quoted))
			}
		}
	}
	collect(all)
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	return values[:min(len(values), mostTelling)]
}

// indexConditions are conditions of which the index of the payloads is asked for the least: for telling values, where there are any.
func (q SearchQuery) indexConditions() *conditions {
	values := tellingValues(q.Contains)
	if len(values) == 0 {
		return q.conditions()
	}
	contains := q.Contains
	q.Contains = ""
	c := q.conditions()
	for _, v := range values {
		c.addOperator("payload @? $%d::text::jsonpath", "$.** ? (@ == "+v+")")
	}
	c.add("(payload @> ?::text::jsonb) IS TRUE", contains) // so the index is not asked for it
	return c
}

func (q SearchQuery) conditions() *conditions {
	c := &conditions{}
	if q.Contains != "" {
		c.add("payload @> ?::text::jsonb", q.Contains)
	}
	if q.Path != "" {
		c.addOperator("payload @? $%d::text::jsonpath", q.Path)
	}
	for _, word := range q.Words {
		// As ILIKE finds it, which would bring the word to lower case anew for each event.
		c.add("lower(payload->>'subject') LIKE lower(?)", "%"+escapeLike(word)+"%")
	}
	if q.Source != "" {
		c.add("source = ?", q.Source)
	}
	if q.Type != "" {
		c.add("event_type = ?", q.Type)
	}
	if !q.From.IsZero() {
		c.add("occurred_at >= ?", q.From)
	}
	return c
}

// escapeLike takes from a text what LIKE gives a meaning.
func escapeLike(text string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text)
}
