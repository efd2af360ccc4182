package sink_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// writerRole makes a role with the rights that the sink needs, and no more, and
// gives a connection of its owner's.
func writerRole(t *testing.T, url string) (role string, admin *pgx.Conn) {
	t.Helper()
	admin, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	role = fmt.Sprintf("writer_%d", time.Now().UnixNano())
	_, err = admin.Exec(t.Context(), formatted(`CREATE ROLE ROLE LOGIN;
		GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ROLE;
		GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ROLE`, role))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = admin.Exec(context.Background(), formatted("ROLLBACK; DROP OWNED BY ROLE; DROP ROLE ROLE", role))
		_ = admin.Close(context.Background())
	})
	return role, admin
}

// formatted puts a role into statements.
func formatted(sql, role string) string {
	return strings.NewReplacer("ROLE ROLE", "ROLE "+role, " TO ROLE", " TO "+role, " FROM ROLE", " FROM "+role, " BY ROLE", " BY "+role, "'ROLE'", "'"+role+"'").Replace(sql)
}

// What Postgres refuses of one row is dead-lettered with its SQLSTATE, and the
// others of the batch are stored: the table takes rows.
func TestARowThatPostgresRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ setup, says string }{
		"ATriggerRaises": {`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF NEW.event_type = 'refused' THEN RAISE 'not this one'; END IF; RETURN NEW; END $$;
			CREATE TRIGGER refuse BEFORE INSERT ON account_events FOR EACH ROW EXECUTE FUNCTION refuse()`, "SQLSTATE P0001"},
		"ATriggerFails": {`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF NEW.event_type = 'refused' THEN PERFORM * FROM not_there; END IF; RETURN NEW; END $$;
			CREATE TRIGGER refuse BEFORE INSERT ON account_events FOR EACH ROW EXECUTE FUNCTION refuse()`, "SQLSTATE 42P01"},
		"ATriggerDropsIt": {`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF NEW.event_type = 'refused' THEN RETURN NULL; END IF; RETURN NEW; END $$;
			CREATE TRIGGER refuse BEFORE INSERT ON account_events FOR EACH ROW EXECUTE FUNCTION refuse()`, "kept 1 of 1 rows neither new nor as they were"},
		"RowSecurity": {`ALTER TABLE account_events ENABLE ROW LEVEL SECURITY; ALTER TABLE account_events FORCE ROW LEVEL SECURITY;
			CREATE POLICY reading ON account_events FOR SELECT USING (true);
			CREATE POLICY writing ON account_events FOR INSERT WITH CHECK (event_type <> 'refused')`, "SQLSTATE 42501"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgrestest.URL(t)
			f := startRefusing(t, url)
			f.exec(t, tt.setup)
			list := events(0, 200)
			list[77].Type = "refused"
			f.publish(t, list)
			f.requireRows(t, 199)
			f.requireLetters(t, 1)
			letter := f.letters.list()[0]
			require.Equal(t, "evt_000077", letter.SourceEventID)
			require.Contains(t, letter.Error, tt.says)
			require.Eventually(t, f.ready, patience, 10*time.Millisecond)
			// Alone it is told by a row that was there before.
			late := events(300, 301)
			late[0].Type = "refused"
			f.publish(t, late)
			f.requireLetters(t, 2)
			require.Eventually(t, func() bool { return f.committed(t) == 201 }, patience, 10*time.Millisecond)
			require.Zero(t, f.value(t, "throughline_sink_held_partitions"))
			require.Equal(t, 199.0, f.value(t, "throughline_sink_rows_total", "result=inserted"))
			require.Zero(t, f.value(t, "throughline_sink_rows_total", "result=already_present"), "what is nowhere is not present")
			f.bounded()
		})
	}
}

// startRefusing is startFaulty with a role that is no superuser, whom row security
// would not bind.
func startRefusing(t *testing.T, url string) *faulty {
	t.Helper()
	role, _ := writerRole(t, url)
	return startFaulty(t, url, postgrestest.WithUser(t, url, role), func(o *options) { o.tuning.BatchTimeout = 30 * time.Second })
}

