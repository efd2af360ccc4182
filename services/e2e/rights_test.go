package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/vendors"
)

const (
	kafkaUser     = "throughline"
	kafkaPassword = "a-password-of-tests"
)

// guarded is the system on an Apache Kafka that asks who comes, watched while
// something is wrong with the brokers.
type guarded struct {
	*place
	kafka  *streamtest.Cluster
	admin  *kadm.Client
	url    string
	lines  *observer.ObservedLogs
	sender vendors.Sender
	events func(mark, more string) string
	sent   int
	began  time.Time // when the first event was posted
}

func newGuarded(t *testing.T, kafka *streamtest.Cluster) *guarded {
	t.Helper()
	g := &guarded{place: newBarePlace(t, kafka.Brokers(), postgrestest.URL(t)), kafka: kafka, events: stripeEvents(t)}
	g.admin = kadm.NewClient(g.place.kafka)
	g.link("stripe:customer:cus_bad", g.account("Acme", "acme.example"))
	return g
}

func (g *guarded) start() {
	g.t.Helper()
	var core zapcore.Core
	core, g.lines = observer.New(zapcore.InfoLevel)
	g.startAs(stream.Config{
		Brokers: g.kafka.UserBrokers(), SASLMechanism: "plain", User: kafkaUser, Password: settings.Secret(kafkaPassword),
	}, zap.New(core))
}

func (g *guarded) startAs(config stream.Config, log *zap.Logger) {
	g.t.Helper()
	g.url = startEmbeddedAs(g.t, g.place, config, log)
	g.sender = vendors.Sender{Sources: catalog.Set(), URL: g.url, PublicURL: publicURL, Secrets: secrets()}
	g.t.Cleanup(http.DefaultClient.CloseIdleConnections)
}

// right is a right of the user's.
func right(resource kmsg.ACLResourceType, name string, operation kmsg.ACLOperation) stream.ACL {
	return stream.ACL{Principal: "User:" + kafkaUser, Host: "*", Grant: stream.Grant{Resource: resource, Name: name, Prefixed: strings.HasSuffix(name, "-"), Operation: operation}}
}

func (g *guarded) grant(acls ...stream.ACL) {
	g.t.Helper()
	require.NoError(g.t, stream.CreateACLs(g.t.Context(), g.place.kafka, acls))
}

func (g *guarded) revoke(a stream.ACL) {
	g.t.Helper()
	require.NoError(g.t, stream.RemoveACLs(g.t.Context(), g.place.kafka, []stream.ACL{a}))
}

// rights are all that the services need, for one user.
func rights() []stream.ACL {
	users := map[string]string{}
	for _, service := range []string{stream.Receiver, stream.Normalizer, stream.Sink, stream.Quarantine} {
		users[service] = "User:" + kafkaUser
	}
	return stream.WantedACLs(users, "*", stream.Names{}, catalog.Set().Names())
}

// post sends the next event as Stripe does, and gives the answer. Until it is
// acknowledged it is the same one: a vendor tries again with the same bytes.
func (g *guarded) post() (int, error) {
	g.t.Helper()
	if g.began.IsZero() {
		g.began = time.Now()
	}
	simulator, err := vendors.New(catalog.Set(), uint64(1000+g.sent))
	require.NoError(g.t, err)
	delivery, err := simulator.Delivery("stripe", vendors.Event{
		At: g.began.Add(time.Duration(g.sent) * time.Millisecond), About: vendors.Customer{IDs: map[string]string{"stripe:customer": "cus_bad"}}, Members: fmt.Sprintf(`"e2e":"guarded-%d"`, g.sent),
	})
	require.NoError(g.t, err)
	answer, err := g.sender.Post(g.t.Context(), delivery)
	if err != nil {
		return 0, err
	}
	return answer.Status, nil
}

// acknowledged posts events until so many are acknowledged.
func (g *guarded) acknowledged(n int) {
	g.t.Helper()
	for range n {
		await(g.t, patience, "an event to be acknowledged", func() (bool, string) {
			status, err := g.post()
			return status == http.StatusOK, fmt.Sprint(status, err)
		})
		g.sent++
	}
}

// write puts events into the raw topic, past the receiver.
func (g *guarded) write(n int) {
	for range n {
		g.publish("stripe", []byte(g.events(fmt.Sprintf("guarded-%d", g.sent), "")))
		g.sent++
	}
}

