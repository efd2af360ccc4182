package stage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/settings/settingstest"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

// config is a service's.
type config struct {
	stage.Config `embed:""`
	Batch        stage.Batch `embed:"" envprefix:"THROUGHLINE_TOY_" set:"batch_records=7"`
}

func valid() map[string]string {
	return map[string]string{
		"THROUGHLINE_KAFKA_BROKERS": "kafka:9092", "THROUGHLINE_POSTGRES_URL": "postgres://u@h/d", "THROUGHLINE_SCHEMA_REGISTRY_URL": "http://registry:8081",
	}
}

func TestConfigKeepsTheRules(t *testing.T) {
	t.Parallel()
	settingstest.Check(t, func() any { return new(config) }, valid())
}

func TestBatch(t *testing.T) {
	t.Parallel()
	var byDefault config
	settings.Defaults(&byDefault)
	require.Equal(t, stage.Batch{Records: 7, Wait: 5 * time.Millisecond}, byDefault.Batch, "a service may have its own default")
	require.NoError(t, byDefault.Batch.Validate())
	tests := map[string]struct {
		batch stage.Batch
		wrong []string
	}{
		"none":      {stage.Batch{}, []string{"--batch-records is 0"}},
		"too large": {stage.Batch{Records: 50_001, Wait: time.Minute + 1}, []string{"--batch-records is 50001", "--batch-wait is 1m0.000000001s"}},
		"negative":  {stage.Batch{Records: -1, Wait: -1}, []string{"--batch-records is -1", "--batch-wait is -1ns"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.batch.Validate()
			for _, wrong := range tt.wrong {
				require.ErrorContains(t, err, wrong)
			}
		})
	}
	env := valid()
	env["THROUGHLINE_TOY_BATCH_RECORDS"] = "0"
	var out bytes.Buffer
	code := stage.Main("toy", "Plays.", new(config), nil, nil, settings.WithOutput(&out, &out),
		settings.WithEnv(func(name string) (string, bool) { v, ok := env[name]; return v, ok }))
	require.Equal(t, settings.ExitConfig, code)
	require.Contains(t, out.String(), "THROUGHLINE_TOY_BATCH_RECORDS", "the variable has the service's prefix")
}

func newDeps(t *testing.T, log *zap.Logger) (stage.Deps, *kgo.Client) {
	t.Helper()
	kafka := stream.Config{Brokers: streamtest.Embedded(t)}
	client, err := stream.NewClient(kafka, stream.Deps{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	_, err = stream.ApplyTopics(t.Context(), client, stream.Names{}, []string{"stripe"}, stream.TopicOptions{Partitions: 4, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	return stage.Deps{Kafka: kafka, Pool: postgrestest.New(t), Runtime: service.NewRuntime(service.Options{Name: "toy", Log: log})}, client
}

// toy is a service of one loop.
type toy []service.Component

func (p toy) Components() []service.Component { return p }

func publish(t *testing.T, client *kgo.Client, n int) {
	t.Helper()
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: stream.RawTopic("stripe"), Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)})
	}
	require.NoError(t, stream.NewPublisher(client).Publish(t.Context(), records...))
}

func TestMembersShareThePartitions(t *testing.T) {
	t.Parallel()
	d, client := newDeps(t, nil)
	d.Kafka.InstanceID = "pod-1"
	var mu sync.Mutex
	instances, values := map[int]string{}, map[string]int{}
	loop := stage.Loop{Name: "toy", Group: "g", Topics: []string{stream.RawTopic("stripe")}, Batch: stage.Batch{Records: 10}, Members: 3}
	stop := servicetest.Run(t, d.Group(toy{d.Consume(loop, func(ctx context.Context, n int, o stream.LoopOptions) error {
		mu.Lock()
		instances[n] = o.Config.InstanceID
		mu.Unlock()
		return stream.RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range batch {
				values[string(r.Value)]++
			}
			return nil
		})
	})}).Run)
	admin := kadm.NewClient(client)
	require.Eventually(t, func() bool {
		groups, err := admin.DescribeGroups(t.Context(), "g")
		return err == nil && groups["g"].State == "Stable" && len(groups["g"].Members) == 3
	}, servicetest.Patience, 10*time.Millisecond)
	servicetest.RequireReady(t, d.Runtime, true)
	publish(t, client, 200)
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(values) == 200 }, servicetest.Patience, 5*time.Millisecond)
	require.Equal(t, map[int]string{0: "pod-1-0", 1: "pod-1-1", 2: "pod-1-2"}, instances)
	for _, name := range []string{"toy-0", "toy-1", "toy-2", "postgres", "kafka"} {
		state, ok := servicetest.Component(d.Runtime, name)
		require.True(t, ok && state.Ready, name)
	}
	require.Equal(t, 200.0, servicetest.Metric(t, d.Runtime.Registry, "throughline_toy_records_total"))
	stop()
	require.False(t, servicetest.Ready(d.Runtime))
	_, ok := servicetest.Component(d.Runtime, "postgres")
	require.False(t, ok, "whoever closes the pool is not asked about it")
}

