package learner

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/retry"
)

// countEvery is how often the gauges are counted anew.
const countEvery = 30 * time.Second

type metrics struct {
	collected, blocked, looked, suggested, conflicts, merges prometheus.Counter
	calls, answers, lies, links                              *prometheus.CounterVec
	references                                               *prometheus.GaugeVec
	failing                                                  *prometheus.GaugeVec
	suspects                                                 prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_learner_" + name, Help: help})
	}
	by := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_learner_" + name, Help: help}, labels)
	}
	m := &metrics{
		collected: counter("collected_total", "References of waiting events that were new."),
		blocked:   counter("blocked_total", "References that are nobody's id."),
		looked:    counter("looked_up_total", "References that were looked up on the timeline."),
		suggested: counter("suggestions_total", "Links that were suggested to people."),
		conflicts: counter("conflicts_total", "References about which good evidence disagreed, each time it was judged."),
		merges:    counter("merges_total", "Objects that a vendor had merged and that were linked where they went."),
		calls:     by("calls_total", "Requests to the vendor's API, by source.", "source"),
		answers:   by("answers_total", "References that the vendor told about, by source.", "source"),
		lies:      by("odd_answers_total", "Parts of answers that no such API gives, by source.", "source"),
		links:     by("links_total", "Links that were made, by rule (docs/identity.md).", "rule"),
		references: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "throughline_learner_references",
			Help: "References, by source and state."}, []string{"source", "state"}),
		failing: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "throughline_learner_failing_seconds",
			Help: "How long the vendor could not be asked; 0: it can."}, []string{"source"}),
		suspects: prometheus.NewGauge(prometheus.GaugeOpts{Name: "throughline_learner_suspect_domains",
			Help: "Domains that behave like free mail and that nobody has decided about."}),
	}
	reg.MustRegister(m.collected, m.blocked, m.looked, m.suggested, m.conflicts, m.merges, m.calls, m.answers, m.lies, m.links, m.references, m.failing, m.suspects)
	return m
}

// observe is learn.Options.Observe.
func (m *metrics) observe(d learn.Done) {
	m.collected.Add(float64(d.Collected))
	m.blocked.Add(float64(d.Blocked))
	m.looked.Add(float64(d.Looked))
	m.suggested.Add(float64(d.Suggested))
	m.conflicts.Add(float64(d.Conflicts))
	m.merges.Add(float64(d.Merges))
	if d.Source != "" {
		m.calls.WithLabelValues(d.Source).Add(float64(d.Calls))
		m.answers.WithLabelValues(d.Source).Add(float64(d.Answers))
		m.lies.WithLabelValues(d.Source).Add(float64(d.Lies))
	}
	for rule, n := range d.ByRule {
		m.links.WithLabelValues(strconv.Itoa(int(rule))).Add(float64(n))
	}
}

// gauge counts now and then what there is.
func (m *metrics) gauge(ctx context.Context, pool *pgxpool.Pool, told *retry.Told) error {
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for {
		const doing = "counting what is learned"
		list, err := learn.Status(ctx, pool)
		var suspects int64
		if err == nil {
			suspects, err = learn.NewSuspects(pool).Open(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			told.Failed(doing, err, countEvery)
		default:
			told.Succeeded(doing)
			m.count(list, time.Now())
			m.suspects.Set(float64(suspects))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (m *metrics) count(list []learn.Progress, now time.Time) {
	m.references.Reset()
	for _, p := range list {
		for _, state := range learn.States() {
			m.references.WithLabelValues(p.Source, string(state)).Set(float64(p.References[state]))
		}
		failing := 0.0
		if !p.FailingSince.IsZero() {
			failing = now.Sub(p.FailingSince).Seconds()
		}
		m.failing.WithLabelValues(p.Source).Set(failing)
	}
}
