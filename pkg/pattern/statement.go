package pattern

import (
	"fmt"
	"strings"
	"time"
)

// Query says what is asked about a pattern.
type Query struct {
	// Now is the time that open periods are measured by.
	Now time.Time
	// Since leaves out events that occurred before it; zero: none.
	Since time.Time
	// Limit is how many rows there are at most, 1 to MaxRows; 0: 100.
	Limit int
}

// MaxRows is the largest Limit.
const MaxRows = 10_000

func (q Query) limit() int {
	if q.Limit < 1 {
		return 100
	}
	return min(q.Limit, MaxRows)
}

// Statement is SQL and the values of its parameters, $1 first. Nothing of a pattern is in its text.
type Statement struct {
	SQL  string
	Args []any
}

// statement is a Statement in the making.
type statement struct {
	b      strings.Builder
	args   []any
	types  bool // there is a wildcard
	since  time.Time
	steps  []step
	states int // the state that was written last is s<states>
}

// arg adds a parameter and gives its place, with the type that it has.
func (s *statement) arg(value any, kind string) string {
	s.args = append(s.args, value)
	return fmt.Sprintf("$%d::%s", len(s.args), kind)
}

// interval is a parameter: days have 24 hours, whatever the session's time zone.
func (s *statement) interval(d time.Duration) string {
	return s.arg(int64(d/time.Second), "bigint") + " * interval '1 second'"
}

// Statement gives the statement that lists accounts, each with its newest match: account_id, name, matches, reached_at,
// open_until, ids, sources and types and times of its events, and how many accounts there are.
func (p *Pattern) Statement(q Query) Statement {
	s := p.matches(q)
	fmt.Fprintf(&s.b, `, newest AS (
  SELECT DISTINCT ON (account_id) account_id, ids, reached_at, open_until, count(*) OVER (PARTITION BY account_id) AS matches
  FROM matches ORDER BY account_id, reached_at DESC, id DESC)
, page AS (SELECT *, count(*) OVER () AS accounts FROM newest ORDER BY reached_at DESC, account_id LIMIT %s)
SELECT p.account_id, coalesce(a.name, ''), p.matches, p.reached_at, p.open_until, p.accounts, e.ids, e.sources, e.types, e.times
FROM page AS p LEFT JOIN accounts AS a ON a.id = p.account_id CROSS JOIN LATERAL (
  SELECT array_agg(e.id ORDER BY u.place) AS ids, array_agg(e.source ORDER BY u.place) AS sources, array_agg(e.event_type ORDER BY u.place) AS types,
    array_agg(e.occurred_at ORDER BY u.place) AS times
  FROM unnest(p.ids) WITH ORDINALITY AS u (id, place) JOIN account_events AS e ON e.id = u.id) AS e
ORDER BY p.reached_at DESC, p.account_id`, s.arg(q.limit(), "bigint"))
	return s.done()
}

// Months gives the statement that counts matches by month, of UTC, in which they were complete, the newest first: month,
// matches, accounts.
func (p *Pattern) Months(q Query) Statement {
	s := p.matches(q)
	fmt.Fprintf(&s.b, `
SELECT to_char(reached_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, count(*), count(DISTINCT account_id)
FROM matches GROUP BY month ORDER BY month DESC LIMIT %s`, s.arg(q.limit(), "bigint"))
	return s.done()
}

func (s *statement) done() Statement {
	with := "WITH "
	if s.types {
		// Each event type once, a step of the index (event_type, occurred_at) for each.
		with += `RECURSIVE type_names AS (
  (SELECT event_type FROM account_events ORDER BY event_type LIMIT 1)
  UNION ALL
  SELECT (SELECT e.event_type FROM account_events AS e WHERE e.event_type > t.event_type ORDER BY e.event_type LIMIT 1)
  FROM type_names AS t WHERE t.event_type IS NOT NULL)
, `
	}
	return Statement{SQL: with + s.b.String(), Args: s.args}
}

