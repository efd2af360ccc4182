package doctor_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/doctor"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

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
