package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// defaultStop is the bound of an ordered stop where none is configured. With
// what Main adds at most (lastGrace, three times) it stays below 30 s.
func defaultStop() time.Duration {
	var common settings.Common
	settings.Defaults(&common)
	return common.ShutdownTimeout
}

// Runtime is what a service is given to be seen by: nothing of it is global, so
// many services run in one process, and many in one test binary.
type Runtime struct {
	Name           string
	Log            *zap.Logger
	Registry       *prometheus.Registry
	Health         *Health
	Tracer         trace.Tracer
	TracerProvider trace.TracerProvider // for libraries that instrument themselves
	Propagator     propagation.TextMapPropagator
	StopTimeout    time.Duration // of the whole ordered stop

	flush   func(context.Context) error
	reloads reloads
}

// Options are the parts of a Runtime that the caller has; the rest is made.
type Options struct {
	Name           string
	Log            *zap.Logger          // none: nothing is logged
	Registry       *prometheus.Registry // none: a new one with the process's metrics
	Health         *Health              // none: a new one
	TracerProvider trace.TracerProvider // none: no spans, see NewRuntime
	StopTimeout    time.Duration        // 0: the default of --shutdown-timeout
}

// NewRuntime makes a Runtime without signals, admin server or exporter, for
// services inside a larger process and for tests.
//
// Without a provider no ids are made: a span then only hands on the trace that
// the context already holds. So a vendor's or a third party's traceparent still
// travels from POST to COMMIT and into the logs, and nothing is paid for
// recording.
func NewRuntime(o Options) *Runtime {
	rt := &Runtime{
		Name: o.Name, Log: o.Log, Registry: o.Registry, Health: o.Health, TracerProvider: o.TracerProvider,
		Propagator: propagation.TraceContext{}, StopTimeout: o.StopTimeout,
	}
	if rt.Log == nil {
		rt.Log = zap.NewNop()
	}
	if rt.Registry == nil {
		rt.Registry = NewRegistry(o.Name)
	}
	if rt.Health == nil {
		rt.Health = NewHealth()
	}
	if rt.TracerProvider == nil {
		rt.TracerProvider = noop.NewTracerProvider()
	}
	if rt.StopTimeout <= 0 {
		rt.StopTimeout = defaultStop()
	}
	rt.Tracer = tracerOf(rt.TracerProvider)
	return rt
}

// OpenRuntime makes the Runtime of a process from its configuration. The log
// goes to w. Close it.
func OpenRuntime(ctx context.Context, name string, c *settings.Common, w io.Writer) (*Runtime, error) {
	o := Options{Name: name, Log: NewLogger(w, name, c.LogLevel, c.LogFormat), StopTimeout: c.ShutdownTimeout}
	if c.OTLPEndpoint == "" {
		return NewRuntime(o), nil
	}
	provider, err := newTracing(ctx, name, c.OTLPEndpoint, c.TraceRatio)
	if err != nil {
		return nil, err
	}
	o.TracerProvider = provider
	rt := NewRuntime(o)
	rt.flush = provider.Shutdown
	return rt, nil
}

// Close sends the spans that wait, as long as ctx allows. Call it last.
func (rt *Runtime) Close(ctx context.Context) error {
	// Sync's error means nothing: terminals and pipes cannot be synced.
	_ = rt.Log.Sync()
	if rt.flush == nil {
		return nil
	}
	if err := rt.flush(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}

// Group makes a Group that logs, reports health and is bounded as the runtime
// says. The components come downstream first.
func (rt *Runtime) Group(components ...Component) *Group {
	return NewGroup(GroupOptions{Log: rt.Log, Health: rt.Health, StopTimeout: rt.StopTimeout}, components...)
}