// matches writes the steps one after the other. State s<n> has the events that are the last so far of some match, each
// with the nearest events before it that make one: whether a match goes on depends on its last event alone, so no other
// needs to be kept, and the work grows with the number of events, not with that of their combinations.
func (p *Pattern) matches(q Query) *statement {
	s := &statement{since: q.Since, steps: p.reached()}
	for _, step := range p.steps {
		for _, t := range step.types {
			s.types = s.types || strings.Contains(t.name, "*")
		}
	}
	var gaps time.Duration // since the event before
	for i := range s.steps {
		switch step := &s.steps[i]; {
		case step.gap > 0:
			s.without(step, gaps)
			gaps += step.gap
		case i == 0:
			s.first(step)
		default:
			s.next(step, gaps)
			gaps = 0
		}
	}
	reached, until, where := "occurred_at", "NULL::timestamptz", "true"
	if gaps > 0 { // the periods are over
		reached = "occurred_at + " + s.interval(gaps)
		where = fmt.Sprintf("occurred_at + %s <= %s", s.interval(gaps), s.arg(q.Now, "timestamptz"))
	}
	if p.now {
		last := &p.steps[len(p.steps)-1]
		switch {
		case last.gap > 0:
			s.without(last, gaps)
			where += fmt.Sprintf(" AND occurred_at + %s > %s", s.interval(gaps+last.gap), s.arg(q.Now, "timestamptz"))
			until = "occurred_at + " + s.interval(gaps+last.gap)
		default:
			s.state(fmt.Sprintf("SELECT * FROM s%d AS s WHERE NOT EXISTS (SELECT FROM account_events AS e WHERE e.account_id = s.account_id AND e.occurred_at >= s.occurred_at\n"+
				"    AND (e.occurred_at, e.ingested_at, e.id) > (s.occurred_at, s.ingested_at, s.id) AND %s)", s.states, s.event(last)))
			if last.within > 0 {
				where += fmt.Sprintf(" AND occurred_at + %s >= %s", s.interval(last.within), s.arg(q.Now, "timestamptz"))
				until = "occurred_at + " + s.interval(last.within)
			}
		}
	}
	fmt.Fprintf(&s.b, "\n, matches AS (SELECT account_id, id, ids, %s AS reached_at, %s AS open_until FROM s%d WHERE %s)", reached, until, s.states, where)
	return s
}

// state writes the next state.
func (s *statement) state(sql string) {
	if s.states > 0 {
		s.b.WriteString("\n, ")
	}
	s.states++
	fmt.Fprintf(&s.b, "s%d AS MATERIALIZED (\n  %s)", s.states, sql)
}

func (s *statement) first(step *step) {
	s.state("SELECT e.account_id, e.occurred_at, e.ingested_at, e.id, ARRAY[e.id] AS ids\n  FROM account_events AS e WHERE " + s.event(step))
}

// next puts the events of a step among those of the state, in the order of the timeline, and looks at the nearest one of
// the state before each.
func (s *statement) next(step *step, gaps time.Duration) {
	// With a period between, an event of the state stands where the period ends, and before what happened then. An event
	// does not come before itself.
	at, order := "occurred_at", "at, ingested_at, id, ids IS NOT NULL"
	if gaps > 0 {
		at, order = "occurred_at + "+s.interval(gaps), "at, ids IS NULL, ingested_at, id"
	}
	within := ""
	if step.within > 0 {
		within = fmt.Sprintf(" AND occurred_at <= begun + %s", s.interval(step.within))
	}
	s.state(fmt.Sprintf(`SELECT account_id, occurred_at, ingested_at, id, ids_before || id AS ids FROM (
    SELECT account_id, occurred_at, ingested_at, id, ids, run, first_value(ids) OVER (PARTITION BY account_id, run ORDER BY %[2]s) AS ids_before,
      first_value(occurred_at) OVER (PARTITION BY account_id, run ORDER BY %[2]s) AS begun
    FROM (SELECT *, count(ids) OVER (PARTITION BY account_id ORDER BY %[2]s ROWS UNBOUNDED PRECEDING) AS run FROM (
      SELECT account_id, %[3]s AS at, occurred_at, ingested_at, id, ids FROM s%[1]d
      UNION ALL
      SELECT e.account_id, e.occurred_at, e.occurred_at, e.ingested_at, e.id, NULL FROM account_events AS e
      WHERE e.account_id IN (SELECT account_id FROM s%[1]d) AND %[4]s) AS together) AS runs) AS pairs
  WHERE ids IS NULL AND run > 0%[5]s`, s.states, order, at, s.event(step), within))
}

