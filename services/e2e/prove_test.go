//go:build prove

package e2e

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/local/network"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/prove"
)

var (
	minutesFlag = flag.Float64("minutes", 5, "how long faults are made, in minutes")
	faultsFlag  = flag.String("faults", "", "names of the faults to choose from, by commas, or parts of them; all when empty")
	tableFlag   = flag.String("table", "", "the page whose table of faults is replaced by this run's")
	dirFlag     = flag.String("dir", "", "where the ledger is kept; a temporary directory when empty")
	poolerFlag  = flag.String("pooler", "sink", "services, by commas, that reach Postgres by way of pgbouncer in transaction mode")
)

// prover is a run: the system on three brokers and on a primary with a synchronous standby, each behind a network that can
// be bad, vendors that send, people who link and unlink, and faults.
type prover struct {
	*fleet
	load     *load
	random   *rand.Rand
	kafka    *streamtest.Networked
	brokers  []*network.Proxy
	poolers  []*postgrestest.Bouncer
	clocks   *clocks
	spool    *disk // nil: this machine lets nobody mount
	disks    map[*postgrestest.Node]*disk
	primary  *postgrestest.Node
	standby  *postgrestest.Node
	database map[*postgrestest.Node]*network.Proxy
	registry *streamtest.UnreliableRegistry
	admins   map[*child]string // addresses
	ledger   *prove.Ledger
	watch    *watch
	out      io.Writer
}

// TestProve makes faults at random, one after the other, under load, and then looks for every event that was acknowledged.
// `make prove` runs it; -seed chooses the same faults again.
func TestProve(t *testing.T) {
	p := newProver(t)
	people := p.linkAndUnlink()
	results := p.makeFaults(time.Duration(*minutesFlag * float64(time.Minute)))
	people()
	p.print("all faults are over; the vendors finish")
	p.load.end()
	p.load.linkLater()
	verdict := p.verdict()
	made := 0
	for _, r := range results {
		made += r.Times
	}
	table := prove.Table(results)
	p.print("\n%s\n%s", table, verdict.Details())
	p.print("%s, %d faults, seed %d", verdict, made, *seedFlag)
	require.True(t, verdict.Kept(), verdict.Details())
	if *tableFlag != "" {
		require.NoError(t, prove.Replace(*tableFlag, fmt.Sprintf("%s, %d faults in %g minutes, seed %d.\n\n%s", verdict, made, *minutesFlag, *seedFlag, table)))
	}
}

func newProver(t *testing.T) *prover {
	t.Helper()
	if *seedFlag == 0 {
		*seedFlag = uint64(time.Now().UnixNano())
	}
	p := &prover{random: rand.New(rand.NewPCG(*seedFlag, 0)), admins: map[*child]string{}, database: map[*postgrestest.Node]*network.Proxy{}, out: os.Stdout,
		clocks: newClocks(t), disks: map[*postgrestest.Node]*disk{}}
	if p.clocks.library == "" {
		p.print("left out: Postgres's clock that jumps, because libfaketime is not there (apt-get install faketime)")
	}
	p.print("three Apache Kafka brokers, a Postgres with a standby, all services; seed %d", *seedFlag)
	p.kafka = streamtest.KafkaBehindProxies(t)
	p.brokers = p.kafka.ToBrokers
	p.primary = p.node(t, func(o postgrestest.NodeOptions) *postgrestest.Node { return postgrestest.NewNodeWith(t, o) })
	p.primary.Exec("ALTER SYSTEM SET synchronous_standby_names = '*'")
	p.standby = p.node(t, p.primary.StandbyWith)
	p.primary.Exec("SELECT pg_reload_conf()")
	services := p.proxyDatabase(t)

	p.registry = streamtest.Unreliable(t)
	at := newBarePlace(t, p.kafka.Brokers(), postgrestest.URLs(t, p.primary, p.standby))
	at.registry = p.registry.URL
	_, err := stream.ApplyTopics(t.Context(), at.kafka, stream.Names{}, at.sources.Names(), stream.TopicOptions{
		Partitions: 3, ReplicationFactor: -1, RawRetention: 24 * time.Hour, EventRetention: 24 * time.Hour,
	})
	require.NoError(t, err)
	at.tap = newTap(t, at)
	at.tap.garbage = true

	p.fleet = newFleetAt(t, at, "THROUGHLINE_POSTGRES_URL="+services, "THROUGHLINE_KAFKA_BROKERS="+strings.Join(p.kafka.Behind, ","), "THROUGHLINE_LOG_LEVEL=warn")
	p.throughPoolers(t, services)
	p.spool = p.disk(t, "the receiver's spool", p.fleet.spool, 256<<20)
	for _, c := range p.all() {
		p.admins[c] = freeAddress(t)
		c.env = append(c.env, "THROUGHLINE_ADMIN_ADDR="+p.admins[c], p.clocks.ofService(t, c.name))
	}
	dir := cmp.Or(*dirFlag, t.TempDir())
	ledger := filepath.Join(dir, fmt.Sprintf("ledger-%d.ndjson", *seedFlag))
	p.ledger, err = prove.Create(ledger)
	require.NoError(t, err)
	p.print("the ledger is %s", ledger)
	p.watch = newWatch(t, at.pool, p.admins)
	p.startAll()
	p.load = newLoad(t, at, p.url(), p.random)
	p.load.sent, p.load.took = p.sent, p.took
	p.load.start(rand.New(rand.NewPCG(p.random.Uint64(), 0)))
	p.recovers("at the start")
	return p
}

