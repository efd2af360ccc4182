package streamtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// patience bounds what a loaded machine may take for a few records.
const patience = 2 * time.Minute

func newClient(t *testing.T, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...))...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// newTopic makes a topic of the test's own, with the cluster's defaults.
func newTopic(t *testing.T, brokers []string) string {
	t.Helper()
	topic := strings.ReplaceAll(t.Name(), "/", ".")
	_, err := kadm.NewClient(newClient(t, brokers)).CreateTopic(patient(t), 1, -1, nil, topic)
	require.NoError(t, err)
	return topic
}

func produce(t *testing.T, client *kgo.Client, topic string, from, to int) {
	t.Helper()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%d", i)})
	}
	require.NoError(t, client.ProduceSync(patient(t), records...).FirstErr())
}

// readCommitted reads from the beginning until it has seen the value last.
func readCommitted(t *testing.T, brokers []string, topic, last string) (values []string) {
	t.Helper()
	client := newClient(t, brokers, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ctx := patient(t)
	for len(values) == 0 || values[len(values)-1] != last {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "still waiting for %q after %q", last, values)
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func numbers(from, to int) (values []string) {
	for i := from; i < to; i++ {
		values = append(values, fmt.Sprint(i))
	}
	return values
}

// transactions commits "0".."2", aborts "aborted", commits "last".
func transactions(t *testing.T, brokers []string) {
	t.Helper()
	topic := newTopic(t, brokers)
	client := newClient(t, brokers, kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))
	for _, step := range []struct {
		values []string
		end    kgo.TransactionEndTry
	}{
		{numbers(0, 3), kgo.TryCommit},
		{[]string{"aborted"}, kgo.TryAbort},
		{[]string{"last"}, kgo.TryCommit},
	} {
		require.NoError(t, client.BeginTransaction())
		for _, value := range step.values {
			require.NoError(t, client.ProduceSync(patient(t), kgo.StringRecord(value)).FirstErr())
		}
		require.NoError(t, client.EndTransaction(patient(t), step.end))
	}
	require.Equal(t, append(numbers(0, 3), "last"), readCommitted(t, brokers, topic, "last"))
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	transactions(t, streamtest.Embedded(t))
}

func TestFake(t *testing.T) {
	t.Parallel()
	cluster := streamtest.Fake(t)
	topic := newTopic(t, cluster.ListenAddrs())
	client := newClient(t, cluster.ListenAddrs(), kgo.MetadataMinAge(50*time.Millisecond))
	cut := make(chan struct{})
	cluster.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(cut)
		return nil, errors.New("cut"), true
	})
	produce(t, client, topic, 0, 3)
	<-cut
	require.Equal(t, numbers(0, 3), readCommitted(t, cluster.ListenAddrs(), topic, "2"))
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, streamtest.Registry(t)+"/subjects", nil)
	require.NoError(t, err)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.JSONEq(t, `[]`, string(body))
}

func TestKafkaTransactions(t *testing.T) {
	t.Parallel()
	transactions(t, shared.Brokers(t))
}

func TestKafkaMakesNoTopicByItself(t *testing.T) {
	t.Parallel()
	client := newClient(t, shared.Brokers(t), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
	err := client.ProduceSync(patient(t), &kgo.Record{Topic: "nobody.made.this", Value: []byte("x")}).FirstErr()
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)
}
