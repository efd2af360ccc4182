package stream

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
	check := NewTopicCheck(client(), []string{"raw.stripe"}, nil)
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
