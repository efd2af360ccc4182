package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// markOf gives the name that these tests put into a vendor's event, to know it
// again whatever identity its source gives it: in a key "e2e" of the event, or
// of the row that a Looker event is of.
func markOf(value []byte) string {
	var event struct {
		E2E string `json:"e2e"`
		Row struct {
			E2E string `json:"e2e"`
		} `json:"row"`
	}
	if json.Unmarshal(value, &event) != nil {
		return ""
	}
	return cmp.Or(event.E2E, event.Row.E2E)
}

// eventsOf gives the events of a raw record: itself, or the elements of a page.
func eventsOf(value []byte) [][]byte {
	var elements []json.RawMessage
	if json.Unmarshal(value, &elements) != nil {
		var page struct { // Stripe's list
			Data []json.RawMessage `json:"data"`
		}
		if json.Unmarshal(value, &page) != nil || page.Data == nil {
			return [][]byte{value}
		}
		elements = page.Data
	}
	events := make([][]byte, len(elements))
	for i, e := range elements {
		events[i] = e
	}
	return events
}

// markSQL is markOf for a column payload.
const markSQL = "coalesce(payload->>'e2e', payload->'row'->>'e2e', '')"

func markFor(source string, n int) string { return fmt.Sprintf("%s-%d", source, n) }

// tap reads every topic from the start, committed records only, as an
// independent witness: what it counts, nobody told it.
type tap struct {
	place  *place
	client *kgo.Client
	again  chan again // what the reader does between two polls
	mu     sync.Mutex
	raw    map[string]int // raw records by mark
	event  map[string]int // account-events by mark
	dead   map[string]int // the normalizer's dead letters by mark
	// delivery is how each event of account-events came, by mark.
	delivery map[string]source.Mode

	rawRecords, rawEvents, tombstones, outRecords int
	next                                          map[partition]int64 // behind the last record of each partition
	read                                          map[partition]int64 // behind the last offset, be it a transaction's marker
	refused                                       map[partition]error // by the brokers or the client, as polled last
	still                                         string              // what the reader is behind of, …
	since                                         time.Time           // … and since when it has not changed
	// garbage: records of the topics may be what nobody can read; they do not count.
	garbage bool
	err     error
}

// again asks the reader to read a topic from its start once more, or, if there is none, to go
// on with another client.
type again struct {
	topic string
	done  chan struct{}
}

// partition is one that a consumer group works on.
type partition struct {
	topic  string
	number int32
}

func newTap(t *testing.T, p *place) *tap {
	t.Helper()
	registry, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(p.registry)})
	require.NoError(t, err)
	decoder, err := event.NewDecoder(registry)
	require.NoError(t, err)
	w := &tap{
		place: p, again: make(chan again), raw: map[string]int{}, event: map[string]int{}, dead: map[string]int{}, delivery: map[string]source.Mode{},
		next: map[partition]int64{}, read: map[partition]int64{}, refused: map[partition]error{},
	}
	w.client, err = w.newClient(kgo.ConsumeTopics(w.topics()...))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			w.poll(ctx, decoder)
		}
	})
	t.Cleanup(func() {
		cancel()
		reading.Wait()
		w.client.Close()
	})
	return w
}

func (w *tap) newClient(what ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(what, kgo.SeedBrokers(w.place.brokers...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(5*time.Second), kgo.MaxDecompressBatchBytes(1<<30))...)
}

// poll reads once, or does what it is asked to: what was fetched before a topic was made
// anew must not be counted afterwards.
func (w *tap) poll(ctx context.Context, decoder *event.Decoder) {
	select {
	case a := <-w.again:
		if a.topic == "" {
			w.reopen(ctx)
		} else {
			w.anewNow(a.topic)
		}
		close(a.done)
	default:
	}
	polling, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	fetches := w.client.PollFetches(polling)
	fetches.EachError(func(topic string, number int32, err error) {
		if topic != "" {
			w.mu.Lock()
			w.refused[partition{topic, number}] = err
			w.mu.Unlock()
		}
	})
	fetches.EachRecord(func(r *kgo.Record) { w.see(ctx, decoder, r) })
}

// ask has the reader do something, and waits for it.
func (w *tap) ask(ctx context.Context, topic string) {
	a := again{topic, make(chan struct{})}
	select {
	case w.again <- a:
		<-a.done
	case <-ctx.Done(): // the reader has ended
	}
}

// reopen goes on with another client behind what was read.
func (w *tap) reopen(ctx context.Context) {
	ends, err := kadm.NewClient(w.place.kafka).ListEndOffsets(ctx, w.topics()...)
	if err != nil {
		return // asked once more
	}
	offsets := map[string]map[int32]kgo.Offset{}
	w.mu.Lock()
	ends.Each(func(o kadm.ListedOffset) {
		if offsets[o.Topic] == nil {
			offsets[o.Topic] = map[int32]kgo.Offset{}
		}
		offsets[o.Topic][o.Partition] = kgo.NewOffset().At(w.read[partition{o.Topic, o.Partition}])
	})
	w.mu.Unlock()
	client, err := w.newClient(kgo.ConsumePartitions(offsets))
	if err != nil {
		return
	}
	w.client.Close()
	w.client = client
}

func (w *tap) topics() []string {
	topics := []string{stream.AccountEvents, stream.DeadLetters}
	for _, name := range w.place.sources.Names() {
		topics = append(topics, stream.RawTopic(name))
	}
	return topics
}

