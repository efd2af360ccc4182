package pull

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/stripe"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// broker has the topics, and gives a client of the receiver's kind and a Publisher.
func broker(t testing.TB) (*kgo.Client, *Publisher) {
	t.Helper()
	config := stream.Config{Brokers: streamtest.Embedded(t)}
	client, err := stream.NewClient(config, stream.Deps{Name: "test"}, kgo.ConsumeTopics("raw.stripe"))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	_, err = stream.ApplyTopics(context.Background(), client, stream.Names{}, []string{"stripe"}, stream.TopicOptions{
		Partitions: 6, ReplicationFactor: -1, RawRetention: time.Hour, EventRetention: time.Hour,
	})
	require.NoError(t, err)
	publisher, err := NewPublisher(config, "stripe", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, publisher.Close()) })
	return client, publisher
}

// What the two clients write of one event is one record, but for how it came: value, key, headers, partition.
func TestRecordsAreTheReceivers(t *testing.T) {
	t.Parallel()
	client, publisher := broker(t)
	at := time.Now()
	var pulled []source.Record
	var received []*kgo.Record
	for n := range 50 {
		r := source.Record{Value: stripeEvent("x", at, n), Tenant: "acct_1", Mode: source.ModeWebhook, ReceivedAt: at}
		r, _, err := source.Keyed(stripe.New(), r)
		require.NoError(t, err)
		received = append(received, stream.RawRecord("stripe", r, ""))
		r.Mode = source.ModeBackfill
		pulled = append(pulled, r)
	}
	require.NoError(t, stream.NewPublisher(client).Publish(t.Context(), received...))
	require.NoError(t, publisher.Publish(t.Context(), pulled))
	require.NoError(t, publisher.Publish(t.Context(), nil), "an empty page")

	type seen struct {
		partition int32
		headers   string
	}
	byMode := map[source.Mode]map[string]seen{source.ModeWebhook: {}, source.ModeBackfill: {}}
	for read := 0; read < 100; {
		fetches := client.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		for _, record := range fetches.Records() {
			var headers strings.Builder
			for _, h := range record.Headers {
				if h.Key != stream.HeaderDelivery {
					headers.WriteString(h.Key + "=" + string(h.Value) + ";")
				}
			}
			byMode[stream.ReadRaw(record).Mode][string(record.Key)+" "+string(record.Value)] = seen{record.Partition, headers.String()}
			read++
		}
	}
	require.Len(t, byMode[source.ModeWebhook], 50)
	require.Equal(t, byMode[source.ModeWebhook], byMode[source.ModeBackfill])
}

func TestPublishingErrors(t *testing.T) {
	t.Parallel()
	_, publisher := broker(t)
	err := publisher.Publish(t.Context(), []source.Record{{Value: make([]byte, mostBatch+1)}})
	require.Equal(t, fault.Oversized, fault.ReasonOf(err))
	require.True(t, fault.IsPermanent(err))

	for broken, want := range map[error]fault.Reason{
		kafka.MessageSizeTooLarge: fault.Oversized, kafka.TopicAuthorizationFailed: fault.Unavailable,
		kafka.UnknownTopicOrPartition: fault.Unavailable, errors.New("connection reset"): fault.Unavailable,
	} {
		err := publishing(kafka.WriteErrors{nil, broken})
		require.Equal(t, want, fault.ReasonOf(err))
		require.ErrorIs(t, err, broken)
		require.Equal(t, want == fault.Oversized, fault.IsPermanent(err))
	}
}

// Brokers that are away hold the pull up, and it goes on when they are back.
func TestBrokersThatAreAway(t *testing.T) {
	t.Parallel()
	a := newAtOnce(1, 3)
	o := a.options()
	o.BatchEvents = 100
	o.Store, o.Pauses.First, o.Pauses.Most = NewStore(postgrestest.New(t)), time.Millisecond, time.Millisecond
	tries := 0
	o.Publish = func(context.Context, []source.Record) error {
		if tries++; tries%2 == 1 {
			return fault.Transient(fault.Unavailable, errors.New("away"))
		}
		return nil
	}
	report, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, 6, tries)
	require.EqualValues(t, 300, report.Events)
}