// proxyDatabase puts a proxy before each node, and gives the services' URL of both.
func (p *prover) proxyDatabase(t *testing.T) string {
	t.Helper()
	var hosts []string
	var services *url.URL
	for _, node := range []*postgrestest.Node{p.primary, p.standby} {
		var err error
		services, err = url.Parse(node.URL())
		require.NoError(t, err)
		proxy, err := network.Start("127.0.0.1:0", services.Host)
		require.NoError(t, err)
		t.Cleanup(proxy.Close)
		p.database[node] = proxy
		hosts = append(hosts, proxy.Addr())
	}
	services.Host = strings.Join(hosts, ",")
	return services.String()
}

// disk makes one for something; nil: this machine does not let us, which is said.
func (p *prover) disk(t *testing.T, of, dir string, size int64) *disk {
	t.Helper()
	d, err := newDisk(t, dir, size)
	if err != nil {
		p.print("left out: a full disk of %s: %v", of, err)
		return nil
	}
	return d
}

// node makes a Postgres on a disk of its own, with a clock that can jump, where this machine lets us.
func (p *prover) node(t *testing.T, begin func(postgrestest.NodeOptions) *postgrestest.Node) *postgrestest.Node {
	t.Helper()
	parent, err := os.MkdirTemp("", "throughline-disk-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(parent, 0o755)) // the server's user enters it
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(parent)) })
	d := p.disk(t, "a Postgres", parent, 4<<30)
	n := begin(postgrestest.NodeOptions{Parent: parent, Env: p.clocks.ofPostgres()})
	p.disks[n] = d
	return n
}

// throughPoolers lets services reach each node by way of a pooler. What needs a session goes past it.
func (p *prover) throughPoolers(t *testing.T, direct string) {
	t.Helper()
	names := strings.Split(*poolerFlag, ",")
	var hosts []string
	for _, node := range []*postgrestest.Node{p.primary, p.standby} {
		u, err := url.Parse(direct)
		require.NoError(t, err)
		u.Host = p.database[node].Addr()
		b := postgrestest.NewBouncer(t, u.String(), "transaction")
		p.poolers = append(p.poolers, b)
		u, err = url.Parse(b.URL())
		require.NoError(t, err)
		hosts = append(hosts, u.Host)
	}
	u, err := url.Parse(direct)
	require.NoError(t, err)
	u.Host = strings.Join(hosts, ",")
	for _, c := range p.all() {
		if slices.Contains(names, c.name) {
			c.env = append(c.env, "THROUGHLINE_POSTGRES_URL="+u.String(), "THROUGHLINE_POSTGRES_DIRECT_URL="+direct)
		}
	}
}

