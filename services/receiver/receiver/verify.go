package receiver

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/service/strangers"
	"github.com/throughline-dev/throughline/pkg/source"
)

// load is what all sources share: the bounds of what is not verified yet, and
// apart from those, which a stranger uses up, the bounds of what is.
type load struct {
	proxies   proxies
	known     *strangers.Known
	admission *admission
	requests  budget // verified, in flight
	bytes     budget // of their bodies
	// reserve is of bodies on their way to a spool because bytes had no room.
	reserve  budget
	draining atomic.Bool
	refused  atomic.Int64 // when a verified delivery was last refused for the bounds, Unix nanoseconds
}

// spoolRoom is the account of a body whose vendor never comes again: where there
// is no room among the verified it takes from the reserve, and is spooled.
type spoolRoom struct {
	bytes, reserve *budget
	held, reserved int64
}

func (s *spoolRoom) take(n int64) bool {
	switch {
	case s.reserved == 0 && s.bytes.take(n):
		s.held += n
	case s.reserve.take(n):
		s.reserved += n
	default:
		return false
	}
	return true
}

// give gives everything back: a body does so once, at its end.
func (s *spoolRoom) give(int64) {
	s.bytes.give(s.held)
	s.reserve.give(s.reserved)
	s.held, s.reserved = 0, 0
}

// authenticate reads the body and says who sent it: nil only when a secret of
// the source matches, and there is room for what is verified or a spool.
func (h *handler) authenticate(w http.ResponseWriter, r *http.Request, q *request) *refusal {
	q.client = h.load.proxies.client(r.RemoteAddr, r.Header)
	secrets := h.opened.Load()
	complete := false
	if early, ok := secrets.Verifier.(source.HeaderVerifier); ok {
		var err error
		if complete, err = early.VerifyHeader(&q.delivery, q.delivery.ReceivedAt); err != nil {
			return h.unauthenticated(q, err)
		}
	}
	if complete {
		return h.readVerified(w, r, q, secrets)
	}
	return h.readUnverified(w, r, q, secrets)
}

// readVerified reads the body of a delivery whose headers are all the proof
// there is.
func (h *handler) readVerified(w http.ResponseWriter, r *http.Request, q *request, secrets *opened) *refusal {
	if err := h.verify(q, secrets); err != nil {
		return h.unauthenticated(q, err)
	}
	from := h.admit(q)
	if from == nil {
		return h.overload()
	}
	var err error
	q.body, err = h.bodies.read(w, r, h.profile.Limits.BodyBytes, from, h.until(q))
	switch {
	case errors.Is(err, errOverloaded):
		return h.overload()
	case err != nil:
		return refuseUnread(err)
	}
	q.overloaded = q.overloaded || q.room.reserved > 0
	q.delivery.Body = q.body.buf
	return nil
}

// readUnverified reads the body of a delivery whose signature covers it, within
// the bounds of what is not verified.
func (h *handler) readUnverified(w http.ResponseWriter, r *http.Request, q *request, secrets *opened) *refusal {
	h.load.admission.enter(&q.waiting, h.line, q.client, w)
	var err error
	if q.body, err = h.bodies.read(w, r, h.profile.Limits.BodyBytes, &q.waiting, h.until(q)); err != nil {
		if q.waiting.leave() != "" {
			return &refusal{reason: limited, err: fault.Transient(fault.Unavailable, errLimited), wait: cutWait}
		}
		return refuseUnread(err)
	}
	q.delivery.Body = q.body.buf
	if err := h.verify(q, secrets); err != nil {
		return h.unauthenticated(q, err)
	}
	if to := h.admit(q); to == nil || !q.body.move(to) {
		return h.overload()
	}
	q.overloaded = q.overloaded || q.room.reserved > 0
	q.waiting.leave()
	return nil
}

// until is when a request must have arrived.
func (h *handler) until(q *request) time.Time { return q.delivery.ReceivedAt.Add(h.readTimeout) }

// verify counts which secret has matched, and remembers the address.
func (h *handler) verify(q *request, secrets *opened) error {
	key, err := secrets.Verify(&q.delivery, q.delivery.ReceivedAt)
	if err != nil {
		return err
	}
	if key >= 0 && key < len(secrets.matched) {
		secrets.matched[key].Inc()
	}
	h.load.known.Add(q.client, q.delivery.ReceivedAt)
	return nil
}

// admit counts a verified request in flight, and gives the account of its body.
// Beyond the bound the delivery is for the spool; where there is none it is nil.
func (h *handler) admit(q *request) account {
	q.admitted = h.load.requests.take(1)
	q.overloaded = !q.admitted
	switch {
	case h.publisher.spool != nil:
		q.room = spoolRoom{bytes: &h.load.bytes, reserve: &h.load.reserve}
		return &q.room
	case q.overloaded:
		return nil
	default:
		return &h.load.bytes
	}
}

// overload refuses a verified delivery for want of room, which readiness shows.
func (h *handler) overload() *refusal {
	h.load.refused.Store(time.Now().UnixNano())
	return refuseUnread(errOverloaded)
}

// unauthenticated refuses a delivery that its vendor has not signed, with 429
// once its address has sent too many.
func (h *handler) unauthenticated(q *request, err error) *refusal {
	no := refusePermanent(err)
	if wait := h.load.admission.failures.add(q.client, h.name, q.delivery.ReceivedAt); wait > 0 {
		h.line.limited[causeFailures].Inc()
		no = &refusal{reason: limited, err: err, wait: wait}
	}
	return no
}

// overloadFor is how long readiness shows that verified deliveries were refused.
const overloadFor = 10 * time.Second

// ready is an error while verified deliveries are refused for want of room.
func (l *load) ready(context.Context) error {
	if time.Since(time.Unix(0, l.refused.Load())) < overloadFor {
		return fault.Advise(errors.New("overloaded: verified deliveries are refused, because too many wait for the brokers"),
			"see whether the brokers are slow, add receivers, or raise THROUGHLINE_MAX_IN_FLIGHT and THROUGHLINE_MAX_IN_FLIGHT_BYTES")
	}
	return nil
}
