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
	mu     sync.Mutex
	raw    map[string]int // raw records by mark
	event  map[string]int // account-events by mark
	dead   map[string]int // the normalizer's dead letters by mark
	// delivery is how each event of account-events came, by mark.
	delivery map[string]source.Mode

	rawRecords, rawEvents, tombstones, outRecords int
	next                                          map[partition]int64 // behind the last record of each partition
	read                                          map[partition]int64 // behind the last offset, be it a transaction's marker
	// garbage: records of the topics may be what nobody can read; they do not count.
	garbage bool
	err     error
}

// partition is one that a consumer group works on.
type partition struct {
	topic  string
	number int32
}

func newTap(t *testing.T, p *place) *tap {
	t.Helper()
	topics := []string{stream.AccountEvents, stream.DeadLetters}
	for _, name := range p.sources.Names() {
		topics = append(topics, stream.RawTopic(name))
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(p.brokers...), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(5*time.Second), kgo.MaxDecompressBatchBytes(1<<30))
	require.NoError(t, err)
	registry, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(p.registry)})
	require.NoError(t, err)
	decoder, err := event.NewDecoder(registry)
	require.NoError(t, err)
	tp := &tap{place: p, client: client, raw: map[string]int{}, event: map[string]int{}, dead: map[string]int{}, delivery: map[string]source.Mode{}, next: map[partition]int64{}, read: map[partition]int64{}}
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { tp.see(ctx, decoder, r) })
		}
	})
	t.Cleanup(func() {
		cancel()
		reading.Wait()
		client.Close()
	})
	return tp
}

func (w *tap) see(ctx context.Context, decoder *event.Decoder, r *kgo.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read[partition{r.Topic, r.Partition}] = r.Offset + 1
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
		return state == "", state
	})
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
	topics := []string{stream.AccountEvents, stream.DeadLetters}
	for _, name := range w.place.sources.Names() {
		topics = append(topics, stream.RawTopic(name))
	}
	ends, err := adm.ListEndOffsets(ctx, topics...)
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
			behind = append(behind, fmt.Sprintf("%d of %d of %s/%d is read", read, o.Offset, o.Topic, o.Partition))
		}
	})
	if len(behind) > 0 {
		slices.Sort(behind)
		return strings.Join(behind, "; "), nil
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
func (w *tap) anew(topic string) {
	w.client.PurgeTopicsFromConsuming(topic)
	w.mu.Lock()
	for at := range w.read {
		if at.topic == topic {
			delete(w.read, at)
			delete(w.next, at)
		}
	}
	w.mu.Unlock()
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
