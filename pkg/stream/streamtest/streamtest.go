// Package streamtest gives tests a broker to talk to, never a mock of a
// client: the one in this process for quick tests (Embedded), real Apache
// Kafka for what only that can prove (Kafka), and a schema registry (Registry).
// All of them end with the test.
//
// A package that wants one Apache Kafka for all its tests keeps a Shared in its
// TestMain.
package streamtest

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap/zaptest"

	"github.com/throughline-dev/throughline/pkg/local/broker"
	"github.com/throughline-dev/throughline/pkg/local/kafka"
	"github.com/throughline-dev/throughline/pkg/local/network"
	"github.com/throughline-dev/throughline/pkg/local/process"
	"github.com/throughline-dev/throughline/pkg/tlsfiles/tlsfilestest"
)

// startTimeout bounds the start of Apache Kafka: a few seconds when Kafka has
// been fetched, up to minutes with a fetch over a slow line.
const startTimeout = 5 * time.Minute

// Embedded starts the broker that `throughline dev` uses, in memory, on a free
// port, and gives its address. Topics are for the test to create.
func Embedded(t testing.TB) (brokers []string) {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Options{Addr: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return []string{b.Addr()}
}

// Fake is Embedded for tests that make the broker misbehave: it gives the
// library's own handle, whose ControlKey and Fault step in between a request
// and its answer. opts come after broker.Settings, and win.
func Fake(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	opts = append(append(broker.Settings(), kfake.NumBrokers(1)), opts...)
	cluster, err := kfake.NewCluster(opts...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster
}

// SetMaxMessageBytes bounds what a topic takes.
func SetMaxMessageBytes(t testing.TB, client *kgo.Client, topic string, bytes int) {
	t.Helper()
	value := strconv.Itoa(bytes)
	answers, err := kadm.NewClient(client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &value}}, topic)
	require.NoError(t, err)
	require.NoError(t, answers[0].Err)
}

// Noise is text that no compression makes shorter than half.
func Noise(bytes int) string {
	random := make([]byte, bytes/2)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random) // it never fails
	return hex.EncodeToString(random)
}

// RefuseProduce is a broker's answer that refuses all of a request.
func RefuseProduce(request *kmsg.ProduceRequest, why *kerr.Error) kmsg.Response {
	answer := request.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range request.Topics {
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode = partition.Partition, why.Code
			t.Partitions = append(t.Partitions, p)
		}
		answer.Topics = append(answer.Topics, t)
	}
	return answer
}

