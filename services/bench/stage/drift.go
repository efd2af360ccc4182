package stage

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/traffic"
	"github.com/throughline-dev/throughline/services/whole"
)

// runDrift learns the shapes of what lies in the raw topics until Records are counted.
func runDrift(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	deps, services, err := newServices(ctx, job, whole.Drift)
	if err != nil {
		return r, err
	}
	defer closePool(deps)
	err = until(ctx, services.Run, func(ctx context.Context) (err error) {
		r.Samples, err = sample(ctx, job.Records, sum(deps.Runtime.Registry, "throughline_drift_events_total"))
		return err
	})
	return r, err
}

// sum adds up a counter of all its labels.
func sum(reg *prometheus.Registry, name string) func() (int, error) {
	return func() (n int, err error) {
		families, err := reg.Gather()
		for _, f := range families {
			if f.GetName() == name {
				for _, m := range f.GetMetric() {
					n += int(m.GetCounter().GetValue())
				}
			}
		}
		return n, err
	}
}

// runBareConsumer reads the raw topics as a group that keeps its offsets, and looks at no record.
func runBareConsumer(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	var topics []string
	for _, name := range traffic.Names() {
		topics = append(topics, stream.RawTopic(name))
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(job.Brokers...), kgo.ConsumerGroup(stream.Names{}.Group(stream.Drift)), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxBytes(8<<20), kgo.FetchMaxPartitionBytes(2<<20))
	if err != nil {
		return r, fmt.Errorf("making the Kafka client: %w", err)
	}
	defer client.Close()
	var read atomic.Int64
	err = until(ctx, func(ctx context.Context) error {
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			if err := fetches.Err(); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("reading the raw topics: %w", err)
			}
			read.Add(int64(fetches.NumRecords()))
		}
		return nil
	}, func(ctx context.Context) (err error) {
		r.Samples, err = sample(ctx, job.Records, func() (int, error) { return int(read.Load()), nil })
		return err
	})
	return r, err
}
