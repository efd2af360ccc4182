package puller

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// modeReconcile is the label of comparisons.
const modeReconcile source.Mode = "reconcile"

// metrics have the sources, their streams, and reasons as labels: all of them are of the program's own.
type metrics struct {
	pages, events, failures *prometheus.CounterVec
	lag, left, missing      *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_puller_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "throughline_puller_" + name, Help: help}, labels)
	}
	m := &metrics{
		pages:    counter("pages_total", "Pages of vendors' APIs that were dealt with, by mode: poll, backfill or reconcile.", "source", "stream", "mode"),
		events:   counter("events_total", "Events on these pages; polls and backfills have published them.", "source", "stream", "mode"),
		failures: counter("failures_total", "Polls, backfills and comparisons that failed, by reason.", "source", "stream", "mode", "reason"),
		lag:      gauge("lag_seconds", "How long ago the time was up to which a polled stream is published.", "source", "stream"),
		left:     gauge("budget_remaining", "Requests that the vendor's headers last said are left.", "source"),
		missing:  gauge("missing", "Events that the newest comparison misses still.", "source", "stream"),
	}
	reg.MustRegister(m.pages, m.events, m.failures, m.lag, m.left, m.missing)
	return m
}

// counter gives what counts a run's progress, which is told as sums.
func (m *metrics) counter(sourceName, stream string, mode source.Mode) func(pages, events int64) {
	var lastPages, lastEvents int64
	return func(pages, events int64) {
		m.pages.WithLabelValues(sourceName, stream, string(mode)).Add(float64(pages - lastPages))
		m.events.WithLabelValues(sourceName, stream, string(mode)).Add(float64(events - lastEvents))
		lastPages, lastEvents = pages, events
	}
}

func (m *metrics) failed(sourceName, stream string, mode source.Mode, err error) {
	m.failures.WithLabelValues(sourceName, stream, string(mode), string(fault.ReasonOf(err))).Inc()
}
