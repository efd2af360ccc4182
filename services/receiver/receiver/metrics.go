package receiver

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// reason is why a request was not accepted, the label `reason` of
// throughline_receiver_rejected_total. It is finer than a fault.Reason where an
// operator does different things.
type reason string

const (
	unauthenticated reason = "unauthenticated" // the signature
	malformed       reason = "malformed"       // the JSON or its shape
	unsupported     reason = "unsupported"     // method, content type or encoding
	oversized       reason = "oversized"       // bytes or events
	unavailable     reason = "unavailable"     // the brokers, and the spool where there is one
	overloaded      reason = "overloaded"      // our bounds of what is verified and in flight
	limited         reason = "limited"         // our bounds of what is not verified
	overRate        reason = "rate"            // the source's own limit of events a second
	incomplete      reason = "incomplete"      // the client was too slow or went away
	internal        reason = "internal"        // a bug of ours
)

func reasons() []reason {
	return []reason{unauthenticated, malformed, unsupported, oversized, unavailable, overloaded, limited, overRate, incomplete, internal}
}

// metrics are the receiver's. Every label value is there from the start, so
// that a rate exists before its first event.
type metrics struct {
	deliveries *prometheus.CounterVec
	events     *prometheus.CounterVec
	rejected   *prometheus.CounterVec
	spooled    *prometheus.CounterVec
	limited    *prometheus.CounterVec
	closed     *prometheus.CounterVec
	keys       *prometheus.CounterVec
	acked      *prometheus.HistogramVec
	registry   prometheus.Registerer
}

func newMetrics(registry prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_receiver_" + name, Help: help}, labels)
	}
	m := &metrics{
		registry:   registry,
		deliveries: counter("deliveries_total", "Deliveries that were accepted, so answered 2xx.", "source"),
		events:     counter("events_received_total", "Events in accepted deliveries.", "source"),
		rejected:   counter("rejected_total", "Requests that were not accepted, by reason.", "source", "reason"),
		spooled:    counter("spooled_total", "Parts of deliveries that were put on disk instead of published.", "source"),
		limited:    counter("limited_total", "Requests that a limit on what is not verified has cut or refused, by limit.", "source", "cause"),
		closed:     counter("connections_closed_total", "Connections closed to keep within a limit, by limit.", "cause"),
		keys:       counter("key_matched_total", "Verified deliveries by the position of the secret that matched; 0 is the newest.", "source", "key"),
		acked: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "throughline_receiver_acked_seconds",
			Help:    "Time from a POST's arrival to its acknowledgement by the brokers (or the spool's fsync).",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"source"}),
	}
	registry.MustRegister(m.deliveries, m.events, m.rejected, m.spooled, m.limited, m.closed, m.keys, m.acked)
	return m
}

// gauge registers a value that is read when it is asked for.
func (m *metrics) gauge(name, help string, labels prometheus.Labels, value func() int64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "throughline_receiver_" + name, Help: help, ConstLabels: labels,
	}, func() float64 { return float64(value()) }))
}

// counter is gauge for what only grows.
func (m *metrics) counter(name, help string, labels prometheus.Labels, value func() int64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "throughline_receiver_" + name, Help: help, ConstLabels: labels,
	}, func() float64 { return float64(value()) }))
}

// limits gives the counters of what limits have cut.
func limits(of *prometheus.CounterVec, labels ...string) map[cause]counter {
	all := map[cause]counter{}
	for _, why := range causes() {
		all[why] = of.WithLabelValues(append(labels, string(why))...)
	}
	return all
}

type counter = prometheus.Counter

// handlerMetrics are one source's, looked up once.
type handlerMetrics struct {
	deliveries prometheus.Counter
	events     prometheus.Counter
	acked      prometheus.Observer
	rejected   map[reason]prometheus.Counter
	keys       func(n int) []counter // of so many secrets, by position
}

func (m *metrics) handler(name string) handlerMetrics {
	h := handlerMetrics{
		deliveries: m.deliveries.WithLabelValues(name),
		events:     m.events.WithLabelValues(name),
		acked:      m.acked.WithLabelValues(name),
		keys: func(n int) (all []counter) {
			for i := range n {
				all = append(all, m.keys.WithLabelValues(name, strconv.Itoa(i)))
			}
			return all
		},
		rejected: map[reason]prometheus.Counter{},
	}
	for _, r := range reasons() {
		h.rejected[r] = m.rejected.WithLabelValues(name, string(r))
	}
	return h
}