// What Postgres refuses of all rows holds them, and says what a person can do.
func TestATableThatRefusesAllRows(t *testing.T) {
	t.Parallel()
	const everyRow = `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON account_events FOR EACH ROW EXECUTE FUNCTION refuse()`
	const dropTrigger = "DROP TRIGGER refuse ON account_events"
	tests := map[string]struct {
		setup, undo string
		says        []string
	}{
		"ATriggerRaises":   {fmt.Sprintf(everyRow, "RAISE 'maintenance'"), dropTrigger, []string{"P0001", "trigger"}},
		"ATriggerDropsAll": {fmt.Sprintf(everyRow, "RETURN NULL"), dropTrigger, []string{"refused", "takes rows away"}},
		"RowSecurity": {`ALTER TABLE account_events ENABLE ROW LEVEL SECURITY; CREATE POLICY reading ON account_events FOR SELECT USING (true)`,
			"ALTER TABLE account_events DISABLE ROW LEVEL SECURITY", []string{"42501", "row security"}},
		"TheConstraintIsGone": {"ALTER TABLE account_events DROP CONSTRAINT account_events_source_source_event_id_key",
			"ALTER TABLE account_events ADD UNIQUE (source, source_event_id)", []string{"42P10", "throughline migrate"}},
		"NoRight": {"REVOKE INSERT ON account_events FROM ROLE", "GRANT INSERT ON account_events TO ROLE", []string{"42501", "grant"}},
	}
	for name, tt := range tests {
		for _, before := range []int{0, 1} { // rows that were stored before, and prove nothing else
			t.Run(fmt.Sprintf("%s/%d", name, before), func(t *testing.T) {
				t.Parallel()
				url := postgrestest.URL(t)
				f := startRefusing(t, url)
				role := "" // the sink's
				require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT usename FROM pg_stat_activity WHERE application_name = 'throughline-sink' AND datname = current_database() LIMIT 1").Scan(&role))
				f.send(before)
				f.stored()
				f.exec(t, formatted(tt.setup, role))
				f.send(60)
				f.says(tt.says...)
				require.Equal(t, int64(before), f.committed(t))
				f.exec(t, formatted(tt.undo, role))
				f.stored()
				f.requireLetters(t, 0)
			})
		}
	}
}

// A batch that takes longer than the server lets it is halved, and what went
// through is not tried again.
func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	f := startFaulty(t, url, withQuery(t, url, "statement_timeout", "400ms"), func(o *options) {
		o.tuning.BatchTimeout, o.tuning.Batch.Records = 30*time.Second, 300
	})
	f.send(1)
	f.stored()
	// 5 ms a row: 300 take 1.5 s.
	f.exec(t, `CREATE SEQUENCE rows_tried;
		CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('rows_tried'), pg_sleep(0.005); RETURN NEW; END $$;
		CREATE TRIGGER slow BEFORE INSERT ON account_events FOR EACH ROW EXECUTE FUNCTION slow()`)
	f.send(300)
	f.requireRows(t, 301)
	var tried int
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT last_value FROM rows_tried").Scan(&tried))
	require.Less(t, tried, 4*300, "not the same rows again and again")
	f.exec(t, "DROP TRIGGER slow ON account_events")
	f.stored()
	f.requireLetters(t, 0)
}

// One row waits for a lock that somebody holds for long: its partition is held,
// the others go on.
func TestARowThatWaitsForALock(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	f := startFaulty(t, url, withQuery(t, url, "statement_timeout", "300ms"), func(o *options) { o.tuning.BatchTimeout = 30 * time.Second })
	f.send(1)
	f.stored()
	holder, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	locked := events(10, 11)[0]
	_, err = holder.Exec(t.Context(), `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		VALUES ($1, 'a', $2, $3, '{}', now(), now())`, acme, locked.Source, locked.SourceEventID)
	require.NoError(t, err)
	f.publishTo(t, f.to(t, 0, events(1, 30)...)...)
	f.publishTo(t, f.to(t, 1, events(30, 60)...)...)
	f.says("57014", "pg_blocking_pids()")
	require.Eventually(t, func() bool { return f.value(t, "throughline_sink_held_partitions") == 1 && f.rows(t) >= 31 }, patience, 10*time.Millisecond)
	f.publishTo(t, f.to(t, 1, events(60, 70)...)...)
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT count(*) FROM account_events WHERE source_event_id >= 'evt_000060'").Scan(&n))
		return n == 10
	}, patience, 10*time.Millisecond)
	require.NoError(t, holder.Rollback(t.Context()))
	f.sent = 70
	f.stored()
	f.requireLetters(t, 0)
}
