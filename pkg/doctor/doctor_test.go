package doctor_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/doctor"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

const patience = time.Minute

// world is an installation of the test's own, without services: a prefix on Apache Kafka, a database, a registry.
type world struct {
	t     *testing.T
	s     doctor.Settings
	kafka *kgo.Client
	pool  *pgxpool.Pool
}

// newWorld has all that `throughline migrate`, `topics apply` and a first start leave.
func newWorld(t *testing.T) *world {
	t.Helper()
	url := postgrestest.URL(t)
	w := newBareWorld(t, shared.Brokers(t), url)
	_, err := stream.ApplyTopics(t.Context(), w.kafka, w.s.Kafka.Names(), w.s.Sources, stream.TopicOptions{Partitions: 2, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	registry, err := event.NewRegistry(*w.s.Registry)
	require.NoError(t, err)
	names := w.s.Kafka.Names()
	_, err = event.NewEncoder(t.Context(), registry, names.AccountEvents(), names.DeadLetters())
	require.NoError(t, err)
	_, err = event.NewChangeEncoder(t.Context(), registry, names.AccountChanges())
	require.NoError(t, err)
	w.pool, err = postgres.Open(t.Context(), *w.s.Postgres, "doctor-test")
	require.NoError(t, err)
	t.Cleanup(w.pool.Close)
	return w
}

// newBareWorld has servers alone.
func newBareWorld(t *testing.T, brokers []string, url string) *world {
	t.Helper()
	prefix := strings.NewReplacer("/", ".").Replace(t.Name()) + "."
	w := &world{t: t, s: doctor.Settings{
		Kafka:    &stream.Config{Brokers: brokers, Prefix: prefix[max(0, len(prefix)-60):]},
		Postgres: &postgres.Config{URL: settings.URL(url), MaxConns: 4},
		Registry: &event.RegistryConfig{URL: settings.URL(streamtest.Registry(t)), Timeout: 5 * time.Second},
		Sources:  []string{"stripe", "looker"},
	}}
	var err error
	w.kafka, err = stream.NewClient(*w.s.Kafka, stream.Deps{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(w.kafka.Close)
	return w
}

// exec changes the database.
func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

// find runs one check.
func (w *world) find(check string) doctor.Finding {
	w.t.Helper()
	w.s.Only = []string{check}
	found := doctor.Run(w.t.Context(), w.s)
	require.Len(w.t, found, 1)
	w.t.Logf("%s: %s: %s → %s", found[0].Check, found[0].State, found[0].Found, found[0].Do)
	return found[0]
}

// publish writes records to a topic.
func (w *world) publish(topic string, n int) {
	w.t.Helper()
	for i := range n {
		require.NoError(w.t, w.kafka.ProduceSync(w.t.Context(), &kgo.Record{Topic: topic, Value: fmt.Append(nil, i), Partition: 0}).FirstErr())
	}
}

// join makes a member of a service's group, and returns when it is one.
func (w *world) join(service string, topics ...string) {
	w.t.Helper()
	client, err := stream.NewClient(*w.s.Kafka, stream.Deps{Name: service}, kgo.ConsumerGroup(w.s.Kafka.Names().Group(service)), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit())
	require.NoError(w.t, err)
	w.t.Cleanup(client.Close)
	require.Eventually(w.t, func() bool {
		groups, err := kadm.NewClient(w.kafka).DescribeGroups(w.t.Context(), w.s.Kafka.Names().Group(service))
		return err == nil && groups[w.s.Kafka.Names().Group(service)].State == "Stable"
	}, patience, 50*time.Millisecond)
}

// waits puts a record into quarantine as it would be.
func (w *world) waits(reason fault.Reason, status string, more string) {
	w.exec(`INSERT INTO quarantine (dedup_key, reason, source, topic, partition, "offset", raw, status, status_by, status_at, first_seen, published_at)
		VALUES (gen_random_uuid()::text, $1, 'stripe', 'raw.stripe', 0, 0, '{}', $2, 'test', now() - interval '1 hour', now() - interval '5 days', `+more+`)`, string(reason), status)
	w.exec("INSERT INTO quarantine_outbox SELECT id, status_at, published_at FROM quarantine WHERE status = 'replaying'")
}

// A standby is looked at as well as it can be.
func TestStandby(t *testing.T) {
	t.Parallel()
	standby := postgrestest.NewNode(t).Standby()
	w := newBareWorld(t, []string{"127.0.0.1:1"}, standby.URL())
	f := w.find("postgres.writable")
	require.Equal(t, doctor.Failed, f.State)
	require.Contains(t, f.Found, "the server is a standby")
	require.Contains(t, f.Do, "name the primary")
	require.Equal(t, doctor.OK, w.find("postgres.schema").State)
}

// The user's rights are told, and those that it should have are missed.
func TestRights(t *testing.T) {
	t.Parallel()
	const password = "a-password-of-tests"
	cluster := streamtest.KafkaWithUsers(t, map[string]string{"sink": password, "looker-on": password}, nil)
	w := newBareWorld(t, cluster.Brokers(), postgrestest.URL(t))
	names := w.s.Kafka.Names()
	_, err := stream.ApplyTopics(t.Context(), w.kafka, names, w.s.Sources, stream.TopicOptions{Partitions: 1, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.find("kafka.rights").State == doctor.OK }, patience, 100*time.Millisecond) // a superuser may do everything
	// The operator's rights are enough for all but the producers, and WRITE is nothing to give for a look.
	require.NoError(t, stream.CreateACLs(t.Context(), w.kafka, stream.WantedACLs(map[string]string{stream.Operator: "User:looker-on"}, "*", names, w.s.Sources)))
	w.s.Kafka = &stream.Config{Brokers: cluster.UserBrokers(), Prefix: w.s.Kafka.Prefix, SASLMechanism: "plain", User: "looker-on", Password: password}
	require.Eventually(t, func() bool { return strings.HasSuffix(w.find("kafka.rights").Found, "what these need: operator") }, patience, 100*time.Millisecond)
	producers := w.find("kafka.transactions")
	require.Equal(t, doctor.NotChecked, producers.State)
	require.Contains(t, producers.Do, "READ on the topics")
	require.NotContains(t, producers.Do, "WRITE")
	w.s.Kafka = &stream.Config{Brokers: cluster.UserBrokers(), Prefix: w.s.Kafka.Prefix, SASLMechanism: "plain", User: "sink", Password: password}
	f := w.find("kafka.rights")
	require.Equal(t, doctor.Failed, f.State)
	require.Contains(t, f.Found, "this Kafka user has nobody's rights")
	require.Contains(t, f.Do, "throughline acls apply")
	require.NoError(t, stream.CreateACLs(t.Context(), w.kafka, stream.WantedACLs(map[string]string{stream.Sink: "User:sink"}, "*", names, w.s.Sources)))
	require.Eventually(t, func() bool { return strings.HasSuffix(w.find("kafka.rights").Found, "what these need: sink") }, patience, 100*time.Millisecond)
	w.s.As = []string{stream.Normalizer}
	f = w.find("kafka.rights")
	require.Equal(t, doctor.Failed, f.State)
	require.Contains(t, f.Found, "this Kafka user lacks rights: the normalizer's: ")
	require.NotContains(t, f.Found, password)

	require.Equal(t, doctor.OK, w.find("postgres.rights").State, "the owner may do everything")
	w.pool, err = postgres.Open(t.Context(), *w.s.Postgres, "doctor-test")
	require.NoError(t, err)
	t.Cleanup(w.pool.Close)
	var role string
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT 'doctor_' || substr(md5(current_database()), 1, 8)").Scan(&role))
	w.exec("CREATE ROLE " + role + " LOGIN PASSWORD '" + password + "'")
	t.Cleanup(func() { _, _ = w.pool.Exec(context.Background(), "DROP ROLE "+role) })
	u, err := url.Parse(string(w.s.Postgres.URL))
	require.NoError(t, err)
	u.User = url.UserPassword(role, password)
	w.s.Postgres = &postgres.Config{URL: settings.URL(u.String()), MaxConns: 2}
	f = w.find("postgres.rights")
	require.Equal(t, doctor.Failed, f.State)
	require.Contains(t, f.Found, "lacks rights: the normalizer's: ")
	require.Contains(t, f.Do, "throughline roles apply")
	w.s.As = nil
	f = w.find("postgres.rights")
	require.Equal(t, doctor.Failed, f.State)
	require.Contains(t, f.Found, "nobody's rights")
	require.NotContains(t, f.Found, "DELETE")
	require.Contains(t, f.Do, "--member doctor=LOGIN")
	require.NotContains(t, f.Found, password)
	require.Equal(t, doctor.NotChecked, w.find("quarantine.open").State, "it may not look")
}

// A new cluster, whose offsets topic is not made yet, is not one whose brokers are away.
func TestANewClusterHasNoCoordinator(t *testing.T) {
	t.Parallel()
	broker := streamtest.Fake(t)
	broker.ControlKey(int16(kmsg.FindCoordinator), func(request kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		answer := request.ResponseKind().(*kmsg.FindCoordinatorResponse)
		answer.ErrorCode = kerr.CoordinatorNotAvailable.Code
		for _, key := range request.(*kmsg.FindCoordinatorRequest).CoordinatorKeys {
			c := kmsg.NewFindCoordinatorResponseCoordinator()
			c.Key, c.ErrorCode = key, kerr.CoordinatorNotAvailable.Code
			answer.Coordinators = append(answer.Coordinators, c)
		}
		return answer, nil, true
	})
	w := newBareWorld(t, broker.ListenAddrs(), "postgres://127.0.0.1:1/none")
	f := w.find("kafka.rights")
	require.Equal(t, doctor.NotChecked, f.State)
	require.Contains(t, f.Found, "__consumer_offsets")
}

// A broker that died is missed, though the others do not name it any more.
func TestADeadBroker(t *testing.T) {
	t.Parallel()
	cluster := streamtest.Kafka(t, 3)
	w := newBareWorld(t, cluster.Brokers(), postgrestest.URL(t))
	_, err := stream.ApplyTopics(t.Context(), w.kafka, w.s.Kafka.Names(), w.s.Sources, stream.TopicOptions{Partitions: 2, ReplicationFactor: 3, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	require.Equal(t, doctor.OK, w.find("kafka.brokers").State)
	require.Equal(t, doctor.OK, w.find("kafka.partitions").State)
	cluster.Kill(2)
	f := w.find("kafka.brokers")
	require.Equal(t, doctor.Failed, f.State)
	require.Contains(t, f.Do, "start the broker again")
	require.Eventually(t, func() bool { return w.find("kafka.partitions").State == doctor.Warning }, patience, 100*time.Millisecond)
	require.Equal(t, doctor.Failed, w.find("kafka.brokers").State)
}

// Whatever takes connections and says nothing, the report comes, and what can be checked is.
func TestNothingAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Eventually(t, func() bool { return w.find("kafka.topics").State == doctor.OK }, patience, 100*time.Millisecond) // all brokers know them
	proxy := postgrestest.NewProxy(t, string(w.s.Postgres.URL))
	proxy.Lose(true)
	silent := streamtest.Frozen(t).Addr()
	w.s.Postgres.URL = settings.URL(proxy.URL())
	w.s.Registry.URL = settings.URL("http://" + silent)
	w.s.Admin = []string{"http://" + silent}
	w.s.Only = nil
	began := time.Now()
	states := map[string]doctor.State{}
	for _, f := range doctor.Run(t.Context(), w.s) {
		states[f.Check] = f.State
	}
	t.Logf("the report took %v", time.Since(began))
	for _, check := range []string{"postgres.reachable", "registry.reachable", "service"} {
		require.Equal(t, doctor.Failed, states[check], check)
	}
	require.Equal(t, doctor.NotChecked, states["postgres.schema"])
	require.Equal(t, doctor.OK, states["kafka.topics"])
	w.s.Kafka.Brokers = []string{silent}
	w.s.Only = []string{"kafka.reachable", "kafka.topics", "lag.sink"}
	findings := doctor.Run(t.Context(), w.s)
	require.Equal(t, doctor.Failed, findings[0].State)
	require.Equal(t, doctor.NotChecked, findings[1].State)
	require.Equal(t, doctor.NotChecked, findings[2].State)
}

// A broker that takes connections and says nothing, first in the list, is named and holds nothing up.
func TestTheFirstBrokerIsFrozen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	silent := streamtest.Frozen(t).Addr()
	w.s.Kafka.Brokers = append([]string{silent}, w.s.Kafka.Brokers...)
	require.Equal(t, doctor.OK, w.find("kafka.reachable").State)
	require.Eventually(t, func() bool { return w.find("kafka.topics").State == doctor.OK }, patience, 100*time.Millisecond) // all brokers know them
	f := w.find("kafka.brokers")
	require.Equal(t, doctor.Failed, f.State)
	require.Contains(t, f.Found, "brokers that do not answer: "+silent)
	require.NotContains(t, f.Found, w.s.Kafka.Brokers[1])
}

// A lock that somebody holds on a table is a query that hangs, not a report that does.
func TestALockedTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tx, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), "LOCK TABLE quarantine IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	f := w.find("quarantine.open")
	require.Equal(t, doctor.Failed, f.State)
	require.Contains(t, f.Do, "pg_blocking_pids()")
}

// What a service alone knows comes by its admin port.
func TestServices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, doctor.NotChecked, w.find("service").State)
	rt := service.NewRuntime(service.Options{Name: "sink"})
	held := prometheus.NewGauge(prometheus.GaugeOpts{Name: "throughline_sink_held_partitions"})
	rt.Registry.MustRegister(held)
	admin := service.NewAdmin(rt, "127.0.0.1:0", false)
	require.NoError(t, admin.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, admin.Stop(context.Background())) })
	rt.Health.Set("sink-0", nil)
	w.s.Admin = []string{"http://" + admin.Addr()}
	f := w.find("service")
	require.Equal(t, doctor.OK, f.State)
	require.Equal(t, w.s.Admin[0], f.Subject)
	require.Contains(t, f.Found, "the sink is ready")
	rt.Health.Set("sink-0", fault.Advise(fmt.Errorf("the breaker is open"), "look for a migration"))
	f = w.find("service")
	require.Equal(t, doctor.Failed, f.State)
	require.Contains(t, f.Found, "sink-0: the breaker is open")
	require.Contains(t, f.Do, "look for a migration")
	held.Set(2)
	f = w.find("service")
	require.Equal(t, doctor.Failed, f.State)
	require.Contains(t, f.Found, "the sink holds 2 partitions")
	held.Set(0)
	rt.Health.Set("sink-0", nil)
	lost := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_sink_deleted_unread_total"}, []string{"topic"})
	rt.Registry.MustRegister(lost)
	lost.WithLabelValues("account-events").Add(3)
	f = w.find("service")
	require.Equal(t, doctor.Warning, f.State)
	require.Contains(t, f.Found, "the brokers deleted 3 records before it had read them, of account-events")
	lost.Reset()
	rt.Health.Remove("sink-0")
	rt.Health.CheckNoted("schema", 0, func(context.Context) (string, error) { return "the schema is newer", nil })
	f = w.find("service")
	require.Equal(t, doctor.Warning, f.State)
	require.Contains(t, f.Found, "the schema is newer")
}

// The page explains each check, under its name.
func TestThePageIsComplete(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations/doctor.md")
	require.NoError(t, err)
	for _, check := range doctor.Checks() {
		require.Contains(t, string(page), "| `"+check.Name+"` | "+check.Meaning+" |")
	}
	_, table, _ := strings.Cut(string(page), "## Checks")
	rows := strings.Count(table, "\n| `")
	require.Equal(t, len(doctor.Checks()), rows, "the page has no check that there is not")
}

// A check leaves what another one reads as it is.
func TestConflictsAreToldBesideTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.waits(fault.Conflict, "open", "NULL")
	w.waits(fault.Unresolved, "open", "NULL")
	w.s.Only = []string{"quarantine.open", "quarantine.conflicts"}
	for range 8 { // checks run side by side, in no order
		found := map[string]string{}
		for _, f := range doctor.Run(t.Context(), w.s) {
			found[f.Check] = f.Found
		}
		require.Contains(t, found["quarantine.conflicts"], "1 records contradict the timeline")
		require.NotContains(t, found["quarantine.open"], "conflict")
	}
}
