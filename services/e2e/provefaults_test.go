//go:build prove

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/throughline/cli"
)

// faultCase is something that goes wrong. It is kept for between half of hold and hold, and then healed.
type faultCase struct {
	name string
	hold time.Duration
	do   func(p *prover) (heal func())
}

func (p *prover) faults() []faultCase {
	var all []faultCase
	for _, c := range p.all() {
		all = append(all,
			faultCase{c.name + ": kill -9", 3 * time.Second, func(*prover) func() {
				c.kill()
				return func() { c.start(stable) }
			}},
			faultCase{c.name + ": SIGTERM", 2 * time.Second, func(p *prover) func() {
				p.stop(c)
				return func() { c.start(stable) }
			}},
			faultCase{c.name + ": frozen (SIGSTOP)", 15 * time.Second, func(*prover) func() {
				c.process.Signal(syscall.SIGSTOP)
				return func() { c.process.Signal(syscall.SIGCONT) }
			}},
		)
	}
	return slices.Concat(all, p.serviceFaults(), p.olderFaults(), kafkaFaults(), topicFaults(), betweenFaults(), postgresFaults(), p.poolerFaults(), p.diskFaults(), p.clockFaults(), otherFaults())
}

// stop ends a service in order, as Kubernetes does.
func (p *prover) stop(c *child) {
	p.t.Helper()
	c.wanted = true
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	require.NoError(p.t, c.process.Stop(ctx, syscall.SIGTERM), c.name)
	require.NoError(p.t, c.process.Err(), "%s stopped in order", c.name)
}

func (p *prover) serviceFaults() []faultCase {
	return []faultCase{
		{"all services: kill -9 at once", time.Second, func(p *prover) func() {
			for _, c := range p.all() {
				c.kill()
			}
			return p.startAll
		}},
		{"all services: restarted one by one", 0, func(p *prover) func() {
			for _, c := range p.all() {
				p.stop(c)
				c.start(stable)
			}
			return nil
		}},
		{"normalizer: replicas come and go", 0, func(p *prover) func() { p.comeAndGo(p.normalizer); return nil }},
		{"sink: replicas come and go", 0, func(p *prover) func() { p.comeAndGo(p.sink); return nil }},
		{"normalizer: a second one with the same instance id", 8 * time.Second, func(p *prover) func() {
			second := p.replica(p.normalizer)
			second.start(stable)
			return func() {
				second.kill()
				if !p.normalizer.running() { // it was fenced, and says so by ending: Kubernetes starts it again
					p.normalizer.start(stable)
				}
			}
		}},
	}
}

// replica is another process like this one.
func (p *prover) replica(of *child) *child {
	c := newChild(p.t, of.name+"-2", of.path, of.env...)
	c.env = append(c.env, "THROUGHLINE_ADMIN_ADDR=127.0.0.1:0")
	return c
}

// comeAndGo lets replicas join, stay for a moment, and be killed: each time the partitions are shared out anew.
func (p *prover) comeAndGo(of *child) {
	for i := range 4 {
		c := p.replica(of)
		c.start(fmt.Sprintf("THROUGHLINE_KAFKA_INSTANCE_ID=other-%d", i))
		p.hold(time.Duration(500+p.random.IntN(2500)) * time.Millisecond)
		c.kill()
	}
}

func kafkaFaults() []faultCase {
	return []faultCase{
		{"broker: kill -9 of one", 8 * time.Second, func(p *prover) func() { return p.killBrokers(p.random.IntN(3)) }},
		{"broker: kill -9 of two", 8 * time.Second, func(p *prover) func() {
			first := p.random.IntN(3)
			return p.killBrokers(first, (first+1)%3)
		}},
		{"broker: kill -9 of the sink's group coordinator", 5 * time.Second, func(p *prover) func() {
			return p.killBrokers(p.coordinator(func(ctx context.Context, adm *kadm.Client) int32 {
				for _, c := range adm.FindGroupCoordinators(ctx, stream.Names{}.Group(stream.Sink)) {
					return c.NodeID
				}
				return 1
			}))
		}},
		{"broker: kill -9 of a transaction coordinator", 5 * time.Second, func(p *prover) func() {
			return p.killBrokers(p.coordinator(func(ctx context.Context, adm *kadm.Client) int32 {
				transactions, err := adm.ListTransactions(ctx, nil, nil)
				if err == nil {
					for _, one := range transactions {
						return one.Coordinator
					}
				}
				return 1
			}))
		}},
		{"broker: frozen (SIGSTOP)", 12 * time.Second, func(p *prover) func() {
			i := p.random.IntN(3)
			p.kafka.Freeze(i)
			return func() { p.kafka.Thaw(i) }
		}},
		{"brokers: restarted one by one", 0, func(p *prover) func() {
			for i := range 3 {
				p.kafka.Kill(i)
				p.kafka.Restart(i)
			}
			return nil
		}},
		{"network to all brokers: cut", 0, func(p *prover) func() {
			for _, proxy := range p.brokers {
				proxy.Cut()
			}
			return nil
		}},
		{"network to all brokers: half-open", 20 * time.Second, func(p *prover) func() {
			for _, proxy := range p.brokers {
				proxy.Lose(true)
			}
			return func() {
				for _, proxy := range p.brokers {
					proxy.Lose(false)
				}
			}
		}},
		{"network to one broker: half-open", 15 * time.Second, func(p *prover) func() {
			proxy := p.brokers[p.random.IntN(3)]
			proxy.Lose(true)
			return func() { proxy.Lose(false) }
		}},
		{"network to all brokers: 300 ms late", 10 * time.Second, func(p *prover) func() {
			for _, proxy := range p.brokers {
				proxy.Delay(300 * time.Millisecond)
			}
			return func() {
				for _, proxy := range p.brokers {
					proxy.Delay(0)
				}
			}
		}},
		{"a transaction of somebody else's hangs on a raw topic", 0, func(p *prover) func() { p.hangTransaction(); return nil }},
		{"partitions are added to topics", 0, func(p *prover) func() { p.addPartitions(); return nil }},
		{"garbage in every topic", 0, func(p *prover) func() { p.publishGarbage(); return nil }},
	}
}

