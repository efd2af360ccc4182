package stage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/drift/drift"
	"github.com/throughline-dev/throughline/services/receiver/receiver"
	"github.com/throughline-dev/throughline/services/whole"
)

// runPipeline is every stage between a POST and the timeline, in one process.
func runPipeline(ctx context.Context, job Job, ready func(string)) (Result, error) {
	return runServing(ctx, job, ready, whole.Sink, whole.Normalizer, whole.Receiver)
}

// runServing runs these services as they are without a setting, the receiver one
// of them, until ctx ends.
func runServing(ctx context.Context, job Job, ready func(string), names ...string) (Result, error) {
	deps, services, err := newServices(ctx, job, names...)
	if err != nil {
		return Result{}, err
	}
	defer closePool(deps)
	r, err := serving(ctx, services.Run, func(ctx context.Context) (string, error) {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for services.Addr() == "" {
			select {
			case <-ctx.Done():
				return "", context.Cause(ctx)
			case <-tick.C:
			}
		}
		return services.Addr(), nil
	}, ready)
	r.Metrics = metricsOf(deps.Runtime.Registry)
	return r, err
}

// runConsuming runs a service as it is without a setting, until ctx ends. It is
// ready when its group has all partitions of a topic.
func runConsuming(ctx context.Context, job Job, ready func(string), name, group, topic string) (Result, error) {
	deps, services, err := newServices(ctx, job, name)
	if err != nil {
		return Result{}, err
	}
	defer closePool(deps)
	r, err := serving(ctx, services.Run, func(ctx context.Context) (string, error) {
		return "", joined(ctx, job, group, topic)
	}, ready)
	r.Metrics = metricsOf(deps.Runtime.Registry)
	return r, err
}

// joined waits until a group's members have all partitions of a topic.
func joined(ctx context.Context, job Job, group, topic string) error {
	client, err := stream.NewClient(job.kafka(), stream.Deps{Name: "bench"})
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		switch all, err := hasAll(ctx, admin, group, topic); {
		case all:
			return nil
		case err != nil && !kerr.IsRetriable(err) && !errors.Is(err, kerr.GroupIDNotFound): // as yet
			return fmt.Errorf("describing the consumer group %s: %w", group, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func hasAll(ctx context.Context, admin *kadm.Client, group, topic string) (bool, error) {
	topics, err := admin.ListTopics(ctx, topic)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return false, err
	}
	groups, err := admin.DescribeGroups(ctx, group)
	if err == nil {
		err = groups.Error()
	}
	if err != nil {
		return false, err
	}
	d := groups[group]
	return d.State == "Stable" && len(d.AssignedPartitions()[topic]) == len(topics[topic].Partitions), nil
}

// serving runs a server until ctx ends. When await gives its address it calls
// ready, and the CPU that is measured begins.
func serving(ctx context.Context, run func(context.Context) error, await func(context.Context) (string, error), ready func(string)) (r Result, err error) {
	err = until(ctx, run, func(ctx context.Context) error {
		address, err := await(ctx)
		switch {
		case ctx.Err() != nil:
			return nil // run says why
		case err != nil:
			return err
		}
		r.CPU = CPUSeconds()
		ready(address)
		<-ctx.Done()
		return nil
	})
	return r, err
}

// runUntil runs a service as it is without a setting, until its counter has
// reached the job's Records.
func runUntil(ctx context.Context, job Job, name, progress string) (r Result, err error) {
	deps, services, err := newServices(ctx, job, name)
	if err != nil {
		return r, err
	}
	defer closePool(deps)
	err = until(ctx, services.Run, func(ctx context.Context) (err error) {
		r.Samples, err = sample(ctx, job.Records, counter(deps.Runtime.Registry, progress))
		return err
	})
	return r, err
}

// newServices makes these services, on connections of their own.
func newServices(ctx context.Context, job Job, names ...string) (deps stage.Deps, services *whole.Whole, err error) {
	deps = stage.Deps{Kafka: job.kafka(), Sources: catalog.Set(), Runtime: newRuntime(names[0])}
	if job.Registry != "" {
		if deps.Registry, err = job.registry(); err != nil {
			return deps, nil, err
		}
	}
	if job.Postgres != "" {
		config := postgres.Config{URL: settings.URL(job.Postgres)}
		settings.Defaults(&config)
		if deps.Pool, err = postgres.Open(ctx, config, "bench-"+names[0]); err != nil {
			return deps, nil, err
		}
	}
	options := whole.Options{Only: names, Receiver: receiver.Config{
		Listen: "127.0.0.1:0", SpoolDir: filepath.Join(job.Scratch, "spool"), SpoolBytes: settings.Bytes(job.SpoolBytes),
	}}
	if slices.Contains(names, whole.Drift) {
		options.Drift = &drift.Options{}
	}
	if options.Endpoints, err = endpoints(job.AllSources); err == nil {
		services, err = whole.New(ctx, deps, options)
	}
	if err != nil {
		closePool(deps)
	}
	return deps, services, err
}

func closePool(deps stage.Deps) {
	if deps.Pool != nil {
		deps.Pool.Close()
	}
}
