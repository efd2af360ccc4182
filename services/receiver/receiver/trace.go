package receiver

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/service"
)

// trace begins the span of a verified POST, in the trace that its traceparent
// names if it has a valid one, and notes the traceparent of its records.
// Unverified requests make no spans, and nothing is made when spans go nowhere.
func (h *handler) trace(r *http.Request, q *request) (span trace.Span) {
	parent := r.Header["Traceparent"]
	if h.tracer == nil && len(parent) != 1 {
		return nil
	}
	ctx := r.Context()
	if len(parent) == 1 {
		ctx = service.WithTraceparent(ctx, parent[0])
	}
	if h.tracer != nil {
		ctx, span = h.tracer.Start(ctx, "receive "+h.name, trace.WithTimestamp(q.delivery.ReceivedAt), trace.WithSpanKind(trace.SpanKindProducer))
	}
	q.traceparent = service.Traceparent(ctx)
	return span
}

// endSpan ends what trace has begun, if anything.
func endSpan(span trace.Span, events int, no *refusal) {
	if span == nil {
		return
	}
	span.SetAttributes(attribute.Int("throughline.events", events))
	if no != nil {
		span.SetStatus(codes.Error, string(no.reason))
	}
	span.End()
}
