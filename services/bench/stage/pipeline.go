package stage

import (
	"context"
	"path/filepath"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/receiver/receiver"
	"github.com/throughline-dev/throughline/services/whole"
)

// runPipeline is every stage between a POST and the timeline, in one process.
func runPipeline(ctx context.Context, job Job, ready func(string)) (Result, error) {
	return runServing(ctx, job, ready, whole.Sink, whole.Normalizer, whole.Receiver)
}

// runServing runs these services as they are without a setting, until ctx ends.
func runServing(ctx context.Context, job Job, ready func(string), names ...string) (Result, error) {
	deps, services, err := newServices(ctx, job, names...)
	if err != nil {
		return Result{}, err
	}
	defer closePool(deps)
	return Result{}, serving(ctx, services.Run, services.Addr, ready)
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
	options := whole.Options{Only: names, Receiver: receiver.Config{Listen: "127.0.0.1:0", SpoolDir: filepath.Join(job.Scratch, "spool")}}
	if options.Endpoints, err = endpoints(); err == nil {
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
