package sink_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// faulty is a sink on a database that a test does something to, by a pool of its
// own, as a process makes it, and what the sink says.
type faulty struct {
	*world
	*runningSink
	t     *testing.T
	log   *observer.ObservedLogs
	begun time.Time
	sent  int
}

// batchTimeout is short, so that these tests are.
const batchTimeout = time.Second

// startFaulty starts a sink that connects to url. The world's own pool, direct, is
// not touched by what happens to that.
func startFaulty(t *testing.T, direct, url string, change ...func(*options)) *faulty {
	t.Helper()
	watching, err := pgxpool.New(t.Context(), direct)
	require.NoError(t, err)
	t.Cleanup(watching.Close)
	f := &faulty{world: newWorldOn(t, watching), t: t, begun: time.Now()}
	core, log := observer.New(zapcore.InfoLevel)
	f.log = log
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: settings.URL(url), MaxConns: 5, PeerTimeout: 2 * time.Second}, "throughline-sink")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	f.runningSink = f.start(t, append([]func(*options){func(o *options) {
		o.deps.Pool = pool
		o.deps.Runtime = service.NewRuntime(service.Options{Name: "sink", Log: zap.New(core)})
		o.tuning.BatchTimeout, o.tuning.Batch.Wait = batchTimeout, 20*time.Millisecond
	}}, change...)...)
	return f
}

// send publishes n more events.
func (f *faulty) send(n int) {
	f.t.Helper()
	f.publish(f.t, events(f.sent, f.sent+n))
	f.sent += n
}

// stored waits until all events that were sent are on the timeline, each once,
// and the sink is ready.
func (f *faulty) stored() {
	f.t.Helper()
	f.requireRows(f.t, f.sent)
	require.Eventually(f.t, f.ready, patience, 10*time.Millisecond)
	f.bounded()
}

// says is reads, and sees that a line of the log does too.
func (f *faulty) says(parts ...string) {
	f.t.Helper()
	f.reads(parts...)
	require.Eventually(f.t, func() bool {
		for _, entry := range f.log.All() {
			if containsAll(fmt.Sprint(entry.Message, entry.ContextMap()), parts) {
				return true
			}
		}
		return false
	}, patience, 10*time.Millisecond, "no line of the log says %v", parts)
}

func containsAll(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

// reads waits until /readyz says of the sink, in its error or advice, each of
// these.
func (f *faulty) reads(parts ...string) {
	f.t.Helper()
	last := ""
	require.Eventually(f.t, func() bool {
		state, _ := servicetest.Component(f.runtime, "sink-0")
		last = state.Error + " | " + state.Advice
		return !state.Ready && containsAll(last, parts)
	}, patience, 10*time.Millisecond, "%v", parts)
	f.t.Logf("readiness: %s", last)
}

// bounded sees that the log has fewer than 100 lines a minute; 20 are for the
// beginning.
func (f *faulty) bounded() {
	f.t.Helper()
	most := 20 + int(100*time.Since(f.begun).Minutes())
	require.LessOrEqual(f.t, f.log.Len(), most, "lines of the log")
}

// A switchover: the server that the sink is on becomes read-only, then goes, and
// another takes writes. Then the first comes back as its standby, and they change
// once more.
func TestSwitchover(t *testing.T) {
	t.Parallel()
	first := postgrestest.NewNode(t)
	second := first.Standby()
	f := startFaulty(t, first.URL(), postgrestest.URLs(t, first, second), func(o *options) { o.tuning.BatchTimeout = 5 * time.Second })
	f.send(50)
	f.stored()

	// Its connections stay, and take no more writes.
	first.Exec("ALTER SYSTEM SET default_transaction_read_only = on")
	first.Exec("SELECT pg_reload_conf()")
	first.Await("SELECT current_setting('default_transaction_read_only') = 'on'")
	f.send(50)
	f.says("read-only", "name the primary")
	first.Await("SELECT replay_lsn = pg_current_wal_lsn() FROM pg_stat_replication")
	second.Promote()
	f.onNode(second)
	f.send(50)
	f.stored()

	first.Stop()
	first.Follow(second)
	second.Stop()
	f.send(50)
	f.reads("connect")
	first.Promote()
	f.onNode(first)
	f.stored()
	f.requireLetters(t, 0)
}

// onNode lets the world look at another node.
func (f *faulty) onNode(n *postgrestest.Node) {
	f.t.Helper()
	pool, err := pgxpool.New(f.t.Context(), n.URL())
	require.NoError(f.t, err)
	f.t.Cleanup(pool.Close)
	f.pool = pool
}

// The database's machine vanishes: no answer, and no end of the connection.
func TestAVanishedDatabase(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]int{"AtWork": 50, "BeforeTheFirstEvent": 0} { // then accounts are looked up
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgrestest.URL(t)
			network := postgrestest.NewProxy(t, url)
			f := startFaulty(t, url, network.URL())
			f.send(before)
			f.stored()
			network.Lose(true)
			f.send(50)
			f.says("took too long", "pg_stat_activity")
			network.Lose(false)
			f.send(50)
			f.stored()
			f.requireLetters(t, 0)
		})
	}
}

// Each answer takes two seconds. All goes on, slower, and counts as ready.
func TestASlowDatabase(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	network := postgrestest.NewProxy(t, url)
	f := startFaulty(t, url, network.URL(), func(o *options) { o.tuning.BatchTimeout = 30 * time.Second })
	f.send(50)
	f.stored()
	network.Delay(2 * time.Second)
	f.send(50)
	for f.rows(t) < f.sent {
		require.True(t, f.ready(), "it works")
	}
	network.Delay(0)
	f.stored()
}

// The backend that serves the sink is frozen in the middle of a transaction: pings
// are answered by others.
func TestAFrozenBackend(t *testing.T) {
	t.Parallel()
	node := postgrestest.NewNode(t)
	f := startFaulty(t, node.URL(), node.URL())
	f.send(50)
	f.stored()
	// It waits with rows inserted, so that all others wait for it.
	holder := lockTable(t, f.pool, "history_moves")
	f.send(50)
	var pid int
	require.Eventually(t, func() bool {
		return f.pool.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity WHERE application_name = 'throughline-sink' AND wait_event = 'relation'`).Scan(&pid) == nil
	}, patience, time.Millisecond)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	require.NoError(t, holder.Rollback(t.Context()))
	f.says("took too long", "pg_blocking_pids()")
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	f.stored()
	f.requireLetters(t, 0)
}

// lockTable locks a table until the transaction that it gives ends.
func lockTable(t *testing.T, pool *pgxpool.Pool, table string) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), "LOCK TABLE "+table)
	require.NoError(t, err)
	return tx
}

// withQuery gives a database's address with one more parameter.
func withQuery(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}
