package normalizer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/normalizer/normalizer"
)

// kafka is a broker with all topics, and a client to publish with.
type kafka struct {
	config  stream.Config
	cluster *kfake.Cluster
	client  *kgo.Client
}

func newKafka(t *testing.T) kafka {
	t.Helper()
	cluster := streamtest.Fake(t)
	config := stream.Config{Brokers: cluster.ListenAddrs()}
	client, err := stream.NewClient(config, stream.Deps{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	_, err = stream.ApplyTopics(t.Context(), client, stream.Names{}, catalog.Set().Names(),
		stream.TopicOptions{Partitions: 4, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	return kafka{config, cluster, client}
}

// publish writes the raw events from to to-1 of the customer cus_1, of which
// every tenth is garbage.
func (k kafka) publish(t *testing.T, from, to int) {
	t.Helper()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		value := stripeEvent(fmt.Sprintf("evt_%06d", i), `"customer":"cus_1"`)
		if i%10 == 9 {
			value = fmt.Sprintf("garbage_%06d", i)
		}
		records = append(records, &kgo.Record{Topic: stream.RawTopic("stripe"), Key: fmt.Append(nil, i%17), Value: []byte(value)})
	}
	require.NoError(t, stream.NewPublisher(k.client).Publish(t.Context(), records...))
}

// output reads what is committed on the two topics, and counts each event and
// each dead letter.
type output struct {
	mu      sync.Mutex
	decoder *event.Decoder
	seen    map[string]int
	large   []event.DeadLetter // of the reason oversized
}

func (o *output) count(name string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[name]
}

// oversized gives the dead letters that say so, by size.
func (o *output) oversized() []event.DeadLetter {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.SortedFunc(slices.Values(o.large), func(a, b event.DeadLetter) int { return len(b.Value) - len(a.Value) })
}

// eventOrGarbage names what publish writes.
func eventOrGarbage(i int) string {
	if i%10 == 9 {
		return fmt.Sprintf("garbage_%06d", i)
	}
	return fmt.Sprintf("evt_%06d", i)
}

// follow reads until the test ends.
func (k kafka) follow(t *testing.T, decoder *event.Decoder) *output {
	t.Helper()
	reader, err := stream.NewClient(k.config, stream.Deps{Name: "reader"}, kgo.ConsumeTopics(stream.AccountEvents, stream.DeadLetters),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(t, err)
	o := &output{decoder: decoder, seen: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		for ctx.Err() == nil {
			reader.PollFetches(ctx).EachRecord(func(rec *kgo.Record) { o.add(ctx, rec) })
		}
	})
	t.Cleanup(func() { cancel(); group.Wait(); reader.Close() })
	return o
}

func (o *output) add(ctx context.Context, rec *kgo.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var ev event.AccountEvent
	var letter event.DeadLetter
	switch {
	case rec.Topic == stream.AccountEvents && o.decoder.AccountEvent(ctx, rec.Value, &ev) == nil:
		o.seen[ev.SourceEventID]++
	case rec.Topic == stream.DeadLetters && o.decoder.DeadLetter(ctx, rec.Value, &letter) == nil:
		o.seen[strings.Trim(string(letter.Value), `"`)]++
		if letter.Reason == string(fault.Oversized) {
			o.large = append(o.large, letter)
		}
	default:
		o.seen["unreadable"]++
	}
}

func (o *output) distinct() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seen)
}

// requireExactlyOnce waits for the events from 0 to n-1 and then finds each once.
func (o *output) requireExactlyOnce(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return o.distinct() >= n }, patience, 10*time.Millisecond, "%d of %d came", o.distinct(), n)
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range n {
		require.Equal(t, 1, o.seen[eventOrGarbage(i)], i)
	}
	require.Len(t, o.seen, n)
}

func TestRunIsExactlyOnceWhileMembersComeAndGo(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	onKafka := func(o *options) {
		o.Kafka = k.config
		o.Tuning = normalizer.Tuning{Workers: 2, Batch: stage.Batch{Records: 100, Wait: time.Millisecond}}
	}
	first := newNormalizer(t, onKafka)
	first.link(t, "stripe", "customer", "cus_1", acme)
	out := k.follow(t, first.decoder)
	stopFirst := first.start(t)
	k.publish(t, 0, 2000)
	require.Eventually(t, func() bool { return out.distinct() > 0 }, patience, time.Millisecond)

	// Another comes, under load, and goes again; then the first one goes.
	another := func() *testNormalizer {
		return newNormalizer(t, onKafka, func(o *options) { o.Pool = first.pool })
	}
	stopSecond := another().start(t)
	k.publish(t, 2000, 4000)
	require.Eventually(t, func() bool { return out.distinct() > 2500 }, patience, time.Millisecond)
	stopSecond()
	k.publish(t, 4000, 5000)
	another().start(t)
	stopFirst()
	k.publish(t, 5000, 6000)
	out.requireExactlyOnce(t, 6000)
}

