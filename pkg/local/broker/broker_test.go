package broker_test

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/local/broker"
)

func start(t *testing.T, o broker.Options) *broker.Broker {
	t.Helper()
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	b, err := broker.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// withClient closes its client before it returns, as Close of a broker asks.
func withClient(t *testing.T, addr string, do func(ctx context.Context, client *kgo.Client), opts ...kgo.Opt) {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr))...)
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	do(ctx, client)
}

func createTopic(t *testing.T, addr, topic string) {
	t.Helper()
	withClient(t, addr, func(ctx context.Context, client *kgo.Client) {
		_, err := kadm.NewClient(client).CreateTopic(ctx, 1, -1, nil, topic)
		require.NoError(t, err)
	})
}

func produce(t *testing.T, addr, topic string, values ...string) {
	t.Helper()
	withClient(t, addr, func(ctx context.Context, client *kgo.Client) {
		for _, value := range values {
			require.NoError(t, client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr())
		}
	})
}

// consumeGroup reads n records as a group member, and commits.
func consumeGroup(t *testing.T, addr, group, topic string, n int) (values []string) {
	t.Helper()
	withClient(t, addr, func(ctx context.Context, client *kgo.Client) {
		for len(values) < n {
			fetches := client.PollFetches(ctx)
			require.NoError(t, fetches.Err())
			fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
		}
		require.NoError(t, client.CommitUncommittedOffsets(ctx))
	}, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(2*time.Second), kgo.HeartbeatInterval(200*time.Millisecond))
	return values
}

func TestBrokerKeepsRecordsAndOffsetsOverARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kafka")

	first := start(t, broker.Options{DataDir: dir})
	createTopic(t, first.Addr(), "raw.test")
	produce(t, first.Addr(), "raw.test", "a", "b")
	require.Equal(t, []string{"a", "b"}, consumeGroup(t, first.Addr(), "readers", "raw.test", 2))
	produce(t, first.Addr(), "raw.test", "c")
	addr := first.Addr()
	require.NoError(t, first.Close())

	second := start(t, broker.Options{Addr: addr, DataDir: dir})
	require.Equal(t, addr, second.Addr())
	require.Equal(t, []string{"c"}, consumeGroup(t, addr, "readers", "raw.test", 1), "the group goes on where it was")
	require.Equal(t, []string{"a", "b", "c"}, consumeGroup(t, addr, "newcomers", "raw.test", 3))
}

func TestBrokerInMemoryForgets(t *testing.T) {
	t.Parallel()
	first := start(t, broker.Options{})
	createTopic(t, first.Addr(), "raw.test")
	require.NoError(t, first.Close())

	second := start(t, broker.Options{Addr: first.Addr()})
	withClient(t, second.Addr(), func(ctx context.Context, client *kgo.Client) {
		topics, err := kadm.NewClient(client).ListTopics(ctx)
		require.NoError(t, err)
		require.Empty(t, topics.Names())
	})
}

func TestBrokerRefuses(t *testing.T) {
	t.Parallel()

	t.Run("ADataDirectoryInUse", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		holder := start(t, broker.Options{DataDir: dir})

		_, err := broker.Start(t.Context(), broker.Options{Addr: "127.0.0.1:0", DataDir: dir})
		require.ErrorIs(t, err, broker.ErrInUse)
		require.ErrorContains(t, err, dir)
		require.ErrorContains(t, err, "stop that process, or choose another data directory")

		require.NoError(t, holder.Close())
		start(t, broker.Options{DataDir: dir})
	})

	t.Run("ATakenPortAndLetsGoOfTheDirectory", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		holder := start(t, broker.Options{})

		_, err := broker.Start(t.Context(), broker.Options{Addr: holder.Addr(), DataDir: dir})
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		var port int
		_, scanErr := fmt.Sscanf(holder.Addr(), "127.0.0.1:%d", &port)
		require.NoError(t, scanErr)
		require.ErrorContains(t, err, fmt.Sprintf("port %d on 127.0.0.1 is taken: stop the program that holds it", port))

		start(t, broker.Options{DataDir: dir})
	})

	for _, addr := range []string{"", "127.0.0.1", "0.0.0.0:19092", ":19092", "127.0.0.1:kafka", "127.0.0.1:70000"} {
		t.Run("Address "+addr, func(t *testing.T) {
			t.Parallel()
			_, err := broker.Start(t.Context(), broker.Options{Addr: addr})
			require.ErrorContains(t, err, fmt.Sprintf("broker address %q", addr))
		})
	}
}

func TestBrokerCloseTwice(t *testing.T) {
	t.Parallel()
	b := start(t, broker.Options{DataDir: t.TempDir()})
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
}
