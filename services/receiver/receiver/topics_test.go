package receiver

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/stream"
)

func (r *rig) admin() *kadm.Client {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...))
	require.NoError(r.t, err)
	r.t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// set changes one setting of a topic.
func (r *rig) set(admin *kadm.Client, topic, name, value string) {
	r.t.Helper()
	answers, err := admin.AlterTopicConfigs(r.t.Context(), []kadm.AlterConfig{{Name: name, Value: &value}}, topic)
	require.NoError(r.t, err)
	require.NoError(r.t, answers[0].Err)
}

// A delivery that a compacted topic takes is acknowledged and then deleted: it is
// not taken, and nobody else's waits for it.
func TestACompactedTopicIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	admin := r.admin()
	r.stop()
	for _, source := range []string{"stripe", "marketo"} {
		r.set(admin, stream.RawTopic(source), "cleanup.policy", "compact")
	}
	r.start()
	require.Equal(t, 503, r.post("stripe", example(t, "stripe")).status)
	require.Equal(t, 200, r.post("marketo", example(t, "marketo")).status, "its vendor never retries")
	require.EqualValues(t, 1, r.metric("spool_deliveries", "source", "marketo"))
	require.Equal(t, 200, r.post("zendesk", example(t, "zendesk")).status)
	state, _ := servicetest.Component(r.options.Runtime, "receiver-topics")
	require.False(t, state.Ready)
	require.Contains(t, state.Error, "topic raw.stripe has cleanup.policy=compact, wanted is cleanup.policy=delete")
	require.Contains(t, state.Advice, "throughline topics apply")

	r.applyTopics()
	require.NoError(t, r.receiver.topics.AwaitSafe(t.Context()), "Run looks now and then")
	require.Equal(t, 200, r.post("stripe", example(t, "stripe")).status)
	require.Eventually(t, func() bool { return r.metric("spool_deliveries", "source", "marketo") == 0 }, patience, 10*time.Millisecond)
	require.Len(t, r.records("marketo", 1), 1)
	servicetest.RequireReady(t, r.options.Runtime, true)
}

func TestAMissingRawTopicIsNotReady(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	servicetest.RequireReady(t, r.options.Runtime, true)
	_, err := r.admin().DeleteTopic(t.Context(), stream.RawTopic("zendesk"))
	require.NoError(t, err)
	report := r.options.Runtime.Health.Report(context.WithoutCancel(t.Context()))
	require.False(t, report.Ready)
	state, _ := servicetest.Component(r.options.Runtime, "receiver-topics")
	require.Contains(t, state.Error, "topic raw.zendesk: UNKNOWN_TOPIC_OR_PARTITION")
	require.Contains(t, state.Advice, "throughline topics apply")
	r.applyTopics()
	servicetest.RequireReady(t, r.options.Runtime, true)
}
