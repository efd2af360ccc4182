package replay_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/replay"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

const retention = time.Hour

// world is a raw topic of two partitions.
type world struct {
	t       *testing.T
	options replay.Options
	admin   *kadm.Client
	topic   string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, streamtest.Embedded(t))
}

func newWorldOn(t *testing.T, brokers []string) *world {
	t.Helper()
	config := stream.Config{Brokers: brokers}
	client, err := stream.NewClient(config, stream.Deps{Name: "test"}, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	_, err = stream.ApplyTopics(t.Context(), client, stream.Names{}, []string{"stripe"}, stream.TopicOptions{Partitions: 2, ReplicationFactor: 1, RawRetention: retention, EventRetention: retention})
	require.NoError(t, err)
	src, ok := catalog.Set().Find("stripe")
	require.True(t, ok)
	return &world{t: t, topic: stream.RawTopic("stripe"), admin: kadm.NewClient(client), options: replay.Options{
		Source: src, Kafka: config, Client: client, Pool: postgrestest.New(t), By: "cli:ada", Since: time.Now().Add(-time.Minute), Until: time.Now().Add(time.Minute),
	}}
}

// put publishes events from one number to another into a partition.
func (w *world) put(partition int32, from, to int) {
	w.t.Helper()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{Topic: w.topic, Partition: partition, Value: fmt.Appendf(nil, `{"id":"evt_%d"}`, i)})
	}
	require.NoError(w.t, w.options.Client.ProduceSync(w.t.Context(), records...).FirstErr())
}

// deleteBefore is what retention does.
func (w *world) deleteBefore(partition int32, offset int64) {
	w.t.Helper()
	at := kadm.Offsets{}
	at.AddOffset(w.topic, partition, offset, -1)
	answers, err := w.admin.DeleteRecords(w.t.Context(), at)
	require.NoError(w.t, err)
	require.NoError(w.t, answers.Error())
}

func (w *world) start() replay.Replay {
	w.t.Helper()
	r, err := replay.Plan(w.t.Context(), w.options)
	require.NoError(w.t, err)
	r, err = replay.Start(w.t.Context(), w.options.Pool, r)
	require.NoError(w.t, err)
	return r
}

func (w *world) find(id int64) replay.Replay {
	w.t.Helper()
	r, err := replay.Find(w.t.Context(), w.options.Pool, id)
	require.NoError(w.t, err)
	return r
}

