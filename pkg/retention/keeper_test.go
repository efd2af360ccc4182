package retention

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

const day = 24 * time.Hour

// world is a database with rows of all ages.
type world struct {
	t      *testing.T
	owner  *pgxpool.Pool
	pool   *pgxpool.Pool
	keeper *Keeper
}

// newWorld makes one. asRole: its Keeper has the rights of its role and no others.
func newWorld(t *testing.T, asRole bool) *world {
	t.Helper()
	address := postgrestest.URL(t)
	open := func(url string) *pgxpool.Pool {
		pool, err := postgres.Open(t.Context(), postgres.Config{URL: settings.URL(url), MaxConns: 2}, "retention")
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		return pool
	}
	w := &world{t: t, owner: open(address)}
	if w.pool = w.owner; asRole {
		w.pool = open(postgrestest.Logins(t, address)[postgres.RoleRetention])
	}
	w.keeper = New(w.pool)
	w.keeper.batch = 3
	w.exec(`
		INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		SELECT '00000000-0000-0000-0000-000000000001', 'type.' || n % 3, 'stripe', 'evt_' || n, '{}', now() - CASE WHEN n <= 20 THEN interval '4 years' ELSE interval '1 year' END, now()
		FROM generate_series(1, 30) AS n;
		INSERT INTO account_event_origins (event_id, reference, rule, delivery, raw_topic, raw_partition, raw_offset, raw_index)
		SELECT id, '', '', '', '', 0, 0, -1 FROM account_events;

		INSERT INTO quarantine (id, dedup_key, reason, topic, partition, "offset", raw, status, first_seen, last_seen, status_by, status_at)
		SELECT row_number() OVER (), row_number() OVER (), 'malformed', 'raw.stripe', 0, 0, '', s.status, now() - interval '2 years', now() - s.seen, 'kim', now() - s.decided
		FROM (VALUES ('open', interval '2 years', interval '2 years'), ('replaying', '2 years', '2 years'), ('resolved', '2 years', '1 day'), ('resolved', '1 day', '2 years'),
			('resolved', '2 years', '2 years'), ('discarded', '2 years', '2 years')) AS s (status, seen, decided), generate_series(1, 4) AS i;
		INSERT INTO quarantine_decisions (quarantine_id, from_status, to_status, decided_by, decided_at) SELECT id, 'open', status, 'kim', status_at FROM quarantine WHERE status <> 'open';
		INSERT INTO quarantine_decisions (quarantine_ids, first_id, last_id, from_status, to_status, decided_by, decided_at, note)
		SELECT array_agg(id ORDER BY id), min(id), max(id), 'open', 'discarded', 'kim', now() - interval '2 years', 'all gone' FROM quarantine WHERE status = 'discarded';
		INSERT INTO quarantine_decisions (quarantine_ids, first_id, last_id, from_status, to_status, decided_by, decided_at, note)
		SELECT array_agg(id ORDER BY id), min(id), max(id), 'open', 'resolved', 'kim', now() - interval '2 years', 'some left' FROM quarantine WHERE status = 'resolved';

		INSERT INTO shape_findings (source, event_type, pulled, path, change, state, state_at, created_at)
		SELECT 'stripe', 'x', false, 'p' || n, 'new', CASE WHEN n % 2 = 0 THEN 'closed' ELSE 'open' END, now() - interval '2 years', now() - interval '3 years' FROM generate_series(1, 10) AS n;
		INSERT INTO drift_decisions (finding_id, state, by) SELECT id, state, 'kim' FROM shape_findings;

		INSERT INTO audit_log (at, who, role, action, target, result, via) SELECT now() - make_interval(days => 500 - 50 * n), 'kim', 'admin', 'link', 'x', 'done', 'cli' FROM generate_series(0, 9) AS n;
		INSERT INTO console_sessions (session_sha256, who, role, expires_at) SELECT sha256(n::text::bytea), 'kim', 'admin', now() + (n - 4) * interval '1 hour' FROM generate_series(0, 7) AS n`)
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.owner.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

// rows is how many rows each table that is deleted from has, and its followers.
func (w *world) rows() map[string]int {
	w.t.Helper()
	all := map[string]int{}
	for _, r := range (Settings{}).Rules() {
		for _, table := range append(r.Also, r.Table) {
			var n int
			require.NoError(w.t, w.owner.QueryRow(w.t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
			all[table] = n
		}
	}
	return all
}

func (w *world) texts(sql string) []string {
	w.t.Helper()
	rows, err := w.owner.Query(w.t.Context(), sql)
	require.NoError(w.t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(w.t, err)
	return all
}

func TestRetention(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	// What each setting takes away, one after the other, from what the ones before have left.
	for _, step := range []struct {
		name string
		s    Settings
		gone map[string]int
		due  int64 // as the plan says it, of the first table below that has any
	}{
		{"nothing is set: only sessions that are over", Settings{}, map[string]int{"console_sessions": 5, "audit_log": -2}, 5},
		{"and nothing comes of it again", Settings{}, nil, 0},
		{"the timeline, with its origins", Settings{Timeline: 3 * 365 * day}, map[string]int{"account_events": 20, "account_event_origins": 20, "audit_log": -2}, 20},
		{"closed records that nobody has seen or decided about lately", Settings{Quarantine: 365 * day}, map[string]int{"quarantine": 8, "quarantine_states": 8, "quarantine_decisions": 9, "audit_log": -2}, 8},
		{"closed findings", Settings{Findings: 365 * day}, map[string]int{"shape_findings": 5, "drift_decisions": 5, "audit_log": -2}, 5},
		{"the audit log", Settings{AuditLog: 180 * day}, map[string]int{"audit_log": 7 - 2}, 7},
	} {
		before := w.rows()
		plan, err := w.keeper.Plan(t.Context(), step.s)
		require.NoError(t, err, step.name)
		var due int64
		for _, d := range plan {
			due += d.Rows
		}
		require.Equal(t, step.due, due, step.name)
		require.Equal(t, before, w.rows(), "a plan changes nothing")
		done, err := w.keeper.Apply(t.Context(), step.s, "kim", nil)
		require.NoError(t, err, step.name)
		var deleted int64
		for _, d := range done {
			deleted += d.Rows
		}
		require.Equal(t, step.due, deleted, "%s: the plan is kept", step.name)
		for table, n := range w.rows() {
			require.Equal(t, step.gone[table], before[table]-n, "%s: rows gone from %s", step.name, table)
		}
	}
	require.Equal(t, []string{"open 4", "replaying 4", "resolved 8"}, w.texts("SELECT status || ' ' || count(*) FROM quarantine GROUP BY status ORDER BY status"))
	require.Equal(t, []string{"some left"}, w.texts("SELECT note FROM quarantine_decisions WHERE quarantine_ids IS NOT NULL"))
	require.Equal(t, []string{"open"}, w.texts("SELECT DISTINCT state FROM shape_findings"))
	require.Contains(t, w.texts("SELECT who || ' ' || role || ' ' || action || ' ' || target || ' ' || result FROM audit_log"), "kim retention endRetention 20 of account_events done")

	// The bound of the audit log holds for whoever has the role, whatever program they use.
	_, err := w.pool.Exec(t.Context(), "SELECT expire_audit_log(now() - interval '89 days', 10)")
	require.ErrorContains(t, err, "90 days at least")
	_, err = w.pool.Exec(t.Context(), "DELETE FROM audit_log WHERE id = 1")
	require.ErrorContains(t, err, "42501")
	_, err = w.pool.Exec(t.Context(), "SELECT payload FROM account_events")
	require.ErrorContains(t, err, "42501", "it reads no event")
}

// A run that is interrupted says what it deleted, and the next one goes on. What somebody else has locked is left to a later one.
func TestInterruptedAndLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	s := Settings{Timeline: 3 * 365 * day}
	ctx, cancel := context.WithCancel(t.Context())
	done, err := w.keeper.Apply(ctx, s, "kim", func(Done) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, int64(3), done[0].Rows)
	require.Equal(t, 27, w.rows()["account_events"])
	require.Equal(t, []string{"3 of account_events"}, w.texts("SELECT target FROM audit_log WHERE action = 'endRetention' AND result = 'failed'"))

	tx, err := w.owner.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT FROM account_events WHERE source_event_id = 'evt_20' FOR UPDATE")
	require.NoError(t, err)
	done, err = w.keeper.Apply(t.Context(), s, "kim", nil)
	require.NoError(t, err)
	require.Equal(t, int64(16), done[0].Rows, "all but the one that is locked")
	require.NoError(t, tx.Rollback(t.Context()))
	done, err = w.keeper.Apply(t.Context(), s, "kim", nil)
	require.NoError(t, err)
	require.Equal(t, int64(1), done[0].Rows)
	require.Equal(t, 10, w.rows()["account_events"])
}