// A database that neither answers nor fails left readiness at 200, and no line.
func TestABatchThatTakesLongIsNotReady(t *testing.T) {
	t.Parallel()
	core, lines := observer.New(zapcore.WarnLevel)
	d, client := newDeps(t, zap.New(core))
	release := make(chan struct{})
	loop := stage.Loop{Name: "toy", Group: "g", Topics: []string{stream.RawTopic("stripe")}, Batch: stage.Batch{Records: 10}, SlowAfter: 50 * time.Millisecond}
	servicetest.Run(t, d.Group(toy{d.Consume(loop, func(ctx context.Context, _ int, o stream.LoopOptions) error {
		return stream.RunBatches(ctx, o, func(context.Context, []*kgo.Record) error { <-release; return nil })
	})}).Run)
	servicetest.RequireReady(t, d.Runtime, true)
	publish(t, client, 1)
	servicetest.RequireReady(t, d.Runtime, false)
	state, _ := servicetest.Component(d.Runtime, "toy-0-progress")
	require.Contains(t, state.Error, "toy-0 has been at one batch for")
	close(release)
	servicetest.RequireReady(t, d.Runtime, true)
	require.Equal(t, 1, lines.FilterMessageSnippet("finishing a batch").Len())
}

// What needs a person says so, and what to do; what passes by itself does not.
func TestReadinessTellsWhatNeedsAPerson(t *testing.T) {
	t.Parallel()
	d, client := newDeps(t, nil)
	var mu sync.Mutex
	var failure error
	fail := func(err error) { mu.Lock(); defer mu.Unlock(); failure = err }
	_, missing := d.Pool.Exec(t.Context(), "SELECT FROM nowhere")
	require.Error(t, missing)
	fail(fault.Transient(fault.Unavailable, missing))
	loop := stage.Loop{Name: "toy", Group: "g", Topics: []string{stream.RawTopic("stripe")}, Batch: stage.Batch{Records: 10}}
	servicetest.Run(t, d.Group(toy{d.Consume(loop, func(ctx context.Context, _ int, o stream.LoopOptions) error {
		return stream.RunBatches(ctx, o, func(context.Context, []*kgo.Record) error { mu.Lock(); defer mu.Unlock(); return failure })
	})}).Run)
	publish(t, client, 1)
	advised := func(want bool) func() bool {
		return func() bool {
			state, _ := servicetest.Component(d.Runtime, "toy-0")
			return !state.Ready && (state.Advice != "") == want
		}
	}
	require.Eventually(t, advised(true), servicetest.Patience, 5*time.Millisecond)
	state, _ := servicetest.Component(d.Runtime, "toy-0")
	require.Contains(t, state.Advice, "throughline migrate")
	fail(errors.New("the database is away"))
	require.Eventually(t, advised(false), servicetest.Patience, 5*time.Millisecond)
	fail(nil)
	servicetest.RequireReady(t, d.Runtime, true)
}

// A member that waits for a topic that is gone works as far as it knows.
func TestReadinessTellsOfAMissingTopic(t *testing.T) {
	t.Parallel()
	d, client := newDeps(t, nil)
	admin := kadm.NewClient(client)
	loop := stage.Loop{Name: "toy", Group: "g", Topics: []string{stream.RawTopic("stripe")}, Outputs: []string{stream.AccountEvents}, Batch: stage.Batch{Records: 10}}
	servicetest.Run(t, d.Group(toy{d.Consume(loop, func(ctx context.Context, _ int, o stream.LoopOptions) error {
		return stream.RunBatches(ctx, o, func(context.Context, []*kgo.Record) error { return nil })
	})}).Run)
	servicetest.RequireReady(t, d.Runtime, true)
	for _, topic := range []string{stream.RawTopic("stripe"), stream.AccountEvents} {
		_, err := admin.DeleteTopic(t.Context(), topic)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			state, _ := servicetest.Component(d.Runtime, "toy-topics")
			return strings.Contains(state.Error, "topic "+topic) && strings.Contains(state.Advice, "throughline topics apply")
		}, servicetest.Patience, 5*time.Millisecond)
		_, err = admin.CreateTopic(t.Context(), 4, 1, nil, topic)
		require.NoError(t, err)
		servicetest.RequireReady(t, d.Runtime, true)
	}
}

func TestComponentsAreInTheOrderGiven(t *testing.T) {
	t.Parallel()
	d := stage.Deps{Runtime: service.NewRuntime(service.Options{Name: "toy"})}
	var names []string
	for _, c := range d.Components(toy{{Name: "a"}, {Name: "b"}}, toy{{Name: "c"}}) {
		names = append(names, c.Name)
	}
	require.True(t, slices.Equal([]string{"connections", "a", "b", "c"}, names), names)
}

// A direct URL is for what needs a session; without one the pool is.
func TestSessions(t *testing.T) {
	t.Parallel()
	url := settings.URL(postgrestest.EmptyURL(t))
	c := stage.Config{Postgres: postgres.Config{URL: url, MaxConns: 2}}
	c.Registry.URL = settings.URL(streamtest.Registry(t))
	rt := service.NewRuntime(service.Options{Name: "toy"})
	d, err := stage.Connect(t.Context(), &c, rt)
	require.NoError(t, err)
	t.Cleanup(d.Pool.Close)
	require.Same(t, d.Pool, d.Sessions())
	c.Postgres.URL, c.Postgres.DirectURL = settings.URL(postgrestest.Pooler(t, string(url))), url
	d, err = stage.Connect(t.Context(), &c, rt)
	require.NoError(t, err)
	t.Cleanup(d.Pool.Close)
	t.Cleanup(d.Direct.Close)
	require.NotSame(t, d.Pool, d.Sessions())
	require.Equal(t, string(url), d.Sessions().Config().ConnString())
}