func (p *prover) killBrokers(which ...int) func() {
	for _, i := range which {
		p.kafka.Kill(i)
	}
	return func() {
		for _, i := range which {
			p.kafka.Restart(i)
		}
	}
}

// coordinator gives the number of the broker with this node id, from 0.
func (p *prover) coordinator(find func(context.Context, *kadm.Client) int32) int {
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	return int(find(ctx, kadm.NewClient(p.place.kafka))) - 1
}

// hangTransaction leaves a transaction open; the brokers end it after its timeout.
func (p *prover) hangTransaction() {
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	const timeout = 8 * time.Second
	client, err := kgo.NewClient(kgo.SeedBrokers(p.place.brokers...), kgo.TransactionalID(fmt.Sprintf("hanging-%d", p.random.Uint64())), kgo.TransactionTimeout(timeout))
	require.NoError(p.t, err)
	defer client.CloseAllowingRebalance()
	require.NoError(p.t, client.BeginTransaction())
	_ = client.ProduceSync(ctx, &kgo.Record{Topic: stream.RawTopic("stripe"), Value: []byte(`{"garbage":"of an aborted transaction"}`)}).FirstErr()
	p.hold(timeout)
}

func (p *prover) addPartitions() {
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	answers, err := kadm.NewClient(p.place.kafka).CreatePartitions(ctx, 1, stream.RawTopic("zendesk"), stream.RawTopic("stripe"), stream.AccountEvents, stream.DeadLetters)
	require.NoError(p.t, err)
	for _, answer := range answers {
		require.NoError(p.t, answer.Err, answer.Topic)
	}
}

// publishGarbage writes what is none of ours to every topic.
func (p *prover) publishGarbage() {
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.place.brokers...))
	require.NoError(p.t, err)
	defer client.Close()
	topics := []string{stream.AccountEvents, stream.DeadLetters, stream.AccountChanges}
	for _, name := range p.sources.Names() {
		topics = append(topics, stream.RawTopic(name))
	}
	for _, topic := range topics {
		for _, value := range []string{"", "garbage", "\x00\x00\x00\x00\x09garbage", `{"id": 7}`, strings.Repeat("[", 2000)} {
			require.NoError(p.t, client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(), topic)
		}
	}
}

func postgresFaults() []faultCase {
	return []faultCase{
		{"Postgres: crashes and is started again", 5 * time.Second, func(p *prover) func() {
			p.primary.Crash()
			return p.primary.Start
		}},
		{"Postgres: the primary crashes, and its standby takes over", 3 * time.Second, func(p *prover) func() {
			p.primary.Crash()
			return p.takeOver
		}},
		{"Postgres: read-only", 8 * time.Second, func(p *prover) func() {
			p.primary.Exec("ALTER SYSTEM SET default_transaction_read_only = on")
			p.primary.Exec("SELECT pg_reload_conf()")
			return func() {
				p.primary.Exec("ALTER SYSTEM RESET default_transaction_read_only")
				p.primary.Exec("SELECT pg_reload_conf()")
			}
		}},
		{"Postgres: no connection is free", 8 * time.Second, (*prover).takeConnections},
		{"Postgres: the table is locked", 10 * time.Second, func(p *prover) func() { return p.holding("LOCK TABLE account_events IN ACCESS EXCLUSIVE MODE") }},
		{"Postgres: the ledger of links is locked", 8 * time.Second, func(p *prover) func() { return p.holding("LOCK TABLE link_decisions IN ACCESS EXCLUSIVE MODE") }},
		{"Postgres: statements end after 20 ms", 8 * time.Second, func(p *prover) func() {
			p.set("statement_timeout = '20ms'")
			return func() { p.set("statement_timeout = 0") }
		}},
		{"Postgres: its disk is full", 8 * time.Second, func(p *prover) func() {
			p.primary.Exec(`CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
				CREATE TRIGGER disk_full BEFORE INSERT ON account_events FOR EACH STATEMENT EXECUTE FUNCTION disk_full()`)
			return func() { p.primary.Exec("DROP TRIGGER disk_full ON account_events; DROP FUNCTION disk_full") }
		}},
		{"network to Postgres: cut", 0, func(p *prover) func() { p.database[p.primary].Cut(); return nil }},
		{"network to Postgres: half-open", 15 * time.Second, func(p *prover) func() {
			proxy := p.database[p.primary]
			proxy.Lose(true)
			return func() { proxy.Lose(false) }
		}},
		{"network to Postgres: each answer 300 ms late", 10 * time.Second, func(p *prover) func() {
			proxy := p.database[p.primary]
			proxy.Delay(300 * time.Millisecond)
			return func() { proxy.Delay(0) }
		}},
	}
}

