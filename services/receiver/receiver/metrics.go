package receiver

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// refusal is why a request was not accepted, the label `reason` of
// throughline_receiver_rejected_total. It is finer than a fault.Reason where an
// operator does different things.
type refusal string

const (
	unauthenticated refusal = "unauthenticated" // the signature
	malformed       refusal = "malformed"       // the JSON or its shape
	unsupported     refusal = "unsupported"     // method, content type or encoding
	oversized       refusal = "oversized"       // bytes or events
	unavailable     refusal = "unavailable"     // the brokers, and the spool where there is one
	overloaded      refusal = "overloaded"      // our bounds of what may be in flight
	incomplete      refusal = "incomplete"      // the client was too slow or went away
	internal        refusal = "internal"        // a bug of ours
)

func refusals() []refusal {
	return []refusal{unauthenticated, malformed, unsupported, oversized, unavailable, overloaded, incomplete, internal}
}

// metrics are the receiver's. Every label value is there from the start, so
// that a rate exists before its first event.
type metrics struct {
	deliveries *prometheus.CounterVec
	events     *prometheus.CounterVec
	rejected   *prometheus.CounterVec
	spooled    *prometheus.CounterVec
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
		keys:       counter("key_matched_total", "Verified deliveries by the position of the secret that matched; 0 is the newest.", "source", "key"),
		acked: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "throughline_receiver_acked_seconds",
			Help:    "Time from a POST's arrival to its acknowledgement by the brokers (or the spool's fsync).",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"source"}),
	}
	registry.MustRegister(m.deliveries, m.events, m.rejected, m.spooled, m.keys, m.acked)
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

// doorMetrics are one source's, looked up once.
type doorMetrics struct {
	deliveries prometheus.Counter
	events     prometheus.Counter
	spooled    prometheus.Counter
	acked      prometheus.Observer
	rejected   map[refusal]prometheus.Counter
	keys       []prometheus.Counter // by position
}

func (m *metrics) door(name string, keys int) doorMetrics {
	d := doorMetrics{
		deliveries: m.deliveries.WithLabelValues(name),
		events:     m.events.WithLabelValues(name),
		spooled:    m.spooled.WithLabelValues(name),
		acked:      m.acked.WithLabelValues(name),
		rejected:   map[refusal]prometheus.Counter{},
	}
	for _, r := range refusals() {
		d.rejected[r] = m.rejected.WithLabelValues(name, string(r))
	}
	for i := range keys {
		d.keys = append(d.keys, m.keys.WithLabelValues(name, strconv.Itoa(i)))
	}
	return d
}
