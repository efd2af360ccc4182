package stage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sampleEvery is how often progress is read, which costs a core about a percent:
// so rates over some seconds are right to about as much.
const sampleEvery = 25 * time.Millisecond

// sample calls count until it gives total or more, or ctx ends, and keeps each
// change.
func sample(ctx context.Context, total int, count func() (int, error)) ([]Sample, error) {
	start := time.Now()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var samples []Sample
	last := 0
	for {
		ended := ctx.Err() != nil // before the count: work that is done ends ctx
		n, err := count()
		if err != nil {
			return samples, err
		}
		if n != last {
			samples = append(samples, Sample{n, time.Since(start).Seconds(), residentBytes()})
			last = n
		}
		if n >= total {
			return samples, nil
		}
		if ended {
			return samples, context.Cause(ctx)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// counter reads a counter of a registry, 0 while there is none.
func counter(reg *prometheus.Registry, name string) func() (int, error) {
	return func() (int, error) {
		families, err := reg.Gather()
		if err != nil {
			return 0, err
		}
		for _, f := range families {
			if f.GetName() == name {
				return int(f.GetMetric()[0].GetCounter().GetValue()), nil
			}
		}
		return 0, nil
	}
}

// metricsOf gives the counters and gauges of a registry, by name and labels.
func metricsOf(reg *prometheus.Registry) map[string]float64 {
	families, err := reg.Gather()
	if err != nil {
		return nil
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			var labels []string
			for _, l := range metric.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := f.GetName()
			if labels != nil {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case metric.GetCounter() != nil:
				all[name] = metric.GetCounter().GetValue()
			case metric.GetGauge() != nil:
				all[name] = metric.GetGauge().GetValue()
			}
		}
	}
	return all
}

// until runs work, a stage that ends when its context does, while watch watches
// it, and ends it when watch returns.
func until(ctx context.Context, work func(context.Context) error, watch func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() {
		err := work(ctx)
		cancel(err) // a stage that fails ends the watch
		done <- err
	}()
	watched := watch(ctx)
	cancel(nil)
	if err := <-done; err != nil {
		return err
	}
	return watched
}

// latencyOf sorts and measures; nothing gives zeros.
func latencyOf(took []time.Duration) Latency {
	if len(took) == 0 {
		return Latency{}
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	return Latency{P50: at(0.5), P95: at(0.95), P99: at(0.99), Max: at(1)}
}
