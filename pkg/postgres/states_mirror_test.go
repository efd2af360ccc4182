package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// What the quarantine is searched by follows its records, whoever writes them: those that were there, and what programs
// write that do not know of it.
func TestTheQuarantinesStatesFollowItsRecords(t *testing.T) {
	t.Parallel()
	config, err := pgxpool.ParseConfig(postgrestest.EmptyURL(t))
	require.NoError(t, err)
	config.MaxConns = 1 // its own statistics are its own to flush
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	exec := func(sql string) {
		t.Helper()
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	require.NoError(t, migrateTo(t, pool, 22))
	const add = `INSERT INTO quarantine (dedup_key, reason, source, topic, partition, "offset", raw, status, status_by, reference_keys)
		SELECT 'event:' || n, 'unresolved_account', 'stripe', 'raw.stripe', 0, n, '{}', (ARRAY['open', 'replaying', 'resolved', 'discarded'])[n % 4 + 1], 'feed', ARRAY['stripe:customer:cus_' || n]
		FROM generate_series(1, 40) AS n `
	exec(add)
	require.NoError(t, postgres.Migrate(t.Context(), pool, nil))

	var rows int
	follow := func(want int) {
		t.Helper()
		var wrong int
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM quarantine_states), count(*) FROM quarantine q FULL JOIN quarantine_states s ON s.id = q.id
			WHERE (q.status, q.reason, q.source, q.last_seen, q.reference_keys) IS DISTINCT FROM (s.status, s.reason, s.source, s.last_seen, s.reference_keys)`).Scan(&rows, &wrong))
		require.Equal(t, []int{want, 0}, []int{rows, wrong})
	}
	follow(40)
	exec("UPDATE quarantine SET status = 'replaying', status_at = now() WHERE status = 'open'")
	follow(40)
	exec("WITH a AS (UPDATE quarantine SET status = 'open', reference_keys = '{}' WHERE id = 1) UPDATE quarantine SET status = 'resolved', last_seen = now() WHERE id = 2")
	follow(40)
	exec(add + "ON CONFLICT (dedup_key) DO NOTHING")
	exec(`INSERT INTO quarantine AS q (dedup_key, reason, source, topic, partition, "offset", raw, status_by) SELECT 'event:' || n, 'oversized', 'zendesk', 'raw.zendesk', 0, n, '{}', 'feed' FROM generate_series(35, 44) AS n
		ON CONFLICT (dedup_key) DO UPDATE SET reason = excluded.reason, source = excluded.source, status = 'replaying'`)
	follow(44)
	exec("DELETE FROM quarantine WHERE id % 2 = 0")
	follow(rows - 22)
	exec("TRUNCATE quarantine CASCADE")
	follow(0)
}
