package stage

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// grown are the statements that give a database a past of $1 events about the accounts that it has. Most are about few of
// them; they occurred in the last two years, and were received in the order of their ids, the last of them now.
const grownEvents = `
INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
SELECT a.ids[1 + floor(array_length(a.ids, 1) * power(r.account, 2))::int], t.type, split_part(t.type, ':', 1), 'evt_bench_' || n,
  jsonb_build_object('id', 'evt_bench_' || n, 'subject', 'Invoice ' || n || ' ' || w.words[1 + n % 22] || ' ' || w.words[1 + n / 22 % 22],
    'data', jsonb_build_object('object', jsonb_build_object('id', 'in_' || md5(n::text), 'amount', n % 100000, 'currency', CASE WHEN n % 5 = 0 THEN 'eur' ELSE 'usd' END,
      'status', CASE n % 7 WHEN 0 THEN 'open' ELSE 'paid' END, 'number', n, 'email', 'kim+' || n % 5000 || '@acme.example', 'rare', CASE WHEN n % 100000 = 0 THEN 'yes' END))),
  now() - interval '730 days' * (($2 - n)::float8 / $2), now() - interval '730 days' * (($2 - n)::float8 / $2)
FROM generate_series($1::bigint, $1 + $3 - 1) AS n
CROSS JOIN LATERAL (SELECT ('x' || substr(md5('account' || n), 1, 8))::bit(32)::bigint / 4294967296.0 AS account) AS r
CROSS JOIN (SELECT array_agg(id ORDER BY id) AS ids FROM accounts) AS a
CROSS JOIN (SELECT ARRAY['stripe:invoice.paid', 'stripe:charge.failed', 'hubspot:contact.updated', 'zendesk:ticket.replied', 'intercom:conversation.replied', 'stripe:charge.dispute.created'] AS types) AS y
CROSS JOIN LATERAL (SELECT y.types[1 + CASE WHEN n % 1000 = 0 THEN 5 ELSE n % 5 END] AS type) AS t
CROSS JOIN (SELECT ARRAY['renewal', 'invoice', 'seat', 'login', 'export', 'pricing', 'upgrade', 'contract', 'webhook', 'outage', 'refund',
  'trial', 'onboarding', 'quota', 'dashboard', 'training', 'discount', 'migration', 'security', 'latency', 'report', 'license'] AS words) AS w`

const (
	// growStep is how many rows are written by one statement.
	growStep = 100_000
	// grownQuarantine is how many records wait.
	grownQuarantine = 20_000
)

// runGrow gives a database Records events. The indexes that only readers need are made at the end, and the rows go
// without durability, because they are not what is measured.
func runGrow(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	config, err := pgxpool.ParseConfig(job.Postgres)
	if err != nil {
		return r, fmt.Errorf("reading the database's address: %w", err)
	}
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	config.ConnConfig.RuntimeParams["maintenance_work_mem"] = "512MB"
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return r, fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer pool.Close()
	var later []string
	rows, err := pool.Query(ctx, `SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'account_events' AND indexdef NOT LIKE '%UNIQUE%' AND schemaname = current_schema()`)
	if err != nil {
		return r, fmt.Errorf("reading the indexes: %w", err)
	}
	var drop []string
	for rows.Next() {
		var name, definition string
		if err := rows.Scan(&name, &definition); err != nil {
			return r, fmt.Errorf("reading the indexes: %w", err)
		}
		drop, later = append(drop, `DROP INDEX "`+name+`"`), append(later, definition)
	}
	if err := rows.Err(); err != nil {
		return r, fmt.Errorf("reading the indexes: %w", err)
	}
	for _, statement := range drop {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return r, fmt.Errorf("growing the table: %w", err)
		}
	}
	for from := 0; from < job.Records; from += growStep {
		if _, err := pool.Exec(ctx, grownEvents, from, job.Records, min(growStep, job.Records-from)); err != nil {
			return r, fmt.Errorf("growing the table: %w", err)
		}
	}
	for _, statement := range append(later, "VACUUM ANALYZE account_events") {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return r, fmt.Errorf("making the indexes: %w", err)
		}
	}
	feed := job
	feed.Records = min(grownQuarantine, job.Records)
	return runFeed(ctx, feed, nil)
}
