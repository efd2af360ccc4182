package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/vendors"
)

// TestTopicsAreMadeAnew deletes topics of Apache Kafka whose groups have committed
// offsets far beyond the end that the new ones have. While they are gone, each
// service says so and what to do; after `topics apply` all goes on, without a
// restart.
func TestTopicsAreMadeAnew(t *testing.T) {
	t.Parallel()
	p := newPlace(t, streamtest.Kafka(t, 1).Brokers())
	url := startEmbedded(t, p)
	account := p.account("Acme", "acme.example")
	p.link("stripe:customer:cus_bad", account)
	stripeEvent := stripeEvents(t)
	publish := func(from, to int) {
		for i := from; i < to; i++ {
			// One by one, so that the partitions share them.
			p.publish("stripe", []byte(stripeEvent(fmt.Sprintf("anew-%d", i), "")))
		}
	}
	garbage := func(from, to int) {
		for i := from; i < to; i++ {
			p.publish("stripe", fmt.Appendf(nil, "garbage-%d", i))
		}
	}
	publish(0, 300)
	garbage(0, 30)
	p.onTimelinesBecome(300)
	p.openBecomes(30)

	admin := kadm.NewClient(p.kafka)
	deleted := []string{stream.RawTopic("stripe"), stream.AccountEvents, stream.DeadLetters}
	answers, err := admin.DeleteTopics(t.Context(), deleted...)
	require.NoError(t, err)
	require.NoError(t, answers.Error())
	for service, topics := range map[string][]string{"normalizer": deleted, "sink": deleted[1:], "quarantine": {deleted[0], deleted[2]}} {
		await(t, patience, service+" to tell of the topics", func() (bool, string) {
			state, _ := servicetest.Component(p.runtime, service+"-topics")
			for _, topic := range topics {
				if !strings.Contains(state.Error, "topic "+topic+":") {
					return false, state.Error
				}
			}
			return strings.Contains(state.Advice, "throughline topics apply"), state.Advice
		})
	}
	// A member that has joined anew waits for its topic and knows of no trouble.
	await(t, patience, "the sink to join anew", func() (bool, string) {
		state, _ := servicetest.Component(p.runtime, "sink-0")
		return state.Ready, state.Error
	})
	require.False(t, servicetest.Ready(p.runtime))

	p.throughline("topics", "apply", "--partitions", "3")
	sender := vendors.Sender{Sources: catalog.Set(), URL: url, PublicURL: publicURL, Secrets: secrets()}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	simulator, err := vendors.New(catalog.Set(), 1) // another seed than stripeEvents has: other ids
	require.NoError(t, err)
	delivery, err := simulator.Delivery("stripe", vendors.Event{
		At: time.Now(), About: vendors.Customer{IDs: map[string]string{"stripe:customer": "cus_bad"}}, Members: `"e2e":"received"`,
	})
	require.NoError(t, err)
	await(t, patience, "the receiver to publish again", func() (bool, string) {
		answer, err := sender.Post(t.Context(), delivery)
		return err == nil && answer.Status == http.StatusOK, fmt.Sprint(answer, err)
	})
	await(t, patience, "this test's own client to find the new topic", func() (bool, string) {
		err := stream.NewPublisher(p.kafka).Publish(t.Context(), &kgo.Record{Topic: deleted[0]}) // a tombstone
		return err == nil, fmt.Sprint(err)
	})
	publish(300, 330)
	garbage(30, 35)
	p.onTimelinesBecome(331)
	p.openBecomes(35)
	servicetest.RequireReady(t, p.runtime, true)
}

// TestKafkaRefusesOneRecord lowers what account-events takes below one event's
// size: that event alone is dead-lettered, in the transaction of the others of its
// batch, and released once the topic takes it again.
func TestKafkaRefusesOneRecord(t *testing.T) {
	t.Parallel()
	p := newPlace(t, streamtest.Kafka(t, 1).Brokers())
	streamtest.SetMaxMessageBytes(t, p.kafka, stream.AccountEvents, 100_000)
	p.link("stripe:customer:cus_bad", p.account("Acme", "acme.example"))
	stripeEvent := stripeEvents(t)
	const events, large = 400, 200
	var values [][]byte
	for i := range events {
		more := ""
		if i == large {
			more = fmt.Sprintf(`,"text":%q`, streamtest.Noise(400_000))
		}
		values = append(values, []byte(stripeEvent(fmt.Sprintf("refused-%d", i), more)))
	}
	p.publish("stripe", values...) // before the services start: few and large batches
	startEmbedded(t, p)
	p.onTimelinesBecome(events - 1)
	p.openBecomes(1)
	require.Equal(t, []string{"oversized"}, p.strings("SELECT reason FROM quarantine"))
	require.Contains(t, p.strings("SELECT error FROM quarantine")[0], "the brokers refuse its account event: MESSAGE_TOO_LARGE")
	servicetest.RequireReady(t, p.runtime, true)

	p.throughline("topics", "apply", "--partitions", "3")
	p.throughline("quarantine", "release", p.strings("SELECT id::text FROM quarantine")[0])
	p.onTimelinesBecome(events)
	p.openBecomes(0)
	p.tap.settle(patience)
}
