package learn

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// Progress is how learning from one source goes.
type Progress struct {
	Source string
	// References counts what waiting events refer to, by state.
	References map[State]int64
	// Calls and Answers are those of the vendor's API so far.
	Calls, Answers int64
	AskedAt        time.Time // the vendor's last answer; zero: none yet
	// FailingSince, Error and RetryAt say what keeps the vendor from being asked; zero: nothing.
	FailingSince time.Time
	Error        string
	RetryAt      time.Time
}

// Status gives how learning goes, by source.
func Status(ctx context.Context, pool postgres.DB) ([]Progress, error) {
	rows, err := pool.Query(ctx, `WITH counts AS (SELECT source, jsonb_object_agg(state, n) AS states FROM (
			SELECT source, state, count(*) AS n FROM learned_references GROUP BY source, state) AS c GROUP BY source)
		SELECT coalesce(c.source, s.source), coalesce(c.states, '{}'), coalesce(s.calls, 0), coalesce(s.answers, 0), s.asked_at, s.failing_since, coalesce(s.error, ''), s.retry_at
		FROM counts c FULL JOIN learning_sources s ON s.source = c.source ORDER BY 1`)
	if err != nil {
		return nil, broken("reading how learning goes", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Progress, error) {
		var p Progress
		var asked, failing, retry *time.Time
		err := row.Scan(&p.Source, &p.References, &p.Calls, &p.Answers, &asked, &failing, &p.Error, &retry)
		for into, t := range map[*time.Time]*time.Time{&p.AskedAt: asked, &p.FailingSince: failing, &p.RetryAt: retry} {
			if t != nil {
				*into = *t
			}
		}
		return p, err
	})
	return list, broken("reading how learning goes", err)
}

// maxError bounds what is kept of an error.
const maxError = 1000

// failed keeps that a vendor cannot be asked.
func (s store) failed(ctx context.Context, name string, problem error, retryIn time.Duration) error {
	text := []rune(problem.Error())
	_, err := s.pool.Exec(ctx, `INSERT INTO learning_sources AS l (source, failing_since, error, retry_at) VALUES ($1, now(), $2, now() + $3::interval)
		ON CONFLICT (source) DO UPDATE SET failing_since = coalesce(l.failing_since, now()), error = excluded.error, retry_at = excluded.retry_at`,
		name, string(text[:min(len(text), maxError)]), retryIn)
	return broken("keeping that a vendor fails", err)
}

// succeeded keeps that a vendor has answered.
func (s store) succeeded(ctx context.Context, d Done) error {
	_, err := s.pool.Exec(ctx, `INSERT INTO learning_sources AS l (source, calls, answers, asked_at) VALUES ($1, $2, $3, now())
		ON CONFLICT (source) DO UPDATE SET calls = l.calls + $2, answers = l.answers + $3, asked_at = now(), failing_since = NULL, error = '', retry_at = NULL`,
		d.Source, d.Calls, d.Answers)
	return broken("keeping that a vendor has answered", err)
}

// tenants gives the tenants of a source's references, at most three.
func (s store) tenants(ctx context.Context, name string) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT DISTINCT tenant FROM learned_references WHERE source = $1 AND tenant <> '' ORDER BY 1 LIMIT 3`, name)
	if err != nil {
		return nil, broken("reading the tenants of references", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return list, broken("reading the tenants of references", err)
}

const (
	// keepFor is how long something is remembered that no event has waited for since.
	keepFor = 30 * 24 * time.Hour
	// tidyAtOnce bounds one pass.
	tidyAtOnce = 5000
)

// Tidy forgets what nothing has waited for in a month, asks again about what has an
// answer without an account for a day, and looks again at what was linked and is not any
// more. It gives 0: what it leaves, the next pass finds.
func (l *Learner) Tidy(ctx context.Context) (int, error) {
	for _, step := range []struct{ doing, statement string }{
		{"forgetting references", `DELETE FROM learned_references WHERE id = ANY (ARRAY (SELECT id FROM learned_references
			WHERE seen_at < now() - $1::interval ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED))`},
		{"asking again", `UPDATE learned_references SET state = 'new', due_at = now() WHERE id = ANY (ARRAY (SELECT id FROM learned_references
			WHERE state IN ('answered', 'conflict') AND asked_at < now() - interval '1 day' AND seen_at > now() - interval '1 day'
			AND $1::interval IS NOT NULL ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED))`},
		{"looking again at links", `UPDATE learned_references SET state = 'new', due_at = now() WHERE id = ANY (ARRAY (SELECT id FROM learned_references l
			WHERE state = 'linked' AND $1::interval IS NOT NULL AND NOT EXISTS (SELECT FROM account_links k
				WHERE k.source = l.source AND k.kind = l.kind AND k.external_id = l.external_id AND k.tenant IN (l.tenant, ''))
			ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED))`},
	} {
		if _, err := l.o.Pool.Exec(ctx, step.statement, keepFor, tidyAtOnce); err != nil {
			return 0, broken(step.doing, err)
		}
	}
	return 0, nil
}