func (p *prover) print(format string, args ...any) {
	fmt.Fprintf(p.out, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// sent writes a delivery's events into the ledger, before it is posted.
func (p *prover) sent(d delivery) {
	digests := map[string]string{}
	for _, e := range eventsOf(d.Body) {
		digests[prove.MarkOf(e)] = prove.Digest(e)
	}
	events := make([]prove.Sent, len(d.marks))
	for i, mark := range d.marks {
		events[i] = prove.Sent{Mark: mark, Whose: d.whose[i], Digest: digests[mark]}
	}
	p.ledger.Send(events...)
}

func (p *prover) took(at time.Time, d delivery) {
	p.ledger.Ack(at, d.marks...)
	p.watch.acked(at, d.marks)
}

// places says where whose events belong in the end.
func (p *prover) places() map[string]uuid.UUID {
	places := map[string]uuid.UUID{later: p.load.later, never: prove.Quarantine}
	for i, account := range p.load.accounts {
		places[fmt.Sprint(i)] = account
	}
	return places
}

// linkAndUnlink lets a person link and unlink a customer again and again, until the returned function is called: what
// waits in quarantine is released, and what is on the timeline goes back.
func (p *prover) linkAndUnlink() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var person sync.WaitGroup
	random := rand.New(rand.NewPCG(p.random.Uint64(), 0))
	person.Go(func() {
		for n := 0; ; n++ {
			pause := time.NewTimer(time.Duration(2+random.IntN(6)) * time.Second)
			select {
			case <-ctx.Done():
				pause.Stop()
				return
			case <-pause.C:
			}
			if n%2 == 0 {
				p.tryThroughline("link", "--every-tenant", "stripe:customer:cus_E2Elater", p.load.later.String())
			} else {
				p.tryThroughline("unlink", "--every-tenant", "stripe:customer:cus_E2Elater", "--reason", "it was somebody else's")
			}
		}
	})
	return func() {
		cancel()
		person.Wait()
	}
}

// verdict waits until nothing is under way any more, and gives what is found then. What is still wrong after some time
// will not come right by itself.
func (p *prover) verdict() prove.Verdict {
	p.t.Helper()
	p.print("the vendors have finished; what is under way goes through")
	p.tap.settle(5 * patience)
	p.print("everything went through; each event is looked for")
	require.NoError(p.t, p.ledger.Close())
	promises, err := prove.Read(p.ledger.Name())
	require.NoError(p.t, err)
	check := func() prove.Verdict {
		verdict, err := prove.Check(p.t.Context(), p.pool, promises, p.places())
		require.NoError(p.t, err)
		return verdict
	}
	for n := range 60 {
		verdict := check()
		if verdict.Kept() {
			break
		}
		if n%10 == 9 {
			p.print("not yet: %s\n%s", verdict, verdict.Details())
		}
		p.hold(2 * time.Second)
	}
	p.tap.settle(patience)
	return check()
}

// hold lets time pass: a fault is kept, or something that is under way is given a chance.
func (p *prover) hold(d time.Duration) {
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-over.C:
	case <-p.t.Context().Done():
	}
}

// makeFaults makes one after the other, and gives what was seen of each.
func (p *prover) makeFaults(howLong time.Duration) []prove.Result {
	p.t.Helper()
	var names []string
	if *faultsFlag != "" {
		names = strings.Split(strings.Trim(*faultsFlag, ","), ",")
	}
	choice := slices.DeleteFunc(p.faults(), func(f faultCase) bool {
		return len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(f.name, name) })
	})
	require.NotEmpty(p.t, choice, "no fault has such a name")
	results := map[string]*prove.Result{}
	// Each once in a random order, and again: a run that is long enough has made all.
	var order []faultCase
	for began := time.Now(); time.Since(began) < howLong; {
		if len(order) == 0 {
			order = slices.Clone(choice)
			p.random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		f := order[0]
		order = order[1:]
		p.print("%s", f.name)
		result := p.makeFault(f)
		p.print("    answers %s; p50 %s, p99 %s; visible again after %s%s", result.Answers(), round(result.P50), round(result.P99), round(result.Recovered), indented(result.Said))
		if old := results[f.name]; old != nil {
			old.Add(result)
		} else {
			results[f.name] = &result
		}
	}
	var all []prove.Result
	for _, f := range choice {
		if r := results[f.name]; r != nil {
			all = append(all, *r)
		}
	}
	return all
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

func indented(lines []string) string {
	var text strings.Builder
	for _, line := range lines {
		text.WriteString("\n      " + line)
	}
	return text.String()
}

// makeFault makes a fault, keeps it for a time, heals it, and waits until all that was acknowledged until then is visible.
func (p *prover) makeFault(f faultCase) prove.Result {
	p.t.Helper()
	before := p.load.statuses()
	p.watch.begin()
	heal := f.do(p)
	if f.hold > 0 {
		p.hold(f.hold/2 + time.Duration(p.random.Int64N(int64(f.hold/2)+1)))
	}
	if heal != nil {
		heal()
	}
	healed := time.Now()
	result := prove.Result{Name: f.name, Times: 1}
	p.recovers(f.name)
	result.Recovered = time.Since(healed)
	result.P50, result.P99, result.Said = p.watch.end(healed)
	result.Statuses = map[int]int{}
	for status, n := range p.load.statuses() {
		if n > before[status] {
			result.Statuses[status] = n - before[status]
		}
	}
	return result
}

// recovers waits until what is acknowledged now is visible, and more is acknowledged.
func (p *prover) recovers(when string) {
	p.t.Helper()
	at := p.load.acked.Load() + 20
	await(p.t, 3*patience, "events to be acknowledged after "+when, func() (bool, string) { return p.load.acked.Load() >= at, "" })
	pending := p.watch.pending()
	await(p.t, 3*patience, "what was acknowledged to be visible after "+when, func() (bool, string) {
		left := p.watch.left(pending)
		return left == 0, fmt.Sprintf("%d of %d are not", left, len(pending))
	})
}

// statuses counts the answers of all vendors.
func (l *load) statuses() map[int]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[int]int{}
	for _, answers := range l.answers {
		for status, n := range answers {
			all[status] += n
		}
	}
	return all
}
