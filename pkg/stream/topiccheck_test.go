package stream

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/fault"
)

func TestAnOpenTransactionIsNoticed(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "raw.stripe"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	client := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(cluster.ListenAddrs()...))...)
		require.NoError(t, err)
		t.Cleanup(cl.Close)
		return cl
	}
	stranger := client(kgo.TransactionalID("stranger"), kgo.DefaultProduceTopic("raw.stripe"))
	check := NewTopicCheck(Config{}, client(), []string{"raw.stripe"}, nil)
	check.most = 20 * time.Millisecond
	require.NoError(t, check.Check(t.Context()))

	require.NoError(t, stranger.BeginTransaction())
	require.NoError(t, stranger.ProduceSync(t.Context(), kgo.StringRecord("{}")).FirstErr())
	require.NoError(t, check.Check(t.Context()), "it has just begun")
	require.Eventually(t, func() bool { return check.Check(t.Context()) != nil }, 10*time.Second, 5*time.Millisecond)
	err = check.Check(t.Context())
	require.ErrorContains(t, err, "raw.stripe/0: a transaction that began at offset 0 has been open")
	require.Contains(t, fault.Advice(err), "abort --topic raw.stripe --partition 0 --start-offset 0")

	require.NoError(t, stranger.EndTransaction(context.Background(), kgo.TryCommit))
	require.NoError(t, check.Check(t.Context()))
}

// A broker whose default is compact made topics that kept one event of 30.
func TestACompactedTopicIsUnsafe(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t)
	check := NewTopicCheck(c, client, []string{RawTopic("stripe")}, []string{AccountEvents})
	require.NoError(t, check.Check(t.Context()))
	set := func(topic, name, value string) {
		answers, err := kadm.NewClient(client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: name, Value: &value}}, topic)
		require.NoError(t, err)
		require.NoError(t, answers[0].Err)
	}
	set(RawTopic("stripe"), "cleanup.policy", "compact,delete")
	err := check.Check(t.Context())
	require.ErrorIs(t, err, ErrUnsafeTopic)
	require.EqualError(t, err, "the brokers delete acknowledged events of a topic: topic raw.stripe has cleanup.policy=compact,delete, wanted is cleanup.policy=delete")
	require.Equal(t, "run `throughline topics apply`", fault.Advice(err))
	unsafe, err := check.Unsafe(t.Context())
	require.NoError(t, err)
	require.Len(t, unsafe, 1)

	doubts, err := check.Doubts(t.Context())
	require.NoError(t, err)
	require.Empty(t, doubts)
	set(AccountEvents, "message.timestamp.type", "CreateTime")
	doubts, err = check.Doubts(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"topic account-events has message.timestamp.type=CreateTime, wanted is message.timestamp.type=LogAppendTime: run `throughline topics apply`"}, doubts)

	changes, err := ApplyTopics(t.Context(), client, Names{}, []string{"stripe"}, TopicOptions{Partitions: 3, ReplicationFactor: 3, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	require.Equal(t, "configured", changes[0].Change)
	require.Contains(t, changes[0].Warning, "its replication factor is 1, not 3")
	require.NoError(t, check.Check(t.Context()))
}

func TestAMissingTopicIsNamed(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t)
	err := NewTopicCheck(c, client, []string{RawTopic("stripe"), RawTopic("none")}, []string{AccountEvents}).Check(t.Context())
	require.ErrorContains(t, err, "topic raw.none: UNKNOWN_TOPIC_OR_PARTITION")
	require.NotContains(t, err.Error(), "stripe")
	require.Contains(t, fault.Advice(err), "throughline topics apply")
}

func TestNames(t *testing.T) {
	t.Parallel()
	c := Config{Prefix: "eu.", InstanceID: "pod-1"}
	require.Equal(t, "eu.raw.stripe", c.Names().Raw("stripe"))
	require.Equal(t, "eu.account-events.dlq", c.Names().DeadLetters())
	require.Equal(t, "eu.throughline-sink", c.Names().Group(Sink))
	require.Equal(t, "eu.throughline-normalizer-pod-1-1", TransactionalID(c, Normalizer, 1))
	require.Equal(t, "throughline-sink", Names{}.Group(Sink))
	for topic, want := range map[string]string{"raw.stripe": "stripe", "eu.raw.stripe": "stripe", "a_b-raw.billing": "billing", "straw.stripe": "", "eu.account-events": "", "account-events.dlq": ""} {
		got, ok := SourceOfTopic(topic)
		require.Equal(t, want, got, topic)
		require.Equal(t, want != "", ok, topic)
	}
	for prefix, valid := range map[string]bool{"": true, "eu.": true, "a-": true, "b_": true, "eu": false, "raw.": false, "eu.raw.": false, "ü.": false, "e u.": false, "a\n.": false} {
		err := Config{Brokers: []string{"k:9092"}, Prefix: prefix}.Validate()
		require.Equal(t, valid, err == nil, "%q: %v", prefix, err)
	}
	require.ErrorContains(t, Config{Brokers: []string{"k:9092"}, Prefix: "eu"}.Validate(), "THROUGHLINE_KAFKA_PREFIX (--kafka-prefix): \"eu\" should end with")
}
