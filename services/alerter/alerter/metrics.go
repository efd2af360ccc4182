package alerter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/alert"
)

type metrics struct {
	evaluated prometheus.Gauge
	firing    *prometheus.GaugeVec
	failing   *prometheus.GaugeVec
	messages  *prometheus.CounterVec
	rules     []alert.Rule
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		evaluated: prometheus.NewGauge(prometheus.GaugeOpts{Name: "throughline_alerts_evaluated_timestamp_seconds", Help: "When alerts were evaluated last, by any replica."}),
		firing:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "throughline_alerts_firing", Help: "Alerts that fire, by rule."}, []string{"rule"}),
		failing:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "throughline_alerts_receiver_failing_seconds", Help: "How long a receiver could not be told; 0: it can."}, []string{"receiver"}),
		messages:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_alerts_messages_total", Help: "Messages to receivers, by what came of them: delivered or failed."}, []string{"receiver", "result"}),
		rules:     alert.Default().Rules,
	}
	reg.MustRegister(m.evaluated, m.firing, m.failing, m.messages)
	return m
}

func (m *metrics) observe(e alert.Evaluation) {
	if !e.At.IsZero() {
		m.evaluated.Set(float64(e.At.UnixMilli()) / 1000)
	}
	count := map[string]float64{}
	for _, s := range e.States {
		if s.State == alert.Firing {
			count[s.Rule]++
		}
	}
	for _, rule := range m.rules {
		m.firing.WithLabelValues(rule.Name).Set(count[rule.Name])
	}
	for _, r := range e.Receivers {
		seconds := 0.0
		if !r.FailingSince.IsZero() {
			seconds = max(0, time.Since(r.FailingSince).Seconds())
		}
		m.failing.WithLabelValues(r.Name).Set(seconds)
	}
	for receiver := range e.Told {
		m.messages.WithLabelValues(receiver, "delivered").Inc()
	}
	for receiver := range e.Failed {
		m.messages.WithLabelValues(receiver, "failed").Inc()
	}
}
