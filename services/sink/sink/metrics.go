package sink

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

type metrics struct {
	rows    *prometheus.CounterVec
	letters prometheus.Counter
	age     *prometheus.HistogramVec
	pending prometheus.Gauge
	sources *labels
}

func newMetrics(reg prometheus.Registerer, sources source.Set, keeper func() postgres.KeeperStats) *metrics {
	m := &metrics{
		sources: newLabels(sources),
		rows:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_sink_rows_total", Help: "Rows by result: inserted, or already_present on the timeline."}, []string{"result"}),
		letters: prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_sink_dead_letters_total", Help: "Records that were dead-lettered: rejected by Postgres, or malformed."}),
		age: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "throughline_sink_visible_age_seconds",
			Help: "Age of a webhook event, since its receipt, when its row became visible.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 16)}, []string{"source"}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{Name: "throughline_sink_gin_pending_pages", Help: "Pages of the payload index that wait to be merged; 0 forever where Postgres cannot measure it (pgstattuple)."}),
	}
	holds := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "throughline_sink_gin_keeper", Help: "1 in the process that merges the payload index's pending list."}, func() float64 {
		if keeper().Holds {
			return 1
		}
		return 0
	})
	m.rows.WithLabelValues("inserted")
	m.rows.WithLabelValues("already_present")
	reg.MustRegister(m.rows, m.letters, m.age, m.pending, holds)
	return m
}

// wrote counts rows when their transaction has committed.
func (m *metrics) wrote(result postgres.Result) {
	m.rows.WithLabelValues("inserted").Add(float64(result.Inserted))
	m.rows.WithLabelValues("already_present").Add(float64(result.AlreadyPresent))
}

// became measures the age of what has become visible. Only a webhook's receipt
// is a moment that the reader waits from.
func (m *metrics) became(visible []entry) {
	now := time.Now()
	for i := range visible {
		if e := &visible[i].event; e.Delivery == source.ModeWebhook {
			m.age.WithLabelValues(m.sources.of(e.Source)).Observe(now.Sub(e.IngestedAt).Seconds())
		}
	}
}

// maxOtherSources bounds the sources that have series without being of the catalog:
// those that a receiver's configuration names.
const maxOtherSources = 20

// labels bounds the values of a label, because whoever may write to account-events may
// name any source.
type labels struct {
	mu    sync.Mutex
	known map[string]bool
	left  int
}

func newLabels(sources source.Set) *labels {
	l := &labels{known: map[string]bool{}, left: maxOtherSources}
	for _, name := range sources.Names() {
		l.known[name] = true
	}
	return l
}

func (l *labels) of(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.known[name]:
		return name
	case l.left == 0:
		return "other"
	}
	l.left--
	l.known[name] = true
	return name
}
