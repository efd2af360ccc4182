package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// checkTimeout bounds a check that states no bound of its own: less than the
// time a prober waits.
const checkTimeout = 2 * time.Second

// Health knows whether a process can do its work. Its parts report by name,
// either by Set, when they know, or by a check that is asked. Safe for
// concurrent use.
type Health struct {
	started time.Time

	mu     sync.Mutex
	states map[string]ComponentHealth
	checks map[string]*healthCheck
}

// ComponentHealth is one part of a report.
type ComponentHealth struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	Error string `json:"error,omitempty"`
	// Advice is what a person can do; without one the trouble passes by itself.
	Advice string `json:"advice,omitempty"`
	// Note is what a part that is ready has to say all the same.
	Note  string    `json:"note,omitempty"`
	Since time.Time `json:"since,omitzero"` // when it came into this state; not of a check
}

// HealthReport is what /readyz?verbose shows. Ready means that there is at
// least one component and that all are ready.
type HealthReport struct {
	Ready      bool              `json:"ready"`
	Components []ComponentHealth `json:"components"`
}

// NewHealth makes one without components, which is not ready: a process that
// has not said what it consists of has not started.
func NewHealth() *Health {
	return &Health{started: time.Now(), states: map[string]ComponentHealth{}, checks: map[string]*healthCheck{}}
}

// Set reports a component's state: nil is ready. The error's text is shown on
// the admin port, so it must hold no secret; so is what it says that a person can
// do (fault.Advice).
func (h *Health) Set(name string, err error) {
	state := ComponentHealth{Name: name, Ready: err == nil, Since: time.Now()}
	if err != nil {
		state.Error, state.Advice = err.Error(), fault.Advice(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.states[name]; ok && old.Ready == state.Ready {
		state.Since = old.Since
	}
	h.states[name] = state
}

// Check registers a check that every report asks, at most timeout long (0: two
// seconds). A check that does not end is not asked again before it has. A check
// and a state of one name both count.
func (h *Health) Check(name string, timeout time.Duration, check func(context.Context) error) {
	h.CheckNoted(name, timeout, func(ctx context.Context) (string, error) { return "", check(ctx) })
}

// CheckNoted is Check for a part that may have something to say although it is ready: its note.
func (h *Health) CheckNoted(name string, timeout time.Duration, check func(context.Context) (note string, err error)) {
	if timeout <= 0 {
		timeout = checkTimeout
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name] = &healthCheck{name: name, timeout: timeout, check: check, idle: make(chan struct{}, 1)}
}

// Remove forgets a component that is gone for good.
func (h *Health) Remove(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.states, name)
	delete(h.checks, name)
}

// Report asks all checks at once and gives the components in the order of
// their names.
func (h *Health) Report(ctx context.Context) HealthReport {
	h.mu.Lock()
	parts := maps.Clone(h.states)
	answers := make(chan ComponentHealth, len(h.checks))
	waiting := len(h.checks)
	for _, check := range h.checks {
		go func() { answers <- check.ask(ctx) }()
	}
	h.mu.Unlock()
	for range waiting { // each ask is bounded
		// Of a part that has a state and a check, what is wrong is told.
		answer := <-answers
		if state, both := parts[answer.Name]; !both || state.Ready && !answer.Ready {
			parts[answer.Name] = answer
		}
	}
	report := HealthReport{Components: slices.AppendSeq([]ComponentHealth{}, maps.Values(parts))} // never null
	slices.SortFunc(report.Components, func(a, b ComponentHealth) int { return strings.Compare(a.Name, b.Name) })
	report.Ready = len(report.Components) > 0
	for _, c := range report.Components {
		report.Ready = report.Ready && c.Ready
	}
	return report
}

// Livez answers 200 while the process can answer at all. A supervisor restarts
// what does not; a broker that is away is no reason to. ?verbose gives JSON.
func (h *Health) Livez(w http.ResponseWriter, r *http.Request) {
	if !r.URL.Query().Has("verbose") {
		writeText(w, http.StatusOK, "ok")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"alive": true, "version": settings.Version(), "started": h.started, "uptime_seconds": int64(time.Since(h.started).Seconds()),
	})
}

// Readyz answers 200 when all components are ready, else 503 with the names of
// those that are not. ?verbose gives the whole HealthReport as JSON.
func (h *Health) Readyz(w http.ResponseWriter, r *http.Request) {
	report := h.Report(r.Context())
	status := http.StatusOK
	if !report.Ready {
		status = http.StatusServiceUnavailable
	}
	if r.URL.Query().Has("verbose") {
		writeJSON(w, status, report)
		return
	}
	writeText(w, status, report.summary())
}

func (r HealthReport) summary() string {
	if r.Ready {
		return "ok"
	}
	var names []string
	for _, c := range r.Components {
		switch {
		case c.Ready:
		case c.Advice != "":
			names = append(names, c.Name+" (needs a person: "+c.Advice+")")
		default:
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return "not ready: nothing has started yet"
	}
	return "not ready: " + strings.Join(names, ", ")
}

type healthCheck struct {
	name    string
	timeout time.Duration
	check   func(context.Context) (note string, err error)
	idle    chan struct{} // holds an element while the check runs
}

// ask runs the check in a goroutine of its own, because a check may ignore its
// context. The goroutine ends with the check; there is at most one.
func (c *healthCheck) ask(ctx context.Context) ComponentHealth {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	select {
	case c.idle <- struct{}{}:
	case <-ctx.Done():
		return c.answer("", errors.New("an earlier check has not ended"))
	}
	result := make(chan ComponentHealth, 1)
	go func() {
		note, err := c.check(ctx)
		<-c.idle
		result <- c.answer(note, err)
	}()
	select {
	case state := <-result:
		return state
	case <-ctx.Done():
		return c.answer("", fmt.Errorf("no answer within %v", c.timeout))
	}
}

func (c *healthCheck) answer(note string, err error) ComponentHealth {
	state := ComponentHealth{Name: c.name, Ready: err == nil}
	if err != nil {
		state.Error, state.Advice = err.Error(), fault.Advice(err)
		return state
	}
	state.Note = note
	return state
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // a prober that went away needs no answer
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // as above
}
