package receiver

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// door is the handler of one source's path.
type door struct {
	src       source.Webhook
	name      string
	verifier  source.Verifier
	profile   source.Profile
	address   string // what never changes of the called URL; "" when not configured
	tenant    string
	metrics   doorMetrics
	bodies    *bodies
	inFlight  *budget
	publisher *publisher
	log       *zap.Logger
	tracer    trace.Tracer // nil when no spans are made
	maker     stream.RawMaker
	splits    splittings
}

// refused is an outcome with the label that counts it.
type refused struct {
	why refusal
	err error
}

func refuse(why refusal, err error) *refused { return &refused{why: why, err: err} }

// refusePermanent labels an error of the source's own by its reason.
func refusePermanent(err error) *refused {
	switch fault.ReasonOf(err) {
	case fault.Unauthenticated:
		return refuse(unauthenticated, err)
	case fault.Oversized:
		return refuse(oversized, err)
	case fault.Unsupported:
		return refuse(unsupported, err)
	default:
		return refuse(malformed, err)
	}
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	defer d.recoverPanic(w, r)
	if r.Method != http.MethodPost {
		d.handshake(w, r)
		return
	}
	if no := d.receive(w, r, arrived); no != nil {
		d.refuse(w, r, no)
		return
	}
	d.metrics.acked.Observe(time.Since(arrived).Seconds())
	d.metrics.deliveries.Inc()
	newAnswer(d.src.Reply(requested(r), nil)).write(w)
}

// receive is everything between a POST's arrival and the answer; nil only when
// each of its events is acknowledged or on disk.
func (d *door) receive(w http.ResponseWriter, r *http.Request, arrived time.Time) *refused {
	if no := d.checkHeaders(r.Header); no != nil {
		return no
	}
	if !d.inFlight.take(1) {
		return refuse(overloaded, fault.Transient(fault.Unavailable, errOverloaded))
	}
	defer d.inFlight.give(1)
	in, err := d.bodies.read(w, r, d.profile.Limits.BodyBytes)
	reusable := false // nor in a panic: then nobody knows who still holds a part of the body
	defer func() { d.bodies.release(in, reusable) }()
	if err != nil {
		return d.unread(err)
	}
	one := d.splits.get(d)
	one.delivery = source.Delivery{Method: r.Method, URL: d.calledURL(r), Header: r.Header, Body: in.buf, ReceivedAt: arrived}
	out, no := d.take(r, one)
	reusable = !out.held
	d.splits.put(one)
	return no
}

// take verifies a delivery that was read, and makes its events safe.
func (d *door) take(r *http.Request, one *splitting) (published, *refused) {
	arrived := one.delivery.ReceivedAt
	key, err := d.verifier.Verify(&one.delivery, arrived)
	if err != nil {
		return published{}, refusePermanent(err)
	}
	if key >= 0 && key < len(d.metrics.keys) {
		d.metrics.keys[key].Inc()
	}
	traceparent, span := d.trace(r, arrived)
	one.traceparent = traceparent
	out, no := d.publish(one)
	d.metrics.events.Add(float64(out.events))
	if span != nil {
		endSpan(span, out.events, no)
	}
	return out, no
}

// checkHeaders refuses what cannot be read before any of it is.
func (d *door) checkHeaders(h http.Header) *refused {
	if encoding := h.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return refuse(unsupported, fault.Permanent(fault.Unsupported, errors.New("the body is compressed or encoded: send it as it is")))
	}
	if !d.profile.Takes(h.Get("Content-Type")) {
		return refuse(unsupported, fault.Permanent(fault.Unsupported, d.wrongType()))
	}
	return nil
}

// wrongType names what the source takes.
func (d *door) wrongType() error {
	if d.profile.Media == nil {
		return errors.New("the content type is not JSON: send application/json")
	}
	return fmt.Errorf("the content type is none of %s", strings.Join(d.profile.Media, ", "))
}

// requested is a request as far as a Reply can know it before it was read.
func requested(r *http.Request) *source.Delivery {
	return &source.Delivery{Method: r.Method, Header: r.Header}
}

