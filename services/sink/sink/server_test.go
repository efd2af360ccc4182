package sink_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// A server that cannot take what it would take: the sink waits, says what a person
// can do, and goes on by itself when that is done.
func TestAServerThatCannot(t *testing.T) {
	t.Parallel()
	const full = `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			RAISE 'could not extend file "base/1/2": No space left on device' USING ERRCODE = 'disk_full'; END $$;
		CREATE TRIGGER full_disk BEFORE INSERT ON account_events FOR EACH ROW EXECUTE FUNCTION full_disk()`
	tests := map[string]struct {
		parameter, value string // of the sink's address
		setup, undo      string
		says             []string
	}{
		"TooManyConnections": {"", "", `ALTER ROLE ROLE CONNECTION LIMIT 0; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ROLE'`,
			"ALTER ROLE ROLE CONNECTION LIMIT -1", []string{"53300", "raise the server's max_connections"}},
		"ADiskThatIsFull":  {"", "", full, "DROP TRIGGER full_disk ON account_events", []string{"53100", "make room on the server's disk"}},
		"ALock":            {"", "", "BEGIN; LOCK TABLE account_events", "ROLLBACK", []string{"no answer within 1s", "pg_blocking_pids()"}},
		"ALockWithTimeout": {"lock_timeout", "100ms", "BEGIN; LOCK TABLE account_events", "ROLLBACK", []string{"55P03", "holds a lock on the table"}},
		"AnIdleTransaction": {"", "", "BEGIN; ALTER TABLE account_events ADD COLUMN forgotten INT", "ROLLBACK",
			[]string{"no answer within 1s", "pg_stat_activity"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgrestest.URL(t)
			role, admin := writerRole(t, url)
			address := postgrestest.WithUser(t, url, role)
			if tt.parameter != "" {
				address = withQuery(t, address, tt.parameter, tt.value)
			}
			f := startFaulty(t, url, address)
			f.send(10)
			f.stored()
			// Through one connection, so that its transaction stays open.
			_, err := admin.Exec(t.Context(), formatted(tt.setup, role))
			require.NoError(t, err)
			f.send(60)
			f.says(tt.says...)
			require.Equal(t, int64(10), f.committed(t))
			_, err = admin.Exec(t.Context(), formatted(tt.undo, role))
			require.NoError(t, err)
			f.stored()
			f.requireLetters(t, 0)
			require.Equal(t, 70.0, f.value(t, "throughline_sink_rows_total", "result=inserted"), "each once")
		})
	}
}

// A server that crashes and comes back.
func TestAServerThatCrashes(t *testing.T) {
	t.Parallel()
	node := postgrestest.NewNode(t)
	f := startFaulty(t, node.URL(), node.URL())
	f.send(50)
	f.stored()
	node.Crash()
	f.send(50)
	f.says("Postgres at 127.0.0.1")
	node.Start()
	f.onNode(node)
	f.send(50)
	f.stored()
	f.requireLetters(t, 0)
}
