package normalizer_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/stream"
)

func TestTransformContinuesTheTraceOfASampledEvent(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	t.Cleanup(func() { require.NoError(t, provider.Shutdown(context.Background())) })
	n := newNormalizer(t, func(o *options) {
		o.Runtime = service.NewRuntime(service.Options{Name: "normalizer", TracerProvider: provider})
	})
	n.link(t, "stripe", "customer", "cus_Tz1Acme", acme)
	const unsampled = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00"
	value := body(t, "stripe", "invoice_paid.json")
	got := n.transform(t,
		newRecord("stripe", value, header(stream.HeaderTraceparent, sampled)),
		newRecord("stripe", value, header(stream.HeaderTraceparent, unsampled)),
		newRecord("stripe", value, header(stream.HeaderTraceparent, "not a traceparent")),
		newRecord("stripe", value))

	ended := spans.GetSpans()
	require.Len(t, ended, 1)
	require.Equal(t, "normalize", ended[0].Name)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", ended[0].SpanContext.TraceID().String())
	require.Equal(t, "b7ad6b7169203331", ended[0].Parent.SpanID().String())

	next := trace.SpanContextFromContext(service.WithTraceparent(t.Context(), string(stream.Header(got[0].record, stream.HeaderTraceparent))))
	require.Equal(t, ended[0].SpanContext.TraceID(), next.TraceID())
	require.Equal(t, ended[0].SpanContext.SpanID(), next.SpanID(), "the sink's span hangs below this one")
	require.True(t, next.IsSampled())
	require.Equal(t, unsampled, string(stream.Header(got[1].record, stream.HeaderTraceparent)))
	require.Nil(t, stream.Header(got[2].record, stream.HeaderTraceparent))
	require.Nil(t, stream.Header(got[3].record, stream.HeaderTraceparent))
}
