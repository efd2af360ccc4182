package normalize

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
	}
	for _, s := range sources {
		for _, rule := range resolve.RuleNames() {
			m.events.WithLabelValues(s.Name(), rule)
		}
		for _, reason := range []fault.Reason{fault.Unresolved, fault.Malformed, fault.Unsupported, fault.Oversized, fault.Unstorable} {
			m.letters.WithLabelValues(s.Name(), string(reason))
		}
	}
	reg.MustRegister(m.events, m.letters, m.tombstones)
	return m
}

// Counted before the transaction commits: a batch that comes again counts again.
func (m *metrics) resolved(source, rule string) { m.events.WithLabelValues(source, rule).Inc() }

func (m *metrics) deadLettered(source string, reason fault.Reason) {
	m.letters.WithLabelValues(source, string(reason)).Inc()
}
