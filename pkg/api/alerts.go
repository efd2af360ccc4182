package api

import (
	"cmp"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/alert"
)

// Alert is one thing that is alerted on. It holds no values of events.
type Alert struct {
	Rule     string    `json:"rule"`
	Key      string    `json:"key,omitempty"` // which of the rule's
	Source   string    `json:"source,omitempty"`
	Severity string    `json:"severity"` // critical, warning, info
	State    string    `json:"state"`    // pending, firing, resolved
	Since    time.Time `json:"since"`    // in this state
	Began    time.Time `json:"began_at"`
	Seen     time.Time `json:"seen_at"`
	Summary  string    `json:"summary"`
	// SilencedBy is the silence that keeps it from being told; left out where there is none.
	SilencedBy    int64     `json:"silenced_by,omitempty"`
	SilencedUntil time.Time `json:"silenced_until,omitzero"`
}

// NewAlert gives an alert.
func NewAlert(a alert.State, silences []alert.Silence, now time.Time) Alert {
	view := Alert{Rule: a.Rule, Key: a.Key, Source: a.Source, Severity: string(a.Severity), State: string(a.State), Since: a.Since, Began: a.Began, Seen: a.Seen, Summary: a.Summary}
	for _, q := range silences {
		if q.Covers(a.Condition, now) && q.Until.After(view.SilencedUntil) {
			view.SilencedBy, view.SilencedUntil = q.ID, q.Until
		}
	}
	return view
}

// Alerts is what is alerted on, as of the last evaluation.
type Alerts struct {
	Evaluated time.Time       `json:"evaluated_at,omitzero"` // left out: never
	Stale     bool            `json:"stale"`                 // that was long ago: does the alerter run?
	Items     []Alert         `json:"items"`                 // the most severe first
	OK        []RuleOK        `json:"ok"`                    // the rules of which nothing fires or is pending
	Receivers []AlertReceiver `json:"receivers"`             // those that were ever told, or tried
}

// RuleOK is a rule that has found nothing.
type RuleOK struct {
	Rule    string `json:"rule"`
	Meaning string `json:"meaning"`
	Metrics bool   `json:"metrics,omitempty"` // seen on the services' metrics pages, where the alerter is given those
}

// AlertReceiver is how telling one goes.
type AlertReceiver struct {
	Name         string    `json:"name"`
	Delivered    time.Time `json:"delivered_at,omitzero"`  // left out: never
	FailingSince time.Time `json:"failing_since,omitzero"` // left out: it is not
	Error        string    `json:"error,omitempty"`
}

// alertsLate is how long ago an evaluation may be.
const alertsLate = 10 * time.Minute

// NewAlerts gives those of these states, all of them where none is given; the other rules are OK.
func NewAlerts(all []alert.State, silences []alert.Silence, receivers []alert.Receiver, evaluated, now time.Time, states ...alert.Phase) Alerts {
	a := Alerts{Evaluated: evaluated, Stale: now.Sub(evaluated) > alertsLate, Items: []Alert{}, OK: []RuleOK{}, Receivers: []AlertReceiver{}}
	busy := map[string]bool{}
	for _, s := range all {
		busy[s.Rule] = busy[s.Rule] || s.State != alert.Resolved
		if len(states) == 0 || slices.Contains(states, s.State) {
			a.Items = append(a.Items, NewAlert(s, silences, now))
		}
	}
	rank := func(a Alert) int { return slices.Index(alert.Severities(), alert.Severity(a.Severity)) }
	phase := func(a Alert) int {
		return slices.Index([]alert.Phase{alert.Firing, alert.Pending, alert.Resolved}, alert.Phase(a.State))
	}
	slices.SortStableFunc(a.Items, func(x, y Alert) int { return cmp.Or(phase(x)-phase(y), rank(x)-rank(y)) })
	for _, r := range alert.Default().Rules {
		if !busy[r.Name] {
			a.OK = append(a.OK, RuleOK{Rule: r.Name, Meaning: r.Says(), Metrics: r.Metrics})
		}
	}
	for _, r := range receivers {
		a.Receivers = append(a.Receivers, AlertReceiver{Name: r.Name, Delivered: r.Delivered, FailingSince: r.FailingSince, Error: r.Error})
	}
	return a
}

// Silence keeps alerts from being told.
type Silence struct {
	ID      int64     `json:"id"`
	Rule    string    `json:"rule,omitempty"`   // left out: any
	Source  string    `json:"source,omitempty"` // left out: any
	Until   time.Time `json:"until"`
	Comment string    `json:"comment"`
	By      string    `json:"by"`
	Created time.Time `json:"created_at"`
	EndedBy string    `json:"ended_by,omitempty"` // who ended it before its time
}

// NewSilence gives a silence.
func NewSilence(q alert.Silence) Silence { return Silence(q) }

// AlertRule is when one thing is alerted on.
type AlertRule struct {
	Rule       string             `json:"rule"`
	Meaning    string             `json:"meaning"`
	Metrics    bool               `json:"metrics,omitempty"` // seen on the services' metrics pages only
	Enabled    bool               `json:"enabled"`
	Severity   string             `json:"severity"`
	ForSeconds float64            `json:"for_seconds"`
	Receivers  []string           `json:"receivers,omitempty"`
	Above      *int64             `json:"above,omitempty"`
	AboveAge   float64            `json:"above_seconds,omitempty"`
	Factor     float64            `json:"factor,omitempty"`
	Least      float64            `json:"least_seconds,omitempty"`
	Sources    map[string]float64 `json:"sources_seconds,omitempty"`
}

// NewAlertRule gives a rule.
func NewAlertRule(r alert.Rule) AlertRule {
	view := AlertRule{Rule: r.Name, Meaning: r.Says(), Metrics: r.Metrics, Enabled: r.Enabled, Severity: string(r.Severity), ForSeconds: r.For.Seconds(), Receivers: r.Receivers,
		AboveAge: r.Age.Seconds(), Factor: r.Factor, Least: r.Least.Seconds()}
	if r.Counts() {
		view.Above = &r.Count
	}
	for source, bound := range r.Sources {
		if view.Sources == nil {
			view.Sources = map[string]float64{}
		}
		view.Sources[source] = bound.Seconds()
	}
	return view
}

// Waiting is what waits in quarantine for one reason, of one source.
type Waiting struct {
	Reason string    `json:"reason"`
	Source string    `json:"source"`
	Open   int64     `json:"open"` // of 10,000 records of the reason at most
	New    int64     `json:"new_24h"`
	Oldest time.Time `json:"oldest"`
}

// NewWaiting gives it.
func NewWaiting(w alert.Waiting) Waiting { return Waiting(w) }