// takeOver makes the standby the primary, and the old primary its standby.
func (p *prover) takeOver() {
	p.standby.Promote()
	p.standby.Exec("ALTER SYSTEM RESET synchronous_standby_names")
	p.standby.Exec("SELECT pg_reload_conf()")
	p.primary, p.standby = p.standby, p.primary
	p.standby.Follow(p.primary)
	p.primary.Exec("ALTER SYSTEM SET synchronous_standby_names = '*'")
	p.primary.Exec("SELECT pg_reload_conf()")
}

// set changes a setting for all new sessions of the database, and ends the old ones.
func (p *prover) set(setting string) {
	p.primary.Exec(fmt.Sprintf("SET statement_timeout = 0; DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET %s', current_database()); END $$", strings.ReplaceAll(setting, "'", "''")))
	p.primary.Exec("SET statement_timeout = 0; SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
}

// holding keeps a transaction with a lock open.
func (p *prover) holding(sql string) func() {
	ctx := p.t.Context()
	conn, err := pgx.Connect(ctx, p.primary.URL())
	require.NoError(p.t, err)
	tx, err := conn.Begin(ctx)
	require.NoError(p.t, err)
	_, err = tx.Exec(ctx, sql)
	require.NoError(p.t, err)
	return func() {
		require.NoError(p.t, tx.Rollback(ctx))
		require.NoError(p.t, conn.Close(ctx))
	}
}

// takeConnections ends the services' connections, and takes all that the server gives.
func (p *prover) takeConnections() func() {
	ctx := p.t.Context()
	var mu sync.Mutex
	var taken []*pgx.Conn
	take := func() {
		for {
			conn, err := pgx.Connect(ctx, p.primary.URL())
			if err != nil {
				return
			}
			mu.Lock()
			taken = append(taken, conn)
			mu.Unlock()
		}
	}
	take()
	p.database[p.primary].Cut()
	take()
	return func() {
		for _, conn := range taken {
			require.NoError(p.t, conn.Close(ctx))
		}
	}
}

func otherFaults() []faultCase {
	return []faultCase{
		{"schema registry: gone", 8 * time.Second, func(p *prover) func() { p.registry.Fail(streamtest.Gone); return p.registry.Recover }},
		{"schema registry: made anew, with other ids", 0, func(p *prover) func() { p.registry.MakeAnew(); return nil }},
		{"schema registry: gone while all services are restarted", 0, func(p *prover) func() {
			p.registry.Fail(streamtest.Gone)
			for _, c := range p.all() {
				p.stop(c)
				c.start(stable)
			}
			p.hold(3 * time.Second)
			return p.registry.Recover
		}},
		{"strangers flood every door", 8 * time.Second, (*prover).flood},
	}
}

// flood lets strangers post to every source, as fast as they are answered.
func (p *prover) flood() func() {
	ctx, cancel := context.WithCancel(p.t.Context())
	var strangers sync.WaitGroup
	body := bytes.Repeat([]byte("x"), 100_000)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	for i := range 16 {
		names := p.sources.Names()
		strangers.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url()+"/webhooks/"+names[n%len(names)], bytes.NewReader(body))
				if err != nil {
					return
				}
				if answer, err := client.Do(request); err == nil {
					answer.Body.Close()
				}
			}
		})
	}
	return func() {
		cancel()
		strangers.Wait()
		client.CloseIdleConnections()
	}
}

// tryThroughline runs a command line of a person's, who gives up when it fails.
func (p *prover) tryThroughline(args ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	var out bytes.Buffer
	cli.Run(ctx, args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out, Env: func(name string) (string, bool) {
		value, ok := map[string]string{
			"THROUGHLINE_POSTGRES_URL": p.postgres, "THROUGHLINE_KAFKA_BROKERS": strings.Join(p.place.brokers, ","), "THROUGHLINE_BY": "prove",
		}[name]
		return value, ok
	}})
}