// copies counts, by event, what was published again.
func (w *world) copies() map[string]int {
	w.t.Helper()
	ends, err := stream.Ends(w.t.Context(), w.options.Client, w.topic)
	require.NoError(w.t, err)
	reader, err := kgo.NewClient(kgo.SeedBrokers(w.options.Kafka.Brokers...), kgo.ConsumeTopics(w.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepControlRecords()) // the last offset may be a marker's
	require.NoError(w.t, err)
	defer reader.Close()
	found, left := map[string]int{}, map[int32]int64{}
	for partition, end := range ends[w.topic] {
		if end > 0 {
			left[partition] = end
		}
	}
	for len(left) > 0 {
		reader.PollFetches(w.t.Context()).EachRecord(func(r *kgo.Record) {
			if stream.ReadRaw(r).Mode == "replay" {
				found[string(r.Value)]++
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return found
}

// A replay that ends at any moment, and is resumed, publishes each event once; where it ended between publishing and noting
// how far it is, one batch comes a second time, which has the same identities and is no second row.
func TestAReplayThatWasKilledGoesOn(t *testing.T) {
	t.Parallel()
	const batch = 500
	w := newWorld(t)
	w.put(0, 0, 1200)
	w.put(1, 1200, 2600)
	r := w.start()
	require.EqualValues(t, 2600, r.Left())

	killed := 0
	for ; ; killed++ {
		ctx, cancel := context.WithCancel(t.Context())
		o := w.options
		o.Progress = func(replay.Replay) { cancel() } // after each batch
		done, err := replay.Run(ctx, o, w.find(r.ID))
		cancel()
		if err == nil {
			require.EqualValues(t, 2600, done.Read)
			require.EqualValues(t, 2600, done.Published)
			break
		}
		require.ErrorIs(t, err, context.Canceled)
		now := w.find(r.ID)
		require.True(t, now.FinishedAt.IsZero())
		require.Equal(t, 2600-now.Left(), now.Published, "what is noted is published")
	}
	require.GreaterOrEqual(t, killed, 2600/batch-1)
	copies := w.copies()
	require.Len(t, copies, 2600)
	for event, n := range copies {
		require.Equal(t, 1, n, event)
	}
	require.False(t, w.find(r.ID).FinishedAt.IsZero())
}

func TestAReplayThatWasKilledBeforeItNotedABatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(0, 0, 1200)
	r := w.start()
	forbid := `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.read > 500 THEN RAISE EXCEPTION 'killed'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER no BEFORE UPDATE ON replays FOR EACH ROW EXECUTE FUNCTION no()`
	_, err := w.options.Pool.Exec(t.Context(), forbid)
	require.NoError(t, err)
	_, err = replay.Run(t.Context(), w.options, r)
	require.ErrorContains(t, err, "killed")
	_, err = w.options.Pool.Exec(t.Context(), "DROP TRIGGER no ON replays")
	require.NoError(t, err)
	now := w.find(r.ID)
	require.EqualValues(t, 500, now.Read)
	_, err = replay.Run(t.Context(), w.options, now)
	require.NoError(t, err)
	twice := 0
	copies := w.copies()
	for _, n := range copies {
		require.LessOrEqual(t, n, 2)
		twice += n - 1
	}
	require.Len(t, copies, 1200)
	require.Positive(t, twice)
	require.LessOrEqual(t, twice, 500, "one batch at most")
}

// Retention has passed a part of the period: the refusal says which part of which partition, and what can be done; with
// FromOldest the rest is replayed and the answer says it.
func TestAPeriodOfWhichAPartIsGoneIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(0, 0, 100)
	w.put(1, 100, 150)
	w.deleteBefore(0, 40)
	since := w.options.Since
	_, err := replay.Plan(t.Context(), w.options)
	require.Equal(t, fault.NotFound, fault.ReasonOf(err))
	require.True(t, fault.IsPermanent(err))
	require.ErrorContains(t, err, "retention has passed "+since.UTC().Format("2006-01-02T15:04:05.000Z")+": of raw.stripe may be gone partition 0 before ")
	require.ErrorContains(t, err, "(offsets 0 to 39); replay from when on all is there (--since ")

	w.options.FromOldest = true
	r := w.start()
	require.EqualValues(t, 110, r.Left())
	require.Len(t, r.Gone, 1)
	require.Equal(t, [3]int64{0, 0, 40}, [3]int64{int64(r.Gone[0].Partition), r.Gone[0].From, r.Gone[0].To})
	require.WithinDuration(t, time.Now(), r.Gone[0].Oldest, time.Minute)
	done, err := replay.Run(t.Context(), w.options, r)
	require.NoError(t, err)
	require.EqualValues(t, 110, done.Published)

	// Of a partition that is empty nobody knows when its records were. They may be of the period where that begins before
	// what the topic keeps, and cannot where it does not.
	w.options.FromOldest = false
	ends, err := stream.Ends(t.Context(), w.options.Client, w.topic)
	require.NoError(t, err)
	w.deleteBefore(0, ends[w.topic][0])
	w.deleteBefore(1, ends[w.topic][1])
	_, err = replay.Plan(t.Context(), w.options)
	require.NoError(t, err)
	w.options.Since = time.Now().Add(-2 * retention)
	_, err = replay.Plan(t.Context(), w.options)
	require.ErrorContains(t, err, "partition 0 (offsets 0 to "+strconv.FormatInt(ends[w.topic][0]-1, 10)+"), partition 1 (offsets 0 to ")
}

// Who may read and write a topic may not be allowed to know its settings: they are asked for only where a partition is
// empty, and then it is said what may be gone.
func TestReplaysWithoutTheRightToTheSettings(t *testing.T) {
	t.Parallel()
	cluster := streamtest.Fake(t)
	w := newWorldOn(t, cluster.ListenAddrs())
	cluster.ControlKey(int16(kmsg.DescribeConfigs), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		answer := r.ResponseKind().(*kmsg.DescribeConfigsResponse)
		for _, asked := range r.(*kmsg.DescribeConfigsRequest).Resources {
			one := kmsg.NewDescribeConfigsResponseResource()
			one.ErrorCode, one.ResourceType, one.ResourceName = kerr.TopicAuthorizationFailed.Code, asked.ResourceType, asked.ResourceName
			answer.Resources = append(answer.Resources, one)
		}
		return answer, nil, true
	})
	w.put(0, 0, 10)
	w.put(1, 10, 20)
	require.EqualValues(t, 20, w.start().Left())
	w.deleteBefore(0, 10)
	_, err := replay.Plan(t.Context(), w.options)
	require.ErrorIs(t, err, kerr.TopicAuthorizationFailed)
	w.options.FromOldest = true
	r := w.start()
	require.EqualValues(t, 10, r.Left())
	require.Equal(t, []replay.Gone{{To: 10}}, r.Gone)
}

// What retention takes while a replay is interrupted is named when it goes on, and it ends, also where nothing is left.
func TestWhatRetentionTakesMeanwhileIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(0, 0, 1200)
	w.put(1, 1200, 1300)
	r := w.start()
	ctx, cancel := context.WithCancel(t.Context())
	o := w.options
	o.Rate = 100
	o.Progress = func(replay.Replay) { cancel() }
	_, err := replay.Run(ctx, o, r)
	require.ErrorIs(t, err, context.Canceled)
	now := w.find(r.ID)
	places := now.Places
	ends, err := stream.Ends(t.Context(), w.options.Client, w.topic)
	require.NoError(t, err)
	w.deleteBefore(0, 1000)
	w.deleteBefore(1, ends[w.topic][1])
	lost := 1000 - places[0].Next + places[1].End - places[1].Next
	require.Positive(t, lost)
	done, err := replay.Run(t.Context(), w.options, now)
	require.NoError(t, err)
	require.Zero(t, done.Left())
	require.False(t, done.FinishedAt.IsZero())
	require.Equal(t, 1300-lost, done.Read)
	var named int64
	for _, g := range done.Gone {
		named += g.To - g.From
		require.Contains(t, g.String(), fmt.Sprintf("partition %d (offsets %d to %d)", g.Partition, g.From, g.To-1))
	}
	require.Equal(t, lost, named)
}
