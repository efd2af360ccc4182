package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/throughline-dev/throughline/pkg/local/pgserver"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// TestBrokerOutage kills the only broker under load: each vendor is told to
// come again in the way that makes it, those who never come again are taken at
// their word and their events kept on disk, over a kill of the receiver too.
// Once the broker is back, all that was acknowledged arrives.
//
// The normalizer is stopped before, and started in the outage, because Apache
// Kafka 4.3.1 cannot end a transaction that was open when all replicas of a
// partition died: restarted, its coordinator meets partitions without a leader,
// takes them for deleted, and forgets the transaction's markers ("likely
// deleted already and hence can be skipped"). No reader gets past that.
// TestBrokerLoss has transactions under way.
func TestBrokerOutage(t *testing.T) {
	t.Parallel()
	kafka := streamtest.Kafka(t, 1)
	f := newFleet(t, kafka.Brokers(), "THROUGHLINE_PUBLISH_TIMEOUT=1s")
	f.startAll()
	l := startLoad(t, f.place, f.url(), newRand(t))
	f.works(l, "before the outage")

	f.normalizer.interrupt()
	f.transactionsEnded()
	kafka.Kill(0)
	f.answersOfAnOutage(l, "while the broker is dead")
	f.receiver.kill()
	f.receiver.start(stable)
	f.normalizer.start(stable)
	f.answersOfAnOutage(l, "after the receiver was killed in the outage")
	l.linkLater() // what it releases can be published only later
	kafka.Restart(0)
	f.works(l, "after the outage")
	l.end()
	l.compare()

	for _, v := range loadVendors() {
		for status := range l.answers[v.source] {
			// 0: a connection that broke when the receiver was killed.
			require.Contains(t, []int{0, 200, v.busy}, status, v.source)
		}
	}
}

// transactionsEnded waits until the coordinator has written all markers: who ends a transaction has its answer before.
func (f *fleet) transactionsEnded() {
	f.t.Helper()
	adm := kadm.NewClient(f.kafka)
	f.await("all transactions to be ended", func() (bool, string) {
		all, err := adm.ListTransactions(f.t.Context(), nil, []string{"Ongoing", "PrepareCommit", "PrepareAbort"})
		return err == nil && len(all) == 0, fmt.Sprint(all.TransactionalIDs(), err)
	})
}

// TestBrokerLoss kills each of three brokers in turn, in the middle of
// everybody's work: all goes on with the other two.
func TestBrokerLoss(t *testing.T) {
	t.Parallel()
	kafka := streamtest.Kafka(t, 3)
	f := newFleet(t, kafka.Brokers())
	f.startAll()
	l := startLoad(t, f.place, f.url(), newRand(t))
	f.works(l, "before the first loss")
	l.linkLater()
	for broker := range 3 {
		kafka.Kill(broker)
		f.works(l, fmt.Sprintf("without broker %d", broker))
		kafka.Restart(broker)
		f.works(l, fmt.Sprintf("with broker %d again", broker))
	}
	l.end()
	l.compare()
}

// answersOfAnOutage waits until each vendor has got, several times from now on,
// the answer that it should get while events cannot be published.
func (f *fleet) answersOfAnOutage(l *load, when string) {
	f.t.Helper()
	const times = 5
	expected := map[string]int{} // by source: the status
	before := map[string]int{}
	for _, v := range loadVendors() {
		expected[v.source] = v.busy
		if v.busy == 0 {
			expected[v.source] = 200
		}
		before[v.source] = l.answered(v.source, expected[v.source])
	}
	for source, status := range expected {
		f.await(fmt.Sprintf("%s to be answered %d %s", source, status, when), func() (bool, string) {
			return l.answered(source, status) >= before[source]+times, l.told()
		})
	}
}

// TestPostgresOutage crashes Postgres under load. Nobody who sends notices, and
// once it is back, all that was acknowledged arrives.
func TestPostgresOutage(t *testing.T) {
	t.Parallel()
	database := startPostgres(t)
	f := newFleetAt(t, newPlaceOn(t, streamtest.Kafka(t, 1).Brokers(), database.server.URL()))
	f.startAll()
	l := startLoad(t, f.place, f.url(), newRand(t))
	f.works(l, "before the outage")

	refused := l.refused.Load()
	database.crash()
	at := l.acked.Load() + 500
	f.await("the vendors to be served without Postgres", func() (bool, string) { return l.acked.Load() >= at, l.told() })
	require.Equal(t, -1, f.onTimelines(), "Postgres is away")
	require.Equal(t, refused, l.refused.Load(), "nobody is refused for want of Postgres")
	database.start()
	f.works(l, "after the outage")
	l.linkLater()
	l.end()
	l.compare()
}

// database is a Postgres of one test, with all its durability, that can crash.
type database struct {
	t      *testing.T
	dir    string
	port   int
	server *pgserver.Server
}

func startPostgres(t *testing.T) *database {
	t.Helper()
	// Not t.TempDir, which another user, that a server of root's runs as, cannot enter.
	dir, err := os.MkdirTemp("", "throughline-e2e-postgres-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	d := &database{t: t, dir: filepath.Join(dir, "data")}
	t.Cleanup(func() {
		if d.server != nil {
			require.NoError(t, d.server.Stop(context.Background()))
		}
		require.NoError(t, os.RemoveAll(dir))
	})
	d.start()
	pool, err := pgxpool.New(t.Context(), d.server.URL())
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, postgres.Migrate(t.Context(), pool, nil))
	return d
}

// start starts it on what is there, on the port that it had.
func (d *database) start() {
	d.t.Helper()
	var err error
	d.server, err = pgserver.Start(d.t.Context(), pgserver.Options{DataDir: d.dir, Port: d.port})
	require.NoError(d.t, err)
	d.port = d.server.Port()
}

// crash gives it no time at all to stop, so that it quits as in a crash: no
// checkpoint, connections cut, recovery at the next start.
func (d *database) crash() {
	d.t.Helper()
	now, cancel := context.WithCancel(d.t.Context())
	cancel()
	require.ErrorIs(d.t, d.server.Stop(now), context.Canceled)
	d.server = nil
}
