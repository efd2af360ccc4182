package receiver

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// refusal is an outcome with the label that counts it.
type refusal struct {
	reason reason
	err    error
	wait   time.Duration // of a limited one, or one over its source's rate: when to come again
	unread bool          // nothing can be read any more behind what was read of the body
}

// cutWait is the wait of a request that was cut to make room: others will be
// gone by then.
const cutWait = 5 * time.Second

// refusePermanent labels what is wrong with the delivery by the fault's reason.
func refusePermanent(err error) *refusal {
	switch fault.ReasonOf(err) {
	case fault.Unauthenticated:
		return &refusal{reason: unauthenticated, err: err}
	case fault.Oversized:
		return &refusal{reason: oversized, err: err}
	case fault.Unsupported:
		return &refusal{reason: unsupported, err: err}
	default:
		return &refusal{reason: malformed, err: err}
	}
}

// refuseUnread labels why a body was not read. What came and is no body, or only its
// start, is the sender's fault and the same the next time; what did not come in time
// may.
func refuseUnread(err error) *refusal {
	var tooLarge *http.MaxBytesError
	var network net.Error
	switch {
	case errors.As(err, &tooLarge):
		return &refusal{reason: oversized, err: fault.Permanent(fault.Oversized, fmt.Errorf("the body has more than %d bytes", tooLarge.Limit))}
	case errors.Is(err, errOverloaded):
		return &refusal{reason: overloaded, err: fault.Transient(fault.Unavailable, err)}
	case errors.As(err, &network), errors.Is(err, net.ErrClosed):
		return &refusal{reason: incomplete, err: fault.Transient(fault.Unavailable, fmt.Errorf("reading the body: %w", err)), unread: true}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &refusal{reason: incomplete, err: fault.Permanent(fault.Malformed, errors.New("the body ends before it is complete")), unread: true}
	default:
		return &refusal{reason: malformed, err: fault.Permanent(fault.Malformed, fmt.Errorf("the body cannot be read: %w", err)), unread: true}
	}
}

// refuseUnpublished labels what publishing gives; nil for nil.
func refuseUnpublished(err error) *refusal {
	switch {
	case err == nil:
		return nil
	case fault.IsPermanent(err):
		return refusePermanent(err)
	default:
		return &refusal{reason: unavailable, err: err}
	}
}

// refuse answers with what makes the vendor try again, or stop.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, q *request, no *refusal) {
	h.metrics.rejected[no.reason].Inc()
	// One line a refusal would let anybody fill the log, so only for who asks.
	if entry := h.log.Check(zap.DebugLevel, "refused a delivery"); entry != nil {
		entry.Write(zap.String("source", h.name), zap.String("reason", string(no.reason)), zap.String("remote", r.RemoteAddr), zap.Error(no.err))
	}
	if q.body == nil || no.reason == limited || no.unread {
		// The server would wait for the rest of the body before it answers.
		w.Header().Set("Connection", "close")
	}
	if no.reason == limited {
		respond(w, tooMany(no.wait))
		return
	}
	if no.reason == overRate {
		w.Header().Set("Retry-After", retryAfter(no.wait))
	}
	respond(w, h.src.Reply(&q.delivery, no.err))
}

// retryAfter gives the header's value: whole seconds.
func retryAfter(wait time.Duration) string {
	return strconv.Itoa(int((wait + time.Second - 1) / time.Second))
}

// tooMany answers who is over a limit on what is not verified.
func tooMany(wait time.Duration) source.Response {
	return source.Response{
		Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {retryAfter(wait)}},
		Body: []byte(`{"error":"limited","detail":"too many requests that are not verified: come again later"}`),
	}
}

// handshake answers what is not a POST.
func (h *handler) handshake(w http.ResponseWriter, r *http.Request, d *source.Delivery) {
	allow := http.MethodPost
	if shaker, ok := h.src.(source.Handshaker); ok {
		if resp, ok := shaker.Handshake(r); ok {
			respond(w, resp)
			return
		}
		allow = "POST, HEAD, GET, OPTIONS"
	}
	h.metrics.rejected[unsupported].Inc()
	resp := h.src.Reply(d, fault.Permanent(fault.Unsupported, fmt.Errorf("the method is not POST: deliveries are posted to %s", path(h.name))))
	resp.Status = http.StatusMethodNotAllowed
	w.Header().Set("Allow", allow)
	respond(w, resp)
}

// recovered turns a bug into the answer that makes the vendor try again.
func (h *handler) recovered(w http.ResponseWriter, q *request, cause any) {
	if cause == http.ErrAbortHandler { //nolint:errorlint,err113 // it is a panic's value, compared as net/http does
		panic(cause)
	}
	h.metrics.rejected[internal].Inc()
	h.log.Error("recovered from a panic while receiving", zap.String("source", h.name), zap.Any("panic", cause), zap.ByteString("stack", debug.Stack()))
	resp := source.Response{Status: http.StatusServiceUnavailable}
	func() {
		defer func() { _ = recover() }() // a Reply that panics too leaves the plain 503
		// The body is somebody else's by now.
		d := &source.Delivery{Method: q.delivery.Method, URL: q.delivery.URL, Header: q.delivery.Header, ReceivedAt: q.delivery.ReceivedAt}
		resp = h.src.Reply(d, fault.Transient(fault.Unavailable, errors.New("a bug in the receiver")))
	}()
	respond(w, resp)
}

// jsonType is shared by all answers: net/http only reads it.
var jsonType = []string{"application/json"}

// respond writes a source's answer. A status that cannot be one is a 503: the
// vendor tries again, and net/http does not panic.
func respond(w http.ResponseWriter, resp source.Response) {
	if resp.Status < 200 || resp.Status > 599 {
		resp.Status = http.StatusServiceUnavailable
	}
	header := w.Header()
	for name, values := range resp.Header {
		header[name] = values
	}
	if len(resp.Body) > 0 && header["Content-Type"] == nil {
		header["Content-Type"] = jsonType
	}
	w.WriteHeader(resp.Status)
	_, _ = w.Write(resp.Body) // a client that went away asks again
}

// routes are the sources' paths. A path is not cleaned and redirected to, as
// net/http's own multiplexer would do: a signature may cover it.
type routes map[string]http.Handler

// ServeHTTP gives a request to the source whose path it has, exactly.
func (s routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h, ok := s[r.URL.Path]; ok {
		h.ServeHTTP(w, r)
		return
	}
	notFound(w, r)
}

// notFound answers every path but the sources' own.
func notFound(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close") // its body is not waited for
	}
	respond(w, source.Response{
		Status: http.StatusNotFound,
		Body:   []byte(`{"error":"not_found","detail":"there is nothing here: deliveries are posted to /webhooks/<source> of a source that is switched on"}`),
	})
}
