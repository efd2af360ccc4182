package pattern

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// DefaultLimit is how long a statement may take where nobody says otherwise.
const DefaultLimit = 30 * time.Second

// Find gives the accounts whose timelines the pattern matches, those with the newest match first, each with that match.
// A statement that takes longer than limit ends as Transient, with advice. Errors of the database are marked by
// postgres.Classify.
func Find(ctx context.Context, pool *pgxpool.Pool, limit time.Duration, p *Pattern, q Query) (api.PatternMatches, error) {
	found := api.PatternMatches{Pattern: p.String(), Items: []api.PatternMatch{}}
	numbers, _ := p.Titles()
	err := ask(ctx, pool, limit, p.Statement(q), func(rows pgx.Rows) error {
		var m api.PatternMatch
		var until *time.Time
		var ids []int64
		var sources, types []string
		var times []time.Time
		if err := rows.Scan(&m.AccountID, &m.AccountName, &m.Matches, &m.ReachedAt, &until, &found.Accounts, &ids, &sources, &types, &times); err != nil {
			return err
		}
		m.ReachedAt = m.ReachedAt.UTC()
		if until != nil {
			m.OpenUntil = until.UTC()
		}
		m.Steps = make([]api.PatternStep, 0, len(ids))
		for i, id := range ids {
			m.Steps = append(m.Steps, api.PatternStep{Step: numbers[i], EventID: id, Source: sources[i], EventType: types[i], OccurredAt: times[i].UTC()})
		}
		found.Items = append(found.Items, m)
		return nil
	})
	return found, err
}

// Months counts the pattern's matches by the month in which they were complete, the newest first. A pattern with now is
// Permanent, Malformed. Errors are otherwise those of Find.
func Months(ctx context.Context, pool *pgxpool.Pool, limit time.Duration, p *Pattern, q Query) ([]api.PatternMonth, error) {
	if p.now {
		return nil, fault.Permanent(fault.Malformed, fmt.Errorf("a month counts what is complete: leave now out"))
	}
	months := []api.PatternMonth{}
	err := ask(ctx, pool, limit, p.Months(q), func(rows pgx.Rows) error {
		var m api.PatternMonth
		err := rows.Scan(&m.Month, &m.Matches, &m.Accounts)
		months = append(months, m)
		return err
	})
	return months, err
}

// Explain gives the statement, its parameters, and Postgres' plan for it; nothing is looked for.
func Explain(ctx context.Context, pool *pgxpool.Pool, limit time.Duration, p *Pattern, s Statement) (api.PatternPlan, error) {
	plan := api.PatternPlan{Pattern: p.String(), SQL: s.SQL, Parameters: make([]string, len(s.Args))}
	for i, value := range s.Args {
		plan.Parameters[i] = shown(value)
	}
	err := ask(ctx, pool, limit, Statement{SQL: "EXPLAIN " + s.SQL, Args: s.Args}, func(rows pgx.Rows) error {
		var line string
		err := rows.Scan(&line)
		plan.Plan = append(plan.Plan, line)
		return err
	})
	return plan, err
}

func shown(value any) string {
	switch v := value.(type) {
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case string, []string, uuid.UUID:
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(value)
}

func ask(ctx context.Context, pool *pgxpool.Pool, limit time.Duration, s Statement, each func(pgx.Rows) error) error {
	err := postgres.Reading(ctx, pool, limit, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, s.SQL, s.Args...)
		if err == nil {
			defer rows.Close()
			for rows.Next() && err == nil {
				err = each(rows)
			}
			if err == nil {
				err = rows.Err()
			}
		}
		if err != nil {
			return postgres.Classify(fmt.Errorf("looking for a pattern: %w", err))
		}
		return nil
	})
	if postgres.TimedOut(err) && ctx.Err() == nil {
		return fault.Advise(err, fmt.Sprintf("it took longer than %s: ask about less time, or for event types without a wildcard", limit))
	}
	return err
}
