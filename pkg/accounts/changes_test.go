package accounts_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// topic is account-changes on a broker in this process.
type topic struct {
	t       *testing.T
	client  *kgo.Client
	encoder *event.ChangeEncoder
	decoder *event.ChangeDecoder
}

func newTopic(t *testing.T) *topic {
	t.Helper()
	registry, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(streamtest.Registry(t))})
	require.NoError(t, err)
	to := &topic{t: t}
	to.encoder, err = event.NewChangeEncoder(t.Context(), registry, stream.AccountChanges)
	require.NoError(t, err)
	to.decoder, err = event.NewChangeDecoder(registry)
	require.NoError(t, err)
	brokers := streamtest.Embedded(t)
	to.client, err = stream.NewClient(stream.Config{Brokers: brokers}, stream.Deps{Name: "test"}, kgo.ConsumeTopics(stream.AccountChanges),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	t.Cleanup(to.client.Close)
	_, err = stream.ApplyTopics(t.Context(), to.client, stream.Names{}, nil, stream.TopicOptions{Partitions: 3, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	return to
}

// read gives the next n changes, and their keys.
func (to *topic) read(n int) (changes []event.AccountChange, keys []string) {
	to.t.Helper()
	ctx, cancel := context.WithTimeout(to.t.Context(), 30*time.Second)
	defer cancel()
	for len(changes) < n {
		fetches := to.client.PollFetches(ctx)
		require.NoError(to.t, fetches.Err())
		for _, rec := range fetches.Records() {
			var c event.AccountChange
			require.NoError(to.t, to.decoder.Decode(ctx, rec.Value, &c))
			changes, keys = append(changes, c), append(keys, string(rec.Key))
		}
	}
	require.Len(to.t, changes, n)
	return changes, keys
}

// publisher counts, and fails the first times.
type publisher struct {
	accounts.Publisher
	mu    sync.Mutex
	fail  int
	after bool // the brokers have it all the same
}

func (p *publisher) Publish(ctx context.Context, records ...*kgo.Record) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail--; p.fail >= 0 {
		if p.after {
			if err := p.Publisher.Publish(ctx, records...); err != nil {
				return err
			}
		}
		return errors.New("the brokers are away")
	}
	return p.Publisher.Publish(ctx, records...)
}

// Each change is published, in the order of its account, and again after a failure; a published one is not.
func TestChangesArePublished(t *testing.T) {
	t.Parallel()
	w, to := newWorld(t), newTopic(t)
	a, b := w.account("A", ""), w.account("B", "")
	w.link("stripe:customer:cus_1", a)
	w.stored(5, a, "stripe:customer:cus_1")
	moved := w.decide(accounts.Decision{Verb: relink, Reference: ref("stripe:customer:cus_1"), To: b})
	w.run()
	gone := w.decide(accounts.Decision{Verb: unlink, Reference: ref("stripe:customer:cus_1")})
	w.run()

	out := &publisher{Publisher: stream.NewPublisher(to.client), fail: 1, after: true}
	outbox := accounts.NewOutbox(w.pool, to.encoder, out)
	_, err := outbox.Publish(t.Context())
	require.ErrorContains(t, err, "the brokers are away")
	n, err := outbox.Publish(t.Context())
	require.NoError(t, err)
	require.Equal(t, 10, n)
	n, err = outbox.Publish(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)

	changes, keys := to.read(20) // each twice: the first time nobody knew that the brokers had it
	last := map[string]event.AccountChange{}
	for i, c := range changes {
		require.Equal(t, c.FromAccount.String(), keys[i])
		require.Equal(t, "stripe", c.Source)
		require.WithinDuration(t, time.Now(), c.At, time.Minute)
		switch c.FromAccount {
		case a:
			require.Equal(t, b, c.ToAccount)
			require.Equal(t, moved.DecisionID, c.DecisionID)
		case b:
			require.Equal(t, uuid.Nil, c.ToAccount)
			require.Equal(t, gone.DecisionID, c.DecisionID)
		}
		last[c.SourceEventID+keys[i]] = c
	}
	require.Len(t, last, 10)

	// The published ones are kept for a week.
	dropped, err := outbox.Drop(t.Context())
	require.NoError(t, err)
	require.Zero(t, dropped)
	_, err = w.pool.Exec(t.Context(), "UPDATE account_changes SET published_at = CASE WHEN id % 2 = 0 THEN now() - interval '8 days' END")
	require.NoError(t, err)
	dropped, err = outbox.Drop(t.Context())
	require.NoError(t, err)
	require.Equal(t, 5, dropped)
	require.Equal(t, 5, w.count("SELECT count(*) FROM account_changes WHERE published_at IS NULL"))
}

// Only one of several processes publishes, until it is gone.
func TestOnePublisherOfChanges(t *testing.T) {
	t.Parallel()
	w, to := newWorld(t), newTopic(t)
	a, b := w.account("A", ""), w.account("B", "")
	w.stored(1, a, "")
	w.decide(accounts.Decision{Verb: merge, From: a, To: b})
	w.run()
	out := &publisher{Publisher: stream.NewPublisher(to.client), fail: 1}
	first, second := accounts.NewOutbox(w.pool, to.encoder, out), accounts.NewOutbox(w.pool, to.encoder, out)
	_, err := first.Publish(t.Context())
	require.Error(t, err)
	n, err := second.Publish(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "the first has the lease")
	_, err = w.pool.Exec(t.Context(), "UPDATE account_changes_lease SET until = now() - interval '1 second'")
	require.NoError(t, err)
	n, err = second.Publish(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	to.read(1)
}

// A Worker finishes what others left, and publishes it.
func TestWorker(t *testing.T) {
	t.Parallel()
	w, to := newWorld(t), newTopic(t)
	a, b := w.account("A", ""), w.account("B", "")
	w.link("stripe:customer:cus_1", a)
	w.stored(20, a, "stripe:customer:cus_1")
	ctx, cancel := context.WithCancel(t.Context())
	worker := accounts.Worker{Mover: w.mover(), Outbox: accounts.NewOutbox(w.pool, to.encoder, stream.NewPublisher(to.client))}
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	w.decide(accounts.Decision{Verb: relink, Reference: ref("stripe:customer:cus_1"), To: b})
	changes, _ := to.read(20)
	for _, c := range changes {
		require.Equal(t, b, c.ToAccount)
	}
	require.Equal(t, 20, w.on(b))
	cancel()
	require.NoError(t, <-done)
	w.whole()
}