func TestAStopIsNoFailure(t *testing.T) {
	t.Parallel()
	a := newAtOnce(1, 1000)
	o := a.options()
	o.BatchEvents = 100
	o.Store = NewStore(postgrestest.New(t))
	o.Publish = func(context.Context, []source.Record) error { return nil }
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(p Progress) {
		if p.Pages == 3 {
			cancel()
		}
	}
	report, err := Run(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
	runs, err := o.Store.List(t.Context(), Filter{Limit: 9, Source: "stripe", Unfinished: true})
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.Equal(t, "interrupted", runs[0].Status)
	require.Equal(t, report.Pages, runs[0].Pages)
	require.Empty(t, runs[0].Error)
}

// Another period, other types, another tenant: another pull. A later end: the same.
func TestWhichPullGoesOn(t *testing.T) {
	t.Parallel()
	store := NewStore(postgrestest.New(t))
	from := time.Now().Add(-72 * time.Hour).UTC().Truncate(time.Second)
	period := Period{Source: "stripe", Stream: "events", Mode: source.ModeBackfill, From: from, To: from.Add(48 * time.Hour)}
	begin := func(change func(*Period)) started {
		t.Helper()
		p := period
		if change != nil {
			change(&p)
		}
		b, err := store.begin(t.Context(), p, time.Hour, time.Minute, time.Time{}, Options{By: "test"})
		require.NoError(t, err)
		return b
	}
	first := begin(nil)
	require.False(t, first.resumed)
	at := position{WindowFrom: from.Add(5 * time.Hour), WindowTo: from.Add(6 * time.Hour), Cursor: []byte("evt_1")}
	require.NoError(t, store.advance(t.Context(), first, at, Counts{Pages: 1}))
	for name, change := range map[string]func(*Period){
		"another source":   func(p *Period) { p.Source = "hubspot" },
		"another tenant":   func(p *Period) { p.Tenant = "acct_1" },
		"other types":      func(p *Period) { p.Types = []string{"a.b"} },
		"an earlier begin": func(p *Period) { p.From = p.From.Add(-time.Hour) },
		"a begin beyond":   func(p *Period) { p.From = p.From.Add(6 * time.Hour) },
	} {
		require.False(t, begin(change).resumed, name)
	}
	again := begin(func(p *Period) { p.From, p.To = p.From.Add(time.Minute), p.To.Add(time.Hour) })
	require.True(t, again.resumed)
	require.Equal(t, first.checkpoint, again.checkpoint)
	require.Equal(t, at, again.at, "with the window that the cursor belongs to")
	require.Equal(t, period.To.Add(time.Hour), again.period.To)
	require.ErrorIs(t, store.advance(t.Context(), first, at, Counts{}), errTaken)
	require.NoError(t, store.end(t.Context(), again, statusDone, Counts{}, ""))
	require.False(t, begin(nil).resumed, "it is finished")
}

// A poll goes on from where the one before ended, less what the API may tell late, and keeps one checkpoint.
func TestPollsFollowEachOther(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	a := newAtOnce(1, 1)
	var asked []source.Query
	a.asked = func(q source.Query) error { asked = append(asked, q); return nil }
	o := a.options()
	o.Source, o.Mode, o.Store, o.Publish = a, source.ModePoll, NewStore(pool), new(into).publish
	first, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.False(t, first.Resumed)
	from := o.From.UTC()
	end := o.To.UTC()
	for n := range keptPolls + 5 {
		o.To = o.To.Add(time.Minute)
		asked = nil
		again, err := Run(t.Context(), o)
		require.NoError(t, err)
		require.Equal(t, first.Checkpoint, again.Checkpoint)
		require.Equal(t, end.Add(time.Duration(n)*time.Minute).Add(-time.Minute-endsEarly), asked[0].From, "a minute that the API may be late")
		require.Equal(t, from, again.From)
	}
	runs, err := o.Store.List(t.Context(), Filter{Limit: 1000})
	require.NoError(t, err)
	require.Len(t, runs, keptPolls+1, "runs do not pile up")
	require.Equal(t, o.To.UTC(), runs[0].Through)
}

// Two processes share the requests that a vendor allows, and one's pause is the other's.
func TestBudgetIsShared(t *testing.T) {
	t.Parallel()
	store := NewStore(postgrestest.New(t))
	one, other := NewBudget(store, newAtOnce(1, 1), "", 50), NewBudget(store, newAtOnce(1, 1), "", 50)
	began := time.Now()
	var asking errgroup.Group
	for _, b := range []*Budget{one, other} {
		asking.Go(func() error {
			for range 30 {
				if err := b.Wait(t.Context()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, asking.Wait())
	require.Greater(t, time.Since(began), time.Second, "60 requests at 50 a second")
	require.NoError(t, one.Pause(t.Context(), 10*time.Minute, "429"))
	for _, b := range []*Budget{one, other} {
		var err error
		for range 30 { // the other may use the turns that it has
			if err = b.Wait(t.Context()); err != nil {
				break
			}
		}
		require.ErrorContains(t, err, "the vendor is not asked before ")
		require.False(t, fault.IsPermanent(err))
		require.Greater(t, source.After(err), 9*time.Minute)
	}
	elsewhere := NewBudget(store, newAtOnce(1, 1), "another account", 50)
	require.NoError(t, elsewhere.Wait(t.Context()))
	require.NoError(t, elsewhere.Told(t.Context(), source.Left{Requests: 100, Resets: 50 * time.Second}))
	require.InDelta(t, 2, elsewhere.now(), 0.01, "what is left lasts until there is more")
	require.NoError(t, elsewhere.Told(t.Context(), source.Left{Requests: 0, Resets: 2 * time.Hour}))
	require.Less(t, source.After(elsewhere.Wait(t.Context())), 61*time.Minute, "nobody waits for longer than an hour on a header's word")
}

// One worker at a time has a lease; another has it when it ends.
func TestOneHolderAtATime(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	store := NewStore(pool)
	held := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- store.Hold(ctx, "poll", func(ctx context.Context) error {
			close(held)
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	<-held
	mine, err := store.take(t.Context(), "poll", uuid.New())
	require.NoError(t, err)
	require.False(t, mine)
	mine, err = store.take(t.Context(), "reconcile", uuid.New())
	require.NoError(t, err)
	require.True(t, mine, "another name")
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	mine, err = store.take(t.Context(), "poll", uuid.New())
	require.NoError(t, err)
	require.True(t, mine, "given back")
	_, err = pool.Exec(t.Context(), "UPDATE pull_leases SET until = now() - interval '1 second'")
	require.NoError(t, err)
	mine, err = store.take(t.Context(), "poll", uuid.New())
	require.NoError(t, err)
	require.True(t, mine, "its holder was killed")
}

// The whole loop, from a vendor that answers at once into the broker that runs in this process, checkpoints in Postgres.
func BenchmarkPull(b *testing.B) {
	_, publisher := broker(b)
	o := newAtOnce(1, max(1, b.N/100)).options()
	o.Publish, o.Store = publisher.Publish, NewStore(postgrestest.New(b))
	b.ResetTimer()
	report, err := Run(context.Background(), o)
	require.NoError(b, err)
	b.ReportMetric(report.Rate(), "events/s")
	b.ReportMetric(float64(report.Pages)/report.Took.Seconds(), "pages/s")
}