// Registry starts an empty schema registry and gives its URL.
func Registry(t testing.TB) (url string) {
	t.Helper()
	r, err := broker.StartRegistry("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r.URL()
}

// A Cluster is Apache Kafka that belongs to one test. What goes wrong with it
// fails the test.
type Cluster struct {
	t       testing.TB
	cluster *kafka.Cluster
}

// Kafka starts Apache Kafka with n brokers (1 or 3) and kills them when the
// test ends. Properties are added to each broker's server.properties.
func Kafka(t testing.TB, n int, properties ...map[string]string) *Cluster {
	t.Helper()
	options := kafka.Options{Brokers: n, Dir: t.TempDir(), Log: zaptest.NewLogger(t), Properties: map[string]string{}}
	for _, more := range properties {
		for key, value := range more {
			options.Properties[key] = value
		}
	}
	return start(t, options)
}

func start(t testing.TB, options kafka.Options) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	cluster, err := kafka.Start(ctx, options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	return &Cluster{t: t, cluster: cluster}
}

// Brokers gives every broker's address, killed ones too.
func (c *Cluster) Brokers() []string { return c.cluster.Brokers() }

// KafkaWithUsers is Kafka with one broker that has these users (kafka.Options.Users).
func KafkaWithUsers(t testing.TB, users map[string]string, properties map[string]string) *Cluster {
	t.Helper()
	return start(t, kafka.Options{Dir: t.TempDir(), Log: zaptest.NewLogger(t), Users: users, Properties: properties})
}

// Networked is three brokers behind a network that can be bad.
type Networked struct {
	*Cluster                   // whose Brokers are the addresses past it
	Behind    []string         // the brokers' addresses behind it
	ToBrokers []*network.Proxy // what clients reach each broker by
	ToLeaders []*network.Proxy // what the other brokers reach each broker by, to follow it
}

// KafkaBehindProxies starts three brokers behind a network.
func KafkaBehindProxies(t testing.TB) *Networked {
	t.Helper()
	const brokers = 3
	ports, err := process.FreePorts(2 * brokers)
	require.NoError(t, err)
	var behind []string
	for _, port := range ports {
		behind = append(behind, fmt.Sprintf("127.0.0.1:%d", port))
	}
	n := &Networked{Behind: behind[:brokers:brokers]}
	n.Cluster = start(t, kafka.Options{Brokers: brokers, Dir: t.TempDir(), Log: zaptest.NewLogger(t), Proxies: n.Behind, Between: behind[brokers:]})
	for i, target := range append(n.cluster.ProxiedBrokers(), n.cluster.BetweenBrokers()...) {
		p, err := network.Start(behind[i], target)
		require.NoError(t, err)
		t.Cleanup(p.Close)
		if i < brokers {
			n.ToBrokers = append(n.ToBrokers, p)
		} else {
			n.ToLeaders = append(n.ToLeaders, p)
		}
	}
	return n
}

// KafkaWithTLS is KafkaWithUsers whose users log in with TLS and SCRAM-SHA-512, or
// with a certificate of the authority (CertificateBrokers) whose common name is theirs.
func KafkaWithTLS(t testing.TB, users map[string]string, authority *tlsfilestest.Authority) *Cluster {
	t.Helper()
	cert, key := authority.Issue("broker")
	return start(t, kafka.Options{Dir: t.TempDir(), Log: zaptest.NewLogger(t), Users: users, TLS: &kafka.TLS{CertFile: cert, KeyFile: key, CAFile: authority.CAFile}})
}

// CertificateBrokers gives every broker's address for clients with a certificate.
func (c *Cluster) CertificateBrokers() []string { return c.cluster.CertificateBrokers() }

// UserBrokers gives every broker's address for its users.
func (c *Cluster) UserBrokers() []string { return c.cluster.UserBrokers() }

// Kill ends broker i (from 0) with SIGKILL, and returns when it is gone.
func (c *Cluster) Kill(i int) { c.cluster.Kill(i) }

// Restart starts broker i (from 0) on its old port and data, and returns when
// it answers.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), startTimeout)
	defer cancel()
	require.NoError(c.t, c.cluster.Restart(ctx, i))
}

// Freeze stops broker i (from 0) without ending it, until Thaw: nothing answers, and no connection ends.
func (c *Cluster) Freeze(i int) { c.cluster.Freeze(i) }

// Thaw lets a frozen broker go on.
func (c *Cluster) Thaw(i int) { c.cluster.Thaw(i) }

// Stop ends all brokers in order, for a test of what clients see then.
func (c *Cluster) Stop() {
	c.t.Helper()
	require.NoError(c.t, c.cluster.Stop(c.t.Context()))
}

// Shared is one single-broker Apache Kafka for all tests of a package. It
// starts when the first test asks, so running the others alone costs nothing.
// Tests keep apart by topic and group name, and must not kill it.
//
//	var kafka streamtest.Shared
//
//	func TestMain(m *testing.M) { os.Exit(kafka.Run(m)) }
type Shared struct {
	once    sync.Once
	cluster *kafka.Cluster
	err     error
}

// Run runs the package's tests (m is a *testing.M, or what wraps one), stops what they started, and gives the code to
// exit with.
func (s *Shared) Run(m interface{ Run() int }) (code int) {
	code = m.Run()
	if s.cluster == nil {
		return code
	}
	if err := s.cluster.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping Kafka:", err)
		return max(code, 1)
	}
	return code
}

// Brokers gives the broker's address, and starts it for the first test.
func (s *Shared) Brokers(t testing.TB) []string {
	t.Helper()
	s.once.Do(func() {
		// Not the test's context: the others go on using it.
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		s.cluster, s.err = kafka.Start(ctx, kafka.Options{})
	})
	require.NoError(t, s.err)
	return s.cluster.Brokers()
}
