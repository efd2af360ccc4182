package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/pattern"
)

type findCommand struct {
	Pattern string        `arg:"" help:"What happened, in which order: 'charge.dispute.created, then subscription.deleted within 120 days'."`
	Since   since         `name:"since" default:"1y" help:"Only by events that occurred at or after: 1y, 90d, 2026-01-31, or all."`
	Now     bool          `name:"now" help:"The accounts on which all but the last step has happened, and the last still may."`
	ByMonth bool          `name:"by-month" help:"Count the matches by month instead of listing accounts."`
	Limit   int           `name:"limit" default:"100" help:"At most so many accounts or months, the newest; 1 to 10000."`
	Timeout time.Duration `name:"timeout" default:"30s" help:"How long the database may look."`
	Explain bool          `name:"explain" help:"Print the SQL, its parameters and the database's plan, and look for nothing."`
	outputFlags

	parsed *pattern.Pattern
}

// Help is kong's: what --help says beyond the summary.
func (*findCommand) Help() string {
	return "Steps are joined by then. A step is an event_type (charge.dispute.created, *.dispute.*), with a source before it or not (stripe charge.*), with a condition or not " +
		"(where payload.amount > 1000), and at most so long after the event before it (within 120 days); or a period in which something did not happen (30 days without conversation.*). " +
		"docs/operations/patterns.md has all of it, with examples."
}

func (*findCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *findCommand) Validate() error {
	var problems []error
	p, err := pattern.Parse(c.Pattern)
	if err == nil && c.Now {
		p, err = p.Begun()
	}
	if c.parsed = p; err != nil {
		problems = append(problems, err)
	} else if c.ByMonth && p.Now() {
		problems = append(problems, errors.New("--by-month counts what is complete, and now asks what is not"))
	}
	if c.Limit < 1 || c.Limit > pattern.MaxRows {
		problems = append(problems, fmt.Errorf("--limit should be 1 to %d, but is %d", pattern.MaxRows, c.Limit))
	}
	if c.Timeout < time.Millisecond || c.Timeout > time.Hour {
		problems = append(problems, fmt.Errorf("--timeout should be 1ms to 1h, but is %s", c.Timeout))
	}
	return errors.Join(problems...)
}

// Run is kong's.
func (c *findCommand) Run(ctx context.Context, s *session) error {
	now := s.now()
	from, err := c.Since.time(now)
	if err != nil {
		return usage("--since: %v", err)
	}
	q := pattern.Query{Now: now, Since: from, Limit: c.Limit}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		switch {
		case c.Explain:
			return c.explain(ctx, s, pool, q)
		case c.ByMonth:
			months, err := pattern.Months(ctx, pool, c.Timeout, c.parsed, q)
			if err != nil {
				return err
			}
			if len(months) == 0 && !c.JSON {
				c.footer(s, 0, 0)
			}
			return list(s, c.JSON, months, []column[api.PatternMonth]{
				{title: "month", text: func(m api.PatternMonth) string { return m.Month }},
				{title: "matches", text: func(m api.PatternMonth) string { return fmt.Sprint(m.Matches) }},
				{title: "accounts", text: func(m api.PatternMonth) string { return fmt.Sprint(m.Accounts) }},
			})
		}
		found, err := pattern.Find(ctx, pool, c.Timeout, c.parsed, q)
		if err != nil {
			return err
		}
		if err := list(s, c.JSON, found.Items, matchColumns(c.parsed)); err != nil {
			return err
		}
		if !c.JSON || found.Accounts > int64(len(found.Items)) {
			c.footer(s, len(found.Items), found.Accounts)
		}
		return nil
	})
}

func matchColumns(p *pattern.Pattern) []column[api.PatternMatch] {
	columns := []column[api.PatternMatch]{
		{title: "account", text: func(m api.PatternMatch) string {
			if m.AccountName == "" {
				return m.AccountID.String()
			}
			return m.AccountName
		}, wide: true},
		{title: "account id", text: func(m api.PatternMatch) string { return m.AccountID.String() }, leave: 1},
		{title: "matches", text: func(m api.PatternMatch) string { return fmt.Sprint(m.Matches) }, leave: 2},
	}
	_, titles := p.Titles()
	for i, title := range titles {
		columns = append(columns, column[api.PatternMatch]{title: title, text: func(m api.PatternMatch) string {
			if i >= len(m.Steps) {
				return "" // deleted meanwhile
			}
			return stamp(m.Steps[i].OccurredAt)
		}})
	}
	if p.Now() {
		columns = append(columns, column[api.PatternMatch]{title: "open until", text: func(m api.PatternMatch) string { return stamp(m.OpenUntil) }})
	}
	return columns
}

func (c *findCommand) footer(s *session, shown int, all int64) {
	verb := "match"
	if all == 1 {
		verb = "matches"
	}
	line := fmt.Sprintf("%s %s %s%s", plural(all, "account"), verb, c.parsed, c.Since.words(s.now()))
	if int64(shown) < all {
		line += fmt.Sprintf(", the newest %d shown (--limit)", shown)
	}
	if all == 0 {
		line += ": `throughline event-types` lists the vendors' event types"
		if c.Since != "all" {
			line += ", --since all looks further back"
		}
	}
	s.say("%s", line)
}

func (c *findCommand) explain(ctx context.Context, s *session, pool *pgxpool.Pool, q pattern.Query) error {
	statement := c.parsed.Statement(q)
	if c.ByMonth {
		statement = c.parsed.Months(q)
	}
	plan, err := pattern.Explain(ctx, pool, c.Timeout, c.parsed, statement)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(s, plan)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "-- %s\n%s\n\n", clean(plan.Pattern), plan.SQL)
	for i, value := range plan.Parameters {
		fmt.Fprintf(&b, "$%d = %s\n", i+1, clean(value))
	}
	fmt.Fprintln(&b)
	for _, line := range plan.Plan {
		fmt.Fprintln(&b, clean(line))
	}
	_, err = fmt.Fprint(s.Out, b.String())
	return err
}
