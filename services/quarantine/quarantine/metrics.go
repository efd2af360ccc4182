package quarantine

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/retry"
)

// countEvery is how often the gauges are counted anew.
const countEvery = 15 * time.Second

type metrics struct {
	letters     *prometheus.CounterVec
	repeated    prometheus.Counter
	released    *prometheus.CounterVec
	republished prometheus.Counter
	refused     prometheus.Counter
	open        *prometheus.GaugeVec
	oldest      prometheus.Gauge
	replaying   prometheus.Gauge
	stuck       prometheus.Gauge
	held        prometheus.Gauge
}

// Who released a record, as a label: people's names would make a series each.
const (
	byLink   = "link"
	byPerson = "person"
)

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_quarantine_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "throughline_quarantine_" + name, Help: help})
	}
	m := &metrics{
		letters: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_quarantine_dead_letters_total",
			Help: "Dead letters taken in, by reason; a batch that comes again counts again."}, []string{"reason"}),
		repeated: counter("repeated_dead_letters_total", "Dead letters that were known already and changed nothing."),
		released: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_quarantine_released_total",
			Help: "Records published to their raw topic again, by who released them: link or person."}, []string{"by"}),
		republished: counter("republished_total", "Published records that did not arrive in time and were put into the outbox again."),
		refused:     counter("refused_total", "Released records that the brokers rejected."),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "throughline_quarantine_open",
			Help: "Open records, by reason."}, []string{"reason"}),
		oldest:    gauge("oldest_open_age_seconds", "Age of the open record that was first seen earliest; 0 when none is open."),
		replaying: gauge("replaying", "Released records that are not on the timeline yet."),
		stuck:     gauge("stuck", "Released records that were published too long ago (--stuck-after)."),
		held:      gauge("held", "Open records that are held off, because a link released them without use: the services' rules differ."),
	}
	for _, reason := range fault.DeadLetterReasons() {
		m.letters.WithLabelValues(string(reason))
		m.open.WithLabelValues(string(reason))
	}
	m.released.WithLabelValues(byLink)
	m.released.WithLabelValues(byPerson)
	reg.MustRegister(m.letters, m.repeated, m.released, m.republished, m.refused, m.open, m.oldest, m.replaying, m.stuck, m.held)
	return m
}

// label bounds the values of a label to those that exist: a letter may hold anything.
func label(reason string) string {
	for _, known := range fault.DeadLetterReasons() {
		if reason == string(known) {
			return reason
		}
	}
	return "other"
}

func (m *metrics) fed(letters []quarantine.Letter, put quarantine.PutResult) {
	for i := range letters {
		m.letters.WithLabelValues(label(letters[i].Reason)).Inc()
	}
	m.repeated.Add(float64(put.Repeated))
}

func (m *metrics) publishedPage(r quarantine.PublishResult) {
	for i := range r.Published {
		by := byPerson
		if r.Published[i].IsLink() {
			by = byLink
		}
		m.released.WithLabelValues(by).Inc()
	}
	m.refused.Add(float64(r.Refused))
}

func (m *metrics) count(s quarantine.Stats, now time.Time) {
	counts := map[string]int{}
	for _, reason := range fault.DeadLetterReasons() {
		counts[string(reason)] = 0
	}
	for reason, n := range s.Open {
		counts[label(reason)] += n
	}
	for reason, n := range counts {
		m.open.WithLabelValues(reason).Set(float64(n))
	}
	age := 0.0
	if !s.Oldest.IsZero() {
		age = now.Sub(s.Oldest).Seconds()
	}
	m.oldest.Set(age)
	m.replaying.Set(float64(s.Replaying))
	m.stuck.Set(float64(s.Stuck))
	m.held.Set(float64(s.Held))
}

// gauge keeps the counts.
func (q *Quarantine) gauge(ctx context.Context) error {
	told := &retry.Told{Log: q.deps.Runtime.Log} // no state: the gauges keep their last values
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for {
		stats, err := q.store.Stats(ctx, q.tuning.StuckAfter, 0)
		switch {
		case err == nil:
			q.metrics.count(stats, time.Now())
			told.Succeeded("counting the quarantine")
		case ctx.Err() == nil:
			told.Failed("counting the quarantine", err, countEvery)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
