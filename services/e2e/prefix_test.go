package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// TestTwoInstallationsShareACluster runs two whole systems on one broker and one
// registry, each with a prefix: neither sees anything of the other, also not of what
// is released from quarantine.
func TestTwoInstallationsShareACluster(t *testing.T) {
	t.Parallel()
	brokers, registry := streamtest.Embedded(t), streamtest.Registry(t)
	stripeEvent := stripeEvents(t)
	places := map[string]*place{}
	for _, prefix := range []string{"eu.", "us-"} {
		p := newBarePlace(t, brokers, postgrestest.URL(t))
		p.registry = registry
		config := stream.Config{Brokers: brokers, Prefix: prefix, InstanceID: "pod-0"} // the same in both
		_, err := stream.ApplyTopics(t.Context(), p.kafka, config.Names(), catalog.Set().Names(), stream.TopicOptions{
			Partitions: 2, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: time.Hour,
		})
		require.NoError(t, err)
		startEmbeddedAs(t, p, config, zap.NewNop())
		places[prefix] = p
	}
	const events = 50
	for prefix, p := range places {
		var records []*kgo.Record
		for i := range events {
			records = append(records, &kgo.Record{Topic: prefix + "raw.stripe", Value: []byte(stripeEvent(fmt.Sprintf("%s%d", prefix, i), ""))})
		}
		require.NoError(t, stream.NewPublisher(p.kafka).Publish(t.Context(), records...))
	}
	for prefix, p := range places {
		p.openBecomes(events)
		p.link("stripe:customer:cus_bad", p.account("Acme", "acme.example"))
		p.onTimelinesBecome(events)
		p.openBecomes(0)
		require.Equal(t, []string{fmt.Sprint(events)}, p.strings("SELECT count(*)::text FROM account_events WHERE payload->>'e2e' LIKE $1", prefix+"%"))
		require.Equal(t, []string{prefix + "raw.stripe"}, p.strings("SELECT DISTINCT raw_topic FROM account_event_origins"))
		servicetest.RequireReady(t, p.runtime, true)
	}
	admin := kadm.NewClient(places["eu."].kafka)
	topics, err := admin.ListTopics(t.Context())
	require.NoError(t, err)
	groups, err := admin.ListGroups(t.Context())
	require.NoError(t, err)
	names := append(topics.Names(), groups.Groups()...)
	transactions, err := admin.ListTransactions(t.Context(), nil, nil)
	require.NoError(t, err)
	for _, name := range append(names, transactions.TransactionalIDs()...) {
		require.True(t, slices.ContainsFunc([]string{"eu.", "us-"}, func(prefix string) bool { return strings.HasPrefix(name, prefix) }), name)
	}
}
