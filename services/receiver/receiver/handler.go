package receiver

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// handler serves one source's path. A POST is read, verified, split, published
// and answered, in the order of this file.
type handler struct {
	src       source.Webhook
	name      string
	profile   source.Profile
	opened    atomic.Pointer[opened]
	address   string // what never changes of the called URL; "" when not configured
	tenant    string // of deliveries that name none
	metrics   handlerMetrics
	bodies    *bodies
	load      *load
	line      *line
	rate      eventRate
	raw       stream.RawMaker
	publisher *publisher
	log       *zap.Logger
	// readTimeout is for a whole request.
	readTimeout time.Duration
	tracer      trace.Tracer // nil when no spans are made
	requests    sync.Pool    // of *request
}

// request is one request. It is used again for the next, because what a request
// makes anew for itself costs more than a small delivery's own work.
type request struct {
	delivery    source.Delivery
	traceparent string
	client      netip.Addr // whose limits count; see proxies.client
	waiting     unverified
	admitted    bool // counted among the verified
	room        spoolRoom
	overloaded  bool // beyond the bounds of the verified: it is for the spool
	body        *body
	parts       []source.Part // all of the delivery; none when it is large
	large       bool          // more than one batch
	events      int           // in the delivery
	size        int           // bytes of the events
	batch       batch
	done        bool // without a panic
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	q, ok := h.requests.Get().(*request)
	if !ok {
		q = &request{}
	}
	defer h.finish(w, q)
	d := &q.delivery
	d.Method, d.URL, d.Header, d.ReceivedAt = r.Method, h.calledURL(r), r.Header, arrived
	if h.load.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	if r.Method != http.MethodPost {
		h.handshake(w, r, d)
	} else if no := h.receive(w, r, q); no != nil {
		h.refuse(w, r, q, no)
	} else {
		h.metrics.acked.Observe(time.Since(arrived).Seconds())
		h.metrics.deliveries.Inc()
		respond(w, h.src.Reply(d, nil))
	}
	q.done = true
}

// finish gives back what the request has taken and keeps the rest for the next
// one, but not after a panic: then nobody knows who still uses what.
func (h *handler) finish(w http.ResponseWriter, q *request) {
	cause := recover()
	if q.body != nil {
		h.bodies.release(q.body, q.done && !q.batch.held)
	}
	q.waiting.leave()
	if q.admitted {
		h.load.requests.give(1)
	}
	const room = 16 // more parts are not usual enough to be kept
	switch {
	case cause != nil:
		h.recovered(w, q, cause)
	case len(q.delivery.Body) <= largeBody && cap(q.parts) <= room && cap(q.batch.records) <= room:
		q.reset()
		h.requests.Put(q)
	}
}

func (q *request) reset() {
	q.delivery.Reset()
	q.batch.reset()
	clear(q.parts)
	q.parts = q.parts[:0]
	q.traceparent, q.body, q.events, q.size = "", nil, 0, 0
	q.room = spoolRoom{}
	q.client, q.admitted, q.overloaded, q.large, q.done = netip.Addr{}, false, false, false, false
}

// receive is everything between a POST's arrival and the answer; nil only when
// each of its events is acknowledged or on disk.
func (h *handler) receive(w http.ResponseWriter, r *http.Request, q *request) *refusal {
	if err := h.checkHeaders(r.Header); err != nil {
		return refusePermanent(err)
	}
	if no := h.authenticate(w, r, q); no != nil {
		return no
	}
	if no := h.rate.refuse(q.delivery.ReceivedAt); no != nil {
		return no
	}
	if err := h.split(q); err != nil {
		return refusePermanent(err)
	}
	h.rate.take(q.delivery.ReceivedAt, q.events)
	span := h.trace(r, q)
	no := refuseUnpublished(h.publish(q))
	if no == nil {
		h.metrics.events.Add(float64(q.events))
	}
	endSpan(span, q.events, no)
	return no
}

// checkHeaders refuses what cannot be read before any of it is.
func (h *handler) checkHeaders(header http.Header) error {
	if encoding := header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return fault.Permanent(fault.Unsupported, errors.New("the body is compressed or encoded: send it as it is"))
	}
	if h.profile.Takes(header.Get("Content-Type")) {
		return nil
	}
	if h.profile.Media == nil {
		return fault.Permanent(fault.Unsupported, errors.New("the content type is not JSON: send application/json"))
	}
	return fault.Permanent(fault.Unsupported, fmt.Errorf("the content type is none of %s", strings.Join(h.profile.Media, ", ")))
}

// calledURL is the URL that the vendor called: the configured public address
// with this request's own query, byte for byte. A proxy may have changed
// scheme, host and path, and the Host header is anybody's to set.
func (h *handler) calledURL(r *http.Request) string {
	address := h.address
	if address == "" {
		address = r.URL.EscapedPath()
	}
	if r.URL.RawQuery == "" && !r.URL.ForceQuery {
		return address
	}
	return address + "?" + r.URL.RawQuery
}

// opened are the secrets in use.
type opened struct {
	source.Verifier
	matched []counter // by position
}

// setSecrets opens other secrets; the next request is verified with them.
func (h *handler) setSecrets(secrets []string) error {
	next, err := h.open(secrets)
	if err != nil {
		return err
	}
	h.opened.Store(next)
	return nil
}

func (h *handler) open(secrets []string) (*opened, error) {
	verifier, err := h.src.Open(secrets)
	if err != nil {
		return nil, err
	}
	return &opened{verifier, h.metrics.keys(len(secrets))}, nil
}

// split takes the delivery apart, to its end before anything is published: an
// error refuses all of it. The parts of a large one are only looked at, so that
// they are never all in memory.
func (h *handler) split(q *request) error {
	for part, err := range h.src.Split(&q.delivery) {
		if err != nil {
			return err
		}
		if n := len(part.Value); n > source.MaxRecordBytes {
			return fault.Permanent(fault.Oversized, fmt.Errorf("event %d of the delivery has %d bytes, the bound is %d", q.events+1, n, source.MaxRecordBytes))
		}
		q.events++
		q.size += len(part.Value)
		if q.events > batchRecords || q.events > 1 && q.size > batchBytes {
			q.large, q.parts = true, nil
		}
		if !q.large {
			q.parts = append(q.parts, part)
		}
	}
	return nil
}

// publish makes a delivery's events safe, all of them, or says why not. Then
// some may be written all the same; the timeline knows duplicates.
func (h *handler) publish(q *request) error {
	q.batch.begin(h.publisher, q.overloaded)
	for _, part := range q.parts {
		if err := q.batch.add(h.record(part, q)); err != nil {
			return err
		}
	}
	if q.large {
		for part, err := range h.src.Split(&q.delivery) {
			if err == nil {
				err = q.batch.add(h.record(part, q))
			}
			if err != nil {
				return err
			}
		}
	}
	return q.batch.flush()
}

// record makes the raw record of a part: with the key of its event, and the
// handler's tenant if the delivery names none. What cannot be described has no
// key; the normalizer says why.
func (h *handler) record(p source.Part, q *request) *kgo.Record {
	r := source.Record{Value: p.Value, Object: p.Object, Tenant: p.Tenant, Mode: source.ModeWebhook, ReceivedAt: q.delivery.ReceivedAt}
	if r.Tenant == "" {
		r.Tenant = h.tenant
	}
	r, _, _ = source.Keyed(h.src, r)
	return h.raw.Record(r, q.traceparent)
}