func TestRunWaitsForPostgres(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	pool := newDatabase(t)
	proxy := newProxy(t, pool.Config().ConnConfig.Host, pool.Config().ConnConfig.Port)
	n := newNormalizer(t, func(o *options) {
		o.Kafka, o.Pool = k.config, proxy.pool(t, pool)
		o.Tuning = normalizer.Tuning{Workers: 1, Batch: stage.Batch{Records: 100, Wait: time.Millisecond}}
	})
	n.link(t, "stripe", "customer", "cus_1", acme)
	out := k.follow(t, n.decoder)
	n.start(t)
	k.publish(t, 0, 300)
	out.requireExactlyOnce(t, 300)

	proxy.cut()
	k.publish(t, 300, 700)
	ready := func() bool { return n.runtime.Health.Report(t.Context()).Ready }
	require.Eventually(t, func() bool { return !ready() && n.total(t, "throughline_normalizer_batch_retries_total") > 0 }, patience, 5*time.Millisecond)
	require.Equal(t, 300, out.distinct(), "nothing goes on, and nothing is dead-lettered")
	proxy.mend()
	out.requireExactlyOnce(t, 700)
	require.Eventually(t, ready, patience, 5*time.Millisecond)
	require.Zero(t, n.total(t, "throughline_normalizer_dead_letters_total", "reason=unresolved_account"))
}

func TestRunSaysItIsReadyWithoutTraffic(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	n := newNormalizer(t, func(o *options) { o.Kafka = k.config })
	require.False(t, n.runtime.Health.Report(t.Context()).Ready)
	n.start(t)
	require.Eventually(t, func() bool { return n.runtime.Health.Report(t.Context()).Ready }, patience, 5*time.Millisecond)
}

// A session that breaks is replaced, metrics included.
func TestRunSurvivesABrokenSession(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	n := newNormalizer(t, func(o *options) {
		o.Kafka = k.config
		o.Tuning = normalizer.Tuning{Workers: 1, Batch: stage.Batch{Records: 100, Wait: time.Millisecond}}
	})
	n.link(t, "stripe", "customer", "cus_1", acme)
	out := k.follow(t, n.decoder)
	n.start(t)
	k.publish(t, 0, 200)
	out.requireExactlyOnce(t, 200)
	k.cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		answer := req.ResponseKind().(*kmsg.EndTxnResponse)
		answer.ErrorCode = kerr.ProducerFenced.Code
		return answer, nil, true // once
	})
	k.publish(t, 200, 500)
	out.requireExactlyOnce(t, 500)
}

// One event that account-events does not take is dead-lettered alone; a dead
// letter that its topic does not take is written without the record's bytes.
func TestRunDeadLettersWhatTheBrokersRefuse(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	streamtest.SetMaxMessageBytes(t, k.client, stream.AccountEvents, 10_000)
	streamtest.SetMaxMessageBytes(t, k.client, stream.DeadLetters, 50_000)
	n := newNormalizer(t, func(o *options) { o.Kafka = k.config })
	n.link(t, "stripe", "customer", "cus_1", acme)
	out := k.follow(t, n.decoder)
	large := func(i, bytes int) *kgo.Record {
		return &kgo.Record{Topic: stream.RawTopic("stripe"), Key: []byte("large"),
			Value: []byte(stripeEvent(fmt.Sprintf("evt_%06d", i), `"customer":"cus_1","text":"`+streamtest.Noise(bytes)+`"`))}
	}
	publisher := stream.NewPublisher(k.client)
	require.NoError(t, publisher.Publish(t.Context(), large(1000, 20_000)))
	k.publish(t, 0, 100)
	require.NoError(t, publisher.Publish(t.Context(), large(1001, 100_000)))
	k.publish(t, 100, 200)
	n.start(t)
	require.Eventually(t, func() bool { return out.distinct() == 202 }, patience, 10*time.Millisecond)
	for i := range 200 {
		require.Equal(t, 1, out.count(eventOrGarbage(i)), i)
	}
	letters := out.oversized()
	require.Len(t, letters, 2)
	require.Contains(t, letters[0].Error, "the brokers refuse its account event")
	require.Contains(t, string(letters[0].Value), "evt_001000")
	require.Equal(t, "evt_001000", letters[0].SourceEventID)
	require.Empty(t, letters[1].Value)
	require.Contains(t, letters[1].Error, fmt.Sprintf("without the record's bytes, to be found at raw.stripe/%d offset %d", letters[1].Partition, letters[1].Offset))
	require.Zero(t, n.total(t, "throughline_normalizer_batch_retries_total"))
	require.True(t, servicetest.Ready(n.runtime))
}

// Where a topic refuses everything, a person must help: nothing is dead-lettered.
func TestRunWaitsForARightOnATopic(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	n := newNormalizer(t, func(o *options) { o.Kafka = k.config })
	n.link(t, "stripe", "customer", "cus_1", acme)
	out := k.follow(t, n.decoder)
	var granted atomic.Bool
	k.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.cluster.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		if granted.Load() || produce.TransactionID == nil {
			return nil, nil, false
		}
		return streamtest.RefuseProduce(produce, kerr.TopicAuthorizationFailed), nil, true
	})
	n.start(t)
	k.publish(t, 0, 50)
	require.Eventually(t, func() bool {
		state, _ := servicetest.Component(n.runtime, "normalizer-0")
		other, _ := servicetest.Component(n.runtime, "normalizer-1")
		return strings.Contains(state.Advice+other.Advice, "--operation WRITE --topic account-events")
	}, patience, 5*time.Millisecond)
	require.Zero(t, out.distinct())
	granted.Store(true)
	out.requireExactlyOnce(t, 50)
	servicetest.RequireReady(t, n.runtime, true)
}
