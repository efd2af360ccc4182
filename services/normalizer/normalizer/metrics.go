package normalizer

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

type metrics struct {
	events     *prometheus.CounterVec
	letters    *prometheus.CounterVec
	tombstones prometheus.Counter
	pages      *prometheus.CounterVec
	emptyPages *prometheus.CounterVec
	erased     *prometheus.CounterVec
}

// newMetrics makes the metrics with every label value, so that a rate exists
// before the first event.
func newMetrics(reg prometheus.Registerer, sources []source.Source) *metrics {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_normalizer_events_total", Help: "Events resolved to an account, by the rule that found it.",
		}, []string{"source", "rule"}),
		letters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_normalizer_dead_letters_total", Help: "Records that went to the dead letter topic, by reason.",
		}, []string{"source", "reason"}),
		tombstones: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "throughline_normalizer_tombstones_total", Help: "Raw records without a value, which say nothing and are passed over.",
		}),
		pages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_normalizer_pages_total", Help: "Raw records that are pages of events.",
		}, []string{"source"}),
		emptyPages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_normalizer_empty_pages_total", Help: "Pages without any event, which give nothing.",
		}, []string{"source"}),
	}
	m.erased = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "throughline_normalizer_erased_events_total", Help: "Events that nobody keeps, because what they refer to was erased on request.",
	}, []string{"source"})
	for _, s := range sources {
		m.erased.WithLabelValues(s.Name())
		m.pages.WithLabelValues(s.Name())
		m.emptyPages.WithLabelValues(s.Name())
		for _, rule := range resolve.RuleNames() {
			m.events.WithLabelValues(s.Name(), rule)
		}
		for _, reason := range []fault.Reason{fault.Unresolved, fault.Malformed, fault.Unsupported, fault.Oversized, fault.Unstorable, fault.TestData, fault.Conflict} {
			m.letters.WithLabelValues(s.Name(), string(reason))
		}
	}
	reg.MustRegister(m.events, m.letters, m.tombstones, m.pages, m.emptyPages, m.erased)
	return m
}

// count counts a batch before its transaction commits: one that comes again
// counts again. It adds up first, because finding a counter by its labels for
// each event costs more than the rest of counting.
func (m *metrics) count(items []item, shares []described) {
	type key struct{ source, label string }
	events, letters := map[key]float64{}, map[key]float64{}
	var last key // mostly the next one's too
	run := 0.0
	for i := range items {
		it := &items[i]
		if it.erased {
			m.erased.WithLabelValues(it.raw.Source).Inc()
			continue
		}
		if it.err != nil {
			letters[key{it.raw.Source, string(fault.DeadLetterReason(it.err))}]++
			continue
		}
		if k := (key{it.raw.Source, it.rule}); k != last {
			events[last] += run
			last, run = k, 0
		}
		run++
	}
	events[last] += run
	delete(events, key{})
	for k, n := range events {
		m.events.WithLabelValues(k.source, k.label).Add(n)
	}
	for k, n := range letters {
		m.letters.WithLabelValues(k.source, k.label).Add(n)
	}
	for _, d := range shares {
		m.tombstones.Add(float64(d.tombstones))
		for name, p := range d.pages {
			m.pages.WithLabelValues(name).Add(float64(p.all))
			m.emptyPages.WithLabelValues(name).Add(float64(p.empty))
		}
	}
}