// tells waits until /readyz, for a component whose name begins so, and a line of the
// log say what to do.
func (g *guarded) tells(component, text, advice string) {
	g.t.Helper()
	await(g.t, patience, component+" to say what is wrong", func() (bool, string) {
		seen := ""
		for _, state := range g.runtime.Health.Report(g.t.Context()).Components {
			if !strings.HasPrefix(state.Name, component) {
				continue
			}
			if strings.Contains(state.Error, text) && strings.Contains(state.Advice, advice) {
				return true, ""
			}
			seen += state.Error + " / " + state.Advice + "\n"
		}
		return false, seen
	})
	await(g.t, patience, "a line of the log", func() (bool, string) {
		for _, entry := range g.lines.All() {
			if told, ok := entry.ContextMap()["advice"].(string); ok && strings.Contains(told, advice) {
				g.t.Logf("readyz %s; log: %s %q %v", component, entry.Level, entry.Message, entry.ContextMap())
				return true, ""
			}
		}
		return false, fmt.Sprint(g.lines.Len())
	})
	require.False(g.t, servicetest.Ready(g.runtime))
}

// recovers waits until all that was sent is on the timeline, once, and all is ready.
func (g *guarded) recovers() {
	g.t.Helper()
	g.onTimelinesBecome(g.sent)
	await(g.t, patience, "readiness", func() (bool, string) {
		report := g.runtime.Health.Report(g.t.Context())
		return report.Ready, fmt.Sprint(report)
	})
	require.Zero(g.t, g.open())
	servicetest.RequireFewLines(g.t, g.lines)
}

// TestTopicSettingsAndRights is a cluster whose default is to compact, and topics
// that somebody made there without our settings; then each right that the services
// need is taken away while they run, and given back.
func TestTopicSettingsAndRights(t *testing.T) {
	t.Parallel()
	kafka := streamtest.KafkaWithUsers(t, map[string]string{kafkaUser: kafkaPassword}, map[string]string{
		"log.cleanup.policy": "compact", "min.insync.replicas": "1", "log.message.timestamp.type": "CreateTime",
	})
	g := newGuarded(t, kafka)
	g.grant(rights()...)
	topics := []string{stream.AccountEvents, stream.DeadLetters, stream.AccountChanges}
	for _, name := range catalog.Set().Names() {
		topics = append(topics, stream.RawTopic(name))
	}
	_, err := g.admin.CreateTopics(t.Context(), 3, 1, nil, topics...)
	require.NoError(t, err)
	g.start()
	for _, component := range []string{"normalizer-topics", "receiver-topics"} {
		g.tells(component, "topic raw.stripe has cleanup.policy=compact, wanted is cleanup.policy=delete", "throughline topics apply")
	}
	status, err := g.post()
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, status)

	g.throughline("topics", "apply")
	g.acknowledged(30) // of one customer: compaction would leave one
	g.recovers()
	configs, err := g.admin.DescribeTopicConfigs(t.Context(), stream.RawTopic("stripe"), stream.AccountEvents)
	require.NoError(t, err)
	for _, resource := range configs {
		got := map[string]string{}
		for _, c := range resource.Configs {
			got[c.Key] = c.MaybeValue()
		}
		for name, want := range map[string]string{
			"cleanup.policy": "delete", "retention.bytes": "-1", "message.timestamp.type": "LogAppendTime", "compression.type": "producer", "min.insync.replicas": "1",
		} {
			require.Equal(t, want, got[name], "%s of %s", name, resource.Name)
		}
	}

	topic, group, id := kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup, kmsg.ACLResourceTypeTransactionalId
	for _, right := range []struct {
		acl       stream.ACL
		component string
		text      string
		advice    string
		write     func(int)
	}{
		{right(topic, stream.RawTopic("stripe"), kmsg.ACLOperationRead), "normalizer-", "TOPIC_AUTHORIZATION_FAILED", "--operation READ --topic raw.stripe", g.write},
		{right(group, "throughline-sink", kmsg.ACLOperationRead), "sink-0", "GROUP_AUTHORIZATION_FAILED", "--operation READ --group throughline-sink", g.write},
		{right(topic, stream.RawTopic("stripe"), kmsg.ACLOperationWrite), "receiver-topics", "topic raw.stripe: TOPIC_AUTHORIZATION_FAILED", "--operation WRITE --topic raw.stripe", nil},
		{right(id, "throughline-normalizer-", kmsg.ACLOperationWrite), "normalizer-", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "--operation WRITE --resource-pattern-type prefixed --transactional-id throughline-", g.write},
	} {
		t.Run(strings.ReplaceAll(right.advice[2:], " ", ""), func(t *testing.T) {
			g.revoke(right.acl)
			if right.write != nil {
				right.write(20)
			} else {
				await(t, patience, "Stripe to be told to come again", func() (bool, string) {
					status, err := g.post()
					return status == http.StatusServiceUnavailable, fmt.Sprint(status, err)
				})
			}
			g.tells(right.component, right.text, right.advice)
			g.grant(right.acl)
			g.acknowledged(5)
			g.recovers()
		})
	}
}
