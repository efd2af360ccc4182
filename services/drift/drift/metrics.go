package drift

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/shape"
)

type metrics struct {
	events, unread                      *prometheus.CounterVec
	again, cut, opened, closed, dropped prometheus.Counter
	types, paths                        prometheus.Gauge
	findings                            *prometheus.GaugeVec
}

// newMetrics makes the metrics with every label value, so that a rate exists before
// the first event. Paths and event types are vendors' and strangers' texts, and no labels.
func newMetrics(reg prometheus.Registerer, sources []string) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_drift_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "throughline_drift_" + name, Help: help})
	}
	m := &metrics{
		events:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_drift_events_total", Help: "Events that were added to the shapes."}, []string{"source"}),
		unread:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_drift_unread_total", Help: "Events that no shape was learned from: the source cannot read them, or they are test data."}, []string{"source"}),
		again:    counter("again_total", "Records that had been counted before."),
		cut:      counter("cut_total", "Values that lie beyond the bounds of paths, depth and names, and were not looked at."),
		opened:   counter("findings_opened_total", "Findings that were opened."),
		closed:   counter("findings_closed_total", "Findings that were over by themselves."),
		dropped:  counter("findings_dropped_total", "New paths that are not listed, because their event type has too many open findings."),
		types:    gauge("types", "Event types in memory."),
		paths:    gauge("paths", "Paths in memory."),
		findings: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "throughline_drift_open_findings", Help: "Findings that nobody has acknowledged, by change."}, []string{"change"}),
	}
	for _, name := range sources {
		m.events.WithLabelValues(name)
		m.unread.WithLabelValues(name)
	}
	for _, change := range shape.Changes() {
		m.findings.WithLabelValues(string(change))
	}
	reg.MustRegister(m.events, m.unread, m.again, m.cut, m.opened, m.closed, m.dropped, m.types, m.paths, m.findings)
	return m
}

// counts are of one batch, beside what each source counts.
type counts struct{ again, cut int64 }

// settled counts a batch that is in Postgres.
func (m *metrics) settled(c counts, s postgres.Settled, sources map[string]*learned, paths int) {
	types := 0
	for name, l := range sources {
		types += len(l.types)
		if n := len(l.events); n > 0 {
			m.events.WithLabelValues(name).Add(float64(n))
		}
		if l.unread > 0 {
			m.unread.WithLabelValues(name).Add(float64(l.unread))
		}
	}
	m.again.Add(float64(c.again))
	m.cut.Add(float64(c.cut))
	m.types.Set(float64(types))
	m.paths.Set(float64(paths))
	m.found(s)
}

func (m *metrics) found(s postgres.Settled) {
	m.opened.Add(float64(s.Opened))
	m.closed.Add(float64(s.Closed))
	m.dropped.Add(float64(s.Dropped))
}

func (m *metrics) open(by map[shape.Change]int) {
	for _, change := range shape.Changes() {
		m.findings.WithLabelValues(string(change)).Set(float64(by[change]))
	}
}
