package sink

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

type metrics struct {
	rows      *prometheus.CounterVec
	letters   prometheus.Counter
	conflicts *prometheus.CounterVec
	age       *prometheus.HistogramVec
	pending   prometheus.Gauge
	erased    prometheus.Counter
	sources   source.Set
}

func newMetrics(reg prometheus.Registerer, sources source.Set, keeper func() postgres.KeeperStats) *metrics {
	m := &metrics{
		sources: sources,
		rows:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_sink_rows_total", Help: "Rows by result: inserted, or already_present on the timeline."}, []string{"result"}),
		letters: prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_sink_dead_letters_total", Help: "Records that were dead-lettered: rejected by Postgres, malformed, or in conflict with what is stored."}),
		conflicts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_sink_conflicts_total",
			Help: "Events whose identity is on the timeline already, with other content: dead-lettered with the reason conflict."}, []string{"source"}),
		age: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "throughline_sink_visible_age_seconds",
			Help: "Age of a webhook event, since its receipt, when its row became visible.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 16)}, []string{"source"}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{Name: "throughline_sink_gin_pending_pages", Help: "Pages of the payload index that wait to be merged; 0 forever where Postgres cannot measure it (pgstattuple)."}),
	}
	m.erased = prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_sink_erased_events_total",
		Help: "Events that were not stored, because what they refer to was erased while they were on their way."})
	holds := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "throughline_sink_gin_keeper", Help: "1 in the process that merges the payload index's pending list."}, func() float64 {
		if keeper().Holds {
			return 1
		}
		return 0
	})
	m.rows.WithLabelValues("inserted")
	m.rows.WithLabelValues("already_present")
	for _, name := range sources.Names() {
		m.conflicts.WithLabelValues(name)
	}
	reg.MustRegister(m.rows, m.letters, m.conflicts, m.age, m.pending, m.erased, holds)
	return m
}

// wrote counts rows when their transaction has committed.
func (m *metrics) wrote(result postgres.Result, conflicts int) {
	m.rows.WithLabelValues("inserted").Add(float64(result.Inserted))
	m.rows.WithLabelValues("already_present").Add(float64(result.AlreadyPresent - conflicts))
}

// lettersOf counts dead letters when they are acknowledged.
func (m *metrics) lettersOf(dead []failed) {
	m.letters.Add(float64(len(dead)))
	for i := range dead {
		if fault.ReasonOf(dead[i].err) == fault.Conflict {
			m.conflicts.WithLabelValues(m.sourceLabel(dead[i].event.Source)).Inc()
		}
	}
}

// sourceLabel bounds the label, which a record names.
func (m *metrics) sourceLabel(name string) string {
	if _, ok := m.sources.Find(name); ok {
		return name
	}
	return "other"
}

// became measures the age of what has become visible. Only a webhook's receipt
// is a moment that the reader waits from.
func (m *metrics) became(visible []entry) {
	now := time.Now()
	for i := range visible {
		if e := &visible[i].event; e.Delivery == source.ModeWebhook {
			m.age.WithLabelValues(m.sourceLabel(e.Source)).Observe(now.Sub(e.IngestedAt).Seconds())
		}
	}
}
