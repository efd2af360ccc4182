package service

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// maxTraceparent bounds the header that is looked at: version 00 has 55 bytes,
// a later version may append.
const maxTraceparent = 256

// Traceparent gives the W3C traceparent header of the context's span, to put on
// a record or request; "" when there is none.
func Traceparent(ctx context.Context) string {
	var h header
	propagation.TraceContext{}.Inject(ctx, &h)
	return string(h)
}

// WithTraceparent gives a context whose next span continues the trace in a W3C
// traceparent header. Anything else than such a header leaves ctx as it is: the
// header comes from third parties and must never cost an event.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" || len(traceparent) > maxTraceparent {
		return ctx
	}
	h := header(traceparent)
	return propagation.TraceContext{}.Extract(ctx, &h)
}

// header is a carrier of the traceparent alone; tracestate is not ours to carry.
type header string

// Get implements propagation.TextMapCarrier.
func (h *header) Get(key string) string {
	if key == "traceparent" {
		return string(*h)
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (h *header) Set(key, value string) {
	if key == "traceparent" {
		*h = header(value)
	}
}

// Keys implements propagation.TextMapCarrier.
func (*header) Keys() []string { return []string{"traceparent"} }

// newTracing makes a provider that sends to the collector at endpoint, a base
// URL to which /v1/traces is added unless it ends so. A user and password in it
// are sent as basic authentication. The exporter's other standard variables
// (OTEL_EXPORTER_OTLP_HEADERS and so on) hold too. Nothing is connected to yet: a
// collector that is away costs spans, never events.
func newTracing(ctx context.Context, service string, endpoint settings.URL, ratio float64) (*sdktrace.TracerProvider, error) {
	collector, err := url.Parse(strings.TrimSuffix(string(endpoint), "/"))
	if err != nil {
		return nil, errors.New("making the trace exporter: --otlp-endpoint is not an address")
	}
	if !strings.HasSuffix(collector.Path, "/v1/traces") {
		collector = collector.JoinPath("v1/traces")
	}
	var options []otlptracehttp.Option
	if user := collector.User; user != nil {
		password, _ := user.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		options = append(options, otlptracehttp.WithHeaders(map[string]string{"Authorization": "Basic " + credentials}))
		collector.User = nil // the exporter would drop it, and may log the address
	}
	exporter, err := otlptracehttp.New(ctx, append(options, otlptracehttp.WithEndpointURL(collector.String()))...)
	if err != nil {
		return nil, fmt.Errorf("making the trace exporter (--otlp-endpoint): %w", err)
	}
	return newProvider(service, ratio, sdktrace.WithBatcher(exporter)), nil
}

func newProvider(service string, ratio float64, options ...sdktrace.TracerProviderOption) *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(append(options,
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "throughline-"+service),
			attribute.String("service.version", settings.Version()))))...)
}

// tracerName is the instrumentation scope of our spans.
const tracerName = "github.com/throughline-dev/throughline"

func tracerOf(p trace.TracerProvider) trace.Tracer {
	return p.Tracer(tracerName, trace.WithInstrumentationVersion(settings.Version()))
}
