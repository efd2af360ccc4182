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

// sick is something that is wrong, the check that must find it, and what that says.
type sick struct {
	name  string
	hurt  func(*world)
	check string
	state doctor.State
	found string
	do    string
}

func sicknesses() []sick {
	clock := func(by time.Duration) func(*world) {
		return func(w *world) { w.s.Now = func() time.Time { return time.Now().Add(by) } }
	}
	config := func(name, value string) func(*world) {
		return func(w *world) {
			answers, err := kadm.NewClient(w.kafka).AlterTopicConfigs(w.t.Context(), []kadm.AlterConfig{{Name: name, Value: &value}}, w.s.Kafka.Names().AccountEvents())
			require.NoError(w.t, err)
			require.NoError(w.t, answers[0].Err)
		}
	}
	events := func(w *world) string { return w.s.Kafka.Names().AccountEvents() }
	return []sick{
		{"TopicMissing", func(w *world) {
			_, err := kadm.NewClient(w.kafka).DeleteTopic(w.t.Context(), events(w))
			require.NoError(w.t, err)
		}, "kafka.topics", doctor.Failed, "account-events", "throughline topics apply"},
		{"TopicCompacted", config("cleanup.policy", "compact"), "kafka.topic-settings", doctor.Failed, "cleanup.policy=compact", "throughline topics apply"},
		{"TopicWithProducersTimes", config("message.timestamp.type", "CreateTime"), "kafka.topic-settings", doctor.Warning, "message.timestamp.type=CreateTime", "throughline topics apply"},
		{"PartitionsThatRefuse", config("min.insync.replicas", "2"), "kafka.partitions", doctor.Failed, "writes are refused", "kafka-reassign-partitions.sh"},
		{"TransactionLeftOpen", func(w *world) {
			client, err := stream.NewClient(*w.s.Kafka, stream.Deps{Name: "open"}, kgo.TransactionalID(w.s.Kafka.Prefix+"open"), kgo.TransactionTimeout(10*time.Minute))
			require.NoError(w.t, err)
			w.t.Cleanup(func() {
				_ = client.EndTransaction(context.Background(), kgo.TryAbort)
				client.Close()
			})
			require.NoError(w.t, client.BeginTransaction())
			require.NoError(w.t, client.ProduceSync(w.t.Context(), &kgo.Record{Topic: events(w), Value: []byte("x")}).FirstErr())
			clock(5 * time.Minute)(w)
		}, "kafka.transactions", doctor.Failed, "cannot be read", "kafka-transactions.sh"},
		{"ClockBehindTheBrokers", func(w *world) { w.publish(events(w), 1); clock(-time.Hour)(w) }, "kafka.clock", doctor.Failed, "behind the brokers'", "timedatectl"},
		{"ClockAhead", clock(time.Hour), "postgres.clock", doctor.Failed, "1h0m0s ahead of Postgres'", "timedatectl"},
		{"ClockALittleBehind", clock(-5 * time.Second), "postgres.clock", doctor.Warning, "5s behind Postgres'", "timedatectl"},
		{"StageNotRunning", func(w *world) { w.publish(events(w), 3) }, "lag.sink", doctor.Failed, "no sink is a member", "start the sink"},
		{"StageNotRunningBeforeABatchThatNobodyCanRead", func(w *world) {
			client, err := stream.NewClient(*w.s.Kafka, stream.Deps{Name: "bomb"}, kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(64<<20))
			require.NoError(w.t, err)
			w.t.Cleanup(client.Close)
			require.NoError(w.t, client.ProduceSync(w.t.Context(), &kgo.Record{Topic: events(w), Value: make([]byte, 32<<20)}).FirstErr())
		}, "lag.sink", doctor.Failed, "and 1 records wait", "start the sink"},
		{"StageBehind", func(w *world) {
			w.join(stream.Sink, events(w))
			w.publish(events(w), 3)
			clock(5 * time.Minute)(w)
		}, "lag.sink", doctor.Warning, "3 records wait, the oldest for 5m", "postgres.transactions"},
		{"SlowestStage", func(w *world) {
			w.publish(events(w), 1)
			clock(5 * time.Minute)(w)
		}, "lag.slowest", doctor.Warning, "the slowest stage is the sink, 5m", "postgres.keeper"},
		{"RecordsDeletedUnread", func(w *world) {
			admin := kadm.NewClient(w.kafka)
			w.publish(events(w), 4)
			ends, err := admin.ListEndOffsets(w.t.Context(), events(w))
			require.NoError(w.t, err)
			committed, gone := kadm.Offsets{}, kadm.Offsets{}
			ends.Each(func(o kadm.ListedOffset) {
				committed.AddOffset(o.Topic, o.Partition, 0, -1)
				gone.AddOffset(o.Topic, o.Partition, o.Offset, -1)
			})
			require.NoError(w.t, admin.CommitAllOffsets(w.t.Context(), w.s.Kafka.Names().Group(stream.Sink), committed))
			_, err = admin.DeleteRecords(w.t.Context(), gone)
			require.NoError(w.t, err)
		}, "lag.sink", doctor.Failed, "before the sink had read them", "--event-retention"},
		{"SchemaBehind", func(w *world) { w.exec("DELETE FROM goose_db_version WHERE version_id > 5") }, "postgres.schema", doctor.Failed, "the schema is behind: it is at version 5", "throughline migrate"},
		{"NoTables", func(w *world) {
			w.exec("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || quote_ident(current_database()) || ' SET search_path = nowhere'; END $$")
		}, "postgres.rights", doctor.NotChecked, "there are no tables", ""},
		{"SchemaNewer", func(w *world) { w.exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)") }, "postgres.schema", doctor.Warning, "the schema is newer than this program: it is at version 99999", "replace this program"},
		{"ReadOnly", func(w *world) {
			w.exec("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || quote_ident(current_database()) || ' SET default_transaction_read_only = on'; END $$")
		}, "postgres.writable", doctor.Failed, "the server is read-only", "default_transaction_read_only"},
		{"TransactionOpenForLong", func(w *world) {
			tx, err := w.pool.Begin(w.t.Context())
			require.NoError(w.t, err)
			w.t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
		}, "postgres.transactions", doctor.OK, "the longest transaction has been open for", ""}, // ten minutes cannot be had
		{"NoKeeper", func(*world) {}, "postgres.keeper", doctor.Warning, "no process keeps the payload index", "start a sink"},
		{"AStrangerHoldsTheKeepersLock", func(w *world) {
			reader, err := pgxpool.New(w.t.Context(), postgrestest.Logins(w.t, string(w.s.Postgres.URL))[postgres.RoleReader])
			require.NoError(w.t, err)
			w.t.Cleanup(reader.Close)
			conn, err := reader.Acquire(w.t.Context())
			require.NoError(w.t, err)
			w.t.Cleanup(conn.Release)
			_, err = conn.Exec(w.t.Context(), "SELECT pg_advisory_lock(8388080129014197104)")
			require.NoError(w.t, err)
		}, "postgres.keeper", doctor.Warning, "reader_login, which may not merge the payload index's pending list, holds the lock", "pg_terminate_backend("},
		{"OldQuarantine", func(w *world) { w.waits(fault.Unresolved, "open", "NULL") }, "quarantine.open", doctor.Warning, "1 unresolved_account, the oldest for 120h0m0s", "throughline quarantine list --reason unresolved_account"},
		{"Conflict", func(w *world) { w.waits(fault.Conflict, "open", "NULL") }, "quarantine.conflicts", doctor.Warning, "1 records contradict the timeline", "throughline events conflicts"},
		{"ReleasesNotPublished", func(w *world) { w.waits(fault.Unresolved, "replaying", "NULL") }, "quarantine.releases", doctor.Failed, "1 released records wait to be published, the oldest for 1h0m0s", "start the quarantine service"},
		{"ReleasesStuck", func(w *world) { w.waits(fault.Unresolved, "replaying", "now() - interval '1 hour'") }, "quarantine.releases", doctor.Warning, "have not arrived", "lag.sink"},
		{"NobodyIsTold", func(w *world) { w.exec("UPDATE alert_evaluation SET evaluated_at = now()") }, "alerts.receivers", doctor.OK, "nobody is told of alerts: no receiver is configured", ""},
		{"AlertsNeverEvaluated", func(*world) {}, "alerts.receivers", doctor.OK, "nobody is told of alerts: they were never evaluated", ""},
		{"AReceiverFails", func(w *world) {
			w.exec("UPDATE alert_evaluation SET evaluated_at = now(); INSERT INTO alert_receivers (receiver, known_since, failing_since) VALUES ('slack', now(), now()), ('email', now(), NULL)")
		}, "alerts.receivers", doctor.Warning, "1 of 2 receivers of alerts cannot be told", "throughline alerts test"},
		{"ErasureNotFinished", func(w *world) {
			w.exec(`WITH d AS (INSERT INTO link_decisions (verb, author, learned) VALUES ('erase', 'cli:ada', 'operator') RETURNING id)
				INSERT INTO erasures (kind, label, digest, decision_id, requested_by, created_at) SELECT 'reference', 'email', '', id, 'cli:ada', now() - interval '1 hour' FROM d`)
		}, "accounts.erasures", doctor.Warning, "1 erasures are not finished, the oldest for 1h0m0s", "throughline erasures resume"},
		{"ChangesNotPublished", func(w *world) {
			w.exec("INSERT INTO account_changes (source, source_event_id, from_account, decision_id, at) VALUES ('stripe', 'evt_1', gen_random_uuid(), 1, now() - interval '1 hour')")
		}, "accounts.changes", doctor.Failed, "1 changes of accounts wait to be published, the oldest for 1h0m0s", "start the quarantine service"},
		{"RegistryWithoutSchemas", func(w *world) { w.s.Registry.URL = settings.URL(streamtest.Registry(w.t)) }, "registry.schemas", doctor.Failed, "account-changes-value", "start the services"},
		{"RegistryAway", func(w *world) { w.s.Registry.URL = "http://127.0.0.1:1" }, "registry.reachable", doctor.Failed, "schema registry 127.0.0.1:1", "THROUGHLINE_SCHEMA_REGISTRY_URL"},
		{"PostgresAway", func(w *world) { w.s.Postgres.URL = "postgres://kim:hunter2@127.0.0.1:1/db" }, "postgres.reachable", doctor.Failed, "connection refused", "THROUGHLINE_POSTGRES_URL"},
		{"KafkaAway", func(w *world) { w.s.Kafka.Brokers = []string{"127.0.0.1:1"} }, "kafka.reachable", doctor.Failed, "Kafka at 127.0.0.1:1 does not answer", "THROUGHLINE_KAFKA_BROKERS"},
		{"NotSet", func(w *world) { w.s.Kafka = nil }, "kafka.topics", doctor.NotChecked, "THROUGHLINE_KAFKA_BROKERS is not set", "set THROUGHLINE_KAFKA_BROKERS"},
	}
}

// Each sickness is named by its check, with its cure; before it, the check found nothing wrong.
func TestSicknesses(t *testing.T) {
	t.Parallel()
	wrongBefore := map[string]bool{"lag.sink": true, "postgres.keeper": true, "kafka.clock": true} // no service runs, and no record is there
	for _, s := range sicknesses() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if !wrongBefore[s.check] {
				require.Eventually(t, func() bool { return w.find(s.check).State == doctor.OK }, patience, 100*time.Millisecond)
			}
			s.hurt(w)
			// Brokers tell of a change when it has come to all of them.
			var f doctor.Finding
			require.Eventually(t, func() bool { f = w.find(s.check); return f.State == s.state }, patience, 100*time.Millisecond, "%v", f)
			require.Contains(t, f.Found, s.found)
			require.Contains(t, f.Do, s.do)
			require.Equal(t, s.do == "", f.Do == "")
			require.NotContains(t, f.Found+f.Do, "hunter2")
			require.NotContains(t, f.Found+f.Do, "\n")
		})
	}
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