func (w *tap) see(ctx context.Context, decoder *event.Decoder, r *kgo.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read[partition{r.Topic, r.Partition}] = r.Offset + 1
	delete(w.refused, partition{r.Topic, r.Partition})
	if r.Attrs.IsControl() {
		return
	}
	w.next[partition{r.Topic, r.Partition}] = r.Offset + 1
	switch r.Topic {
	case stream.AccountEvents:
		var e event.AccountEvent
		if err := decoder.AccountEvent(ctx, r.Value, &e); err != nil {
			w.fail(ctx, r, err)
			return
		}
		w.outRecords++
		name := markOf(e.Payload)
		w.event[name]++
		w.delivery[name] = e.Delivery
	case stream.DeadLetters:
		var d event.DeadLetter
		if err := decoder.DeadLetter(ctx, r.Value, &d); err != nil {
			w.fail(ctx, r, err)
			return
		}
		if _, raw := stream.SourceOfTopic(d.Topic); raw {
			w.outRecords++
			w.dead[markOf(d.Value)]++
		}
	default:
		if r.Value == nil {
			w.tombstones++
			return
		}
		w.rawRecords++
		for _, e := range eventsOf(r.Value) {
			w.rawEvents++
			w.raw[markOf(e)]++
		}
	}
}

func (w *tap) fail(ctx context.Context, r *kgo.Record, err error) {
	if ctx.Err() == nil && w.err == nil && !w.garbage {
		w.err = fmt.Errorf("%s/%d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
}

// settle waits until all that is in the raw topics has gone through every
// stage, and every release has come back.
func (w *tap) settle(within time.Duration) {
	w.place.t.Helper()
	await(w.place.t, within, "everything to go through", func() (bool, string) {
		state, err := w.behind(w.place.t.Context())
		if err != nil {
			return false, err.Error()
		}
		if w.standsStill() {
			w.place.t.Logf("the tests' own reader stands still, and goes on with another client: %s", state)
			w.ask(w.place.t.Context(), "")
		}
		return state == "", state
	})
}

// standsStill reports, once a minute, that the reader has been behind and has not come further.
func (w *tap) standsStill() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.still == "" || time.Since(w.since) < time.Minute {
		return false
	}
	w.since = time.Now()
	return true
}

// behind says which stage still has work; "" when none has.
func (w *tap) behind(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// First the stage furthest downstream: what it is behind of is looked at
	// afterwards, and can only have grown.
	if n := w.place.count("SELECT count(*) FROM quarantine WHERE status = 'replaying'"); n != 0 {
		return fmt.Sprintf("%d releases are under way", n), nil
	}
	adm := kadm.NewClient(w.place.kafka)
	committed := map[string]kadm.OffsetResponses{}
	for _, group := range []string{stream.Names{}.Group(stream.Quarantine), stream.Names{}.Group(stream.Sink), stream.Names{}.Group(stream.Normalizer)} {
		offsets, err := adm.FetchOffsets(ctx, group)
		if err != nil {
			return "", err
		}
		committed[group] = offsets
	}
	ends, err := adm.ListEndOffsets(ctx, w.topics()...)
	if err != nil {
		return "", err
	}
	if err := ends.Error(); err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return "", w.err
	}
	// All that is behind, in order: a state that does not change is how a caller knows that nothing moves.
	var behind []string
	ends.Each(func(o kadm.ListedOffset) {
		if read := w.read[partition{o.Topic, o.Partition}]; read < o.Offset {
			says := fmt.Sprintf("%d of %d of %s/%d is read", read, o.Offset, o.Topic, o.Partition)
			if err := w.refused[partition{o.Topic, o.Partition}]; err != nil {
				says += " (" + err.Error() + ")"
			}
			behind = append(behind, says)
		}
	})
	slices.Sort(behind)
	if state := strings.Join(behind, "; "); state != w.still {
		w.still, w.since = state, time.Now()
	}
	if len(behind) > 0 {
		return w.still, nil
	}
	if w.outRecords < w.rawEvents {
		return fmt.Sprintf("the normalizer made %d of %d records", w.outRecords, w.rawEvents), nil
	}
	for at, next := range w.next {
		group := stream.Names{}.Group(stream.Normalizer)
		switch at.topic {
		case stream.AccountEvents:
			group = stream.Names{}.Group(stream.Sink)
		case stream.DeadLetters:
			group = stream.Names{}.Group(stream.Quarantine)
		}
		if got, ok := committed[group].Lookup(at.topic, at.number); !ok || got.At < next {
			behind = append(behind, fmt.Sprintf("%s has committed %d of %d of %s/%d", group, got.At, next, at.topic, at.number))
		}
	}
	slices.Sort(behind)
	return strings.Join(behind, "; "), nil
}

// anew reads a topic that was made anew from its start.
func (w *tap) anew(topic string) { w.ask(w.place.t.Context(), topic) }

func (w *tap) anewNow(topic string) {
	w.client.PurgeTopicsFromConsuming(topic)
	w.mu.Lock()
	defer w.mu.Unlock()
	for at := range w.read {
		if at.topic == topic {
			delete(w.read, at)
			delete(w.next, at)
		}
	}
	w.client.AddConsumeTopics(topic)
}

// seen is up to where a partition is read.
func (w *tap) seen(topic string, number int32) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read[partition{topic, number}]
}

// exactlyOnce holds the normalizer against its claim: each event, whether it
// came once, in a page, again from its vendor, or was released, has become exactly
// one committed record. Settle first.
func (w *tap) exactlyOnce() {
	w.place.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	made := map[string]int{}
	for _, by := range []map[string]int{w.event, w.dead} {
		for name, n := range by {
			made[name] += n
		}
	}
	require.Empty(w.place.t, difference(w.raw, made), "records that the normalizer made of each event's raw records")
}