func (d *door) unread(err error) *refused {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(oversized, fault.Permanent(fault.Oversized, fmt.Errorf("the body has more than %d bytes", tooLarge.Limit)))
	case errors.Is(err, errOverloaded):
		return refuse(overloaded, fault.Transient(fault.Unavailable, err))
	default:
		return refuse(incomplete, fault.Transient(fault.Unavailable, fmt.Errorf("reading the body: %w", err)))
	}
}

// calledURL is the URL that the vendor called: the configured public address
// with this request's own query, byte for byte. A proxy may have changed
// scheme, host and path, and the Host header is anybody's to set.
func (d *door) calledURL(r *http.Request) string {
	address := d.address
	if address == "" {
		address = r.URL.EscapedPath()
	}
	if r.URL.RawQuery == "" && !r.URL.ForceQuery {
		return address
	}
	return address + "?" + r.URL.RawQuery
}

// trace begins the span of a verified POST, in the trace that its traceparent
// names if it has a valid one, and gives the traceparent of its records.
// Unverified requests make no spans, and nothing is made when spans go nowhere.
func (d *door) trace(r *http.Request, arrived time.Time) (traceparent string, span trace.Span) {
	parent := r.Header["Traceparent"]
	if d.tracer == nil && len(parent) != 1 {
		return "", nil
	}
	ctx := r.Context()
	if len(parent) == 1 {
		ctx = service.WithTraceparent(ctx, parent[0])
	}
	if d.tracer != nil {
		ctx, span = d.tracer.Start(ctx, "receive "+d.name, trace.WithTimestamp(arrived), trace.WithSpanKind(trace.SpanKindProducer))
	}
	return service.Traceparent(ctx), span
}

func endSpan(span trace.Span, events int, no *refused) {
	span.SetAttributes(attribute.Int("throughline.events", events))
	if no != nil {
		span.SetStatus(codes.Error, string(no.why))
	}
	span.End()
}

// handshake answers what is not a POST.
func (d *door) handshake(w http.ResponseWriter, r *http.Request) {
	allow := http.MethodPost
	if shaker, ok := d.src.(source.Handshaker); ok {
		if resp, ok := shaker.Handshake(r); ok {
			newAnswer(resp).write(w)
			return
		}
		allow = "POST, HEAD, GET, OPTIONS"
	}
	d.metrics.rejected[unsupported].Inc()
	resp := d.src.Reply(requested(r), fault.Permanent(fault.Unsupported, fmt.Errorf("the method is not POST: deliveries are posted to %s", path(d.name))))
	resp.Status = http.StatusMethodNotAllowed
	w.Header().Set("Allow", allow)
	newAnswer(resp).write(w)
}

func (d *door) refuse(w http.ResponseWriter, r *http.Request, no *refused) {
	d.metrics.rejected[no.why].Inc()
	// One line a refusal would let anybody fill the log, so only for who asks.
	if entry := d.log.Check(zap.DebugLevel, "refused a delivery"); entry != nil {
		entry.Write(zap.String("source", d.name), zap.String("reason", string(no.why)), zap.String("remote", r.RemoteAddr), zap.Error(no.err))
	}
	newAnswer(d.src.Reply(requested(r), no.err)).write(w)
}

// recoverPanic turns a bug into the answer that makes the vendor try again.
func (d *door) recoverPanic(w http.ResponseWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { //nolint:errorlint,err113 // it is a panic's value, compared as net/http does
		panic(cause)
	}
	d.metrics.rejected[internal].Inc()
	d.log.Error("recovered from a panic while receiving", zap.String("source", d.name), zap.Any("panic", cause), zap.ByteString("stack", debug.Stack()))
	resp := source.Response{Status: http.StatusServiceUnavailable}
	func() {
		defer func() { _ = recover() }() // a Reply that panics too leaves the plain 503
		resp = d.src.Reply(requested(r), fault.Transient(fault.Unavailable, errors.New("a bug in the receiver")))
	}()
	newAnswer(resp).write(w)
}