// without keeps what had no event of the step for its period, which begins so long after the state's event.
func (s *statement) without(step *step, begin time.Duration) {
	from := "(e.occurred_at, e.ingested_at, e.id) > (s.occurred_at, s.ingested_at, s.id)\n    AND e.occurred_at >= s.occurred_at"
	if begin > 0 {
		from = "e.occurred_at >= s.occurred_at + " + s.interval(begin)
	}
	s.state(fmt.Sprintf("SELECT * FROM s%d AS s WHERE NOT EXISTS (SELECT FROM account_events AS e WHERE e.account_id = s.account_id AND %s\n"+
		"    AND e.occurred_at < s.occurred_at + %s AND %s)", s.states, from, s.interval(begin+step.gap), s.event(step)))
}

// event gives the condition that an event e is one of the step.
func (s *statement) event(step *step) string {
	types := make([]string, len(step.types))
	for i, t := range step.types {
		if strings.Contains(t.name, "*") {
			like := strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`, "*", "%").Replace(t.name)
			types[i] = fmt.Sprintf("e.event_type = ANY (ARRAY(SELECT event_type FROM type_names WHERE event_type LIKE %s))", s.arg(like, "text"))
		} else {
			types[i] = "e.event_type = " + s.arg(t.name, "text")
		}
		if t.source != "" {
			types[i] = fmt.Sprintf("(%s AND e.source = %s)", types[i], s.arg(t.source, "text"))
		}
	}
	terms := []string{"(" + strings.Join(types, " OR ") + ")"}
	if !s.since.IsZero() {
		terms = append(terms, "e.occurred_at >= "+s.arg(s.since, "timestamptz"))
	}
	for _, c := range step.where {
		terms = append(terms, s.condition(c))
	}
	return strings.Join(terms, " AND ")
}

// operators are the only words of a pattern that choose text of the statement.
var operators = map[string]string{"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

// condition is false or NULL where the field is not there, or is of another type. What vendors send as a text that is a
// number counts as one.
func (s *statement) condition(c condition) string {
	field := fmt.Sprintf("(e.payload #> %s)", s.arg(c.path, "text[]"))
	op := operators[c.op]
	switch l := c.literal.(type) {
	case number:
		value := field[:len(field)-1] + " #>> '{}')"
		return fmt.Sprintf("CASE WHEN jsonb_typeof%s IN ('number', 'string') AND %s ~ '^-?[0-9]{1,30}(\\.[0-9]{1,30})?$' THEN %s::numeric %s %s::numeric ELSE false END",
			field, value, value, op, s.arg(string(l), "text"))
	case string:
		value := field[:len(field)-1] + " #>> '{}')"
		return fmt.Sprintf(`CASE WHEN jsonb_typeof%s = 'string' THEN %s COLLATE "C" %s %s ELSE false END`, field, value, op, s.arg(l, "text"))
	case bool:
		return fmt.Sprintf("%s %s to_jsonb(%s)", field, op, s.arg(l, "boolean"))
	default:
		return fmt.Sprintf("jsonb_typeof%s %s 'null'", field, op)
	}
}
