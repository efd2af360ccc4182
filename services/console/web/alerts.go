package web

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/alert"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// alerts lists what is alerted on, and silences.
func (s *server) alerts(p *page) (templ.Component, error) {
	p.title, p.nav = "Alerts", "alerts"
	state := p.q("state")
	found, err := s.Backend.Alerts(p.r.Context(), state)
	if err != nil {
		return nil, err
	}
	silences, err := s.Backend.Silences(p.r.Context(), false)
	if err != nil {
		return nil, err
	}
	return alertsView(p, found, silences, state), nil
}

// alertStates are the states to choose from, with what people read.
func alertStates() [][2]string {
	return [][2]string{{"", "firing and pending"}, {"firing", "firing"}, {"pending", "pending"}, {"resolved", "resolved"}, {"all", "all"}}
}

func alertKind(a api.Alert) string {
	switch {
	case a.State == string(alert.Resolved):
		return "off"
	case a.Severity == string(alert.Critical):
		return "bad"
	case a.Severity == string(alert.Warning):
		return "warn"
	}
	return "accent"
}

// silenced says what a silence is of.
func silenced(q api.Silence) string {
	switch {
	case q.Source == "":
		return words(q.Rule)
	case q.Rule == "":
		return "all of " + q.Source
	}
	return words(q.Rule) + " of " + q.Source
}

// silencePeriods are minutes to choose from.
func silencePeriods() []int {
	return []int{30, 120, 8 * 60, 24 * 60, 3 * 24 * 60, 7 * 24 * 60, 30 * 24 * 60}
}

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }

func (s *server) askSilence(p *page) (templ.Component, error) {
	if err := p.asks("Silence", "alerts"); err != nil {
		return nil, err
	}
	return decideView(p, decision{title: "Silence alerts", path: "/decide/silence", fields: silenceFields(p.q("rule"), p.q("source")), verb: "Silence", back: p.link("/alerts"),
		effect: []string{"Nobody is told of them meanwhile. What still fires when the silence ends is told then; that something is over is told in any case."}}), nil
}

func (s *server) doSilence(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(f.Get("minutes"))
	if err != nil || n < 1 || n > int(alert.MaxSilence/time.Minute) {
		return nil, problem.Field("minutes", errors.New("say for how many minutes"))
	}
	if _, err := s.Backend.SilenceAlerts(p.r.Context(), backend.NewSilence{Rule: f.Get("rule"), Source: f.Get("source"), For: minutes(n), Comment: strings.TrimSpace(f.Get("comment"))}); err != nil {
		return nil, err
	}
	return nil, redirect{p.link("/alerts")}
}

func (s *server) askUnsilence(p *page) (templ.Component, error) {
	if err := p.asks("End a silence", "alerts"); err != nil {
		return nil, err
	}
	id, err := readNumber(p.q("id"))
	if err != nil {
		return nil, err
	}
	return decideView(p, decision{title: "End silence " + itoa(id) + "?", path: "/decide/unsilence", hidden: [][2]string{{"id", itoa(id)}}, verb: "End it", back: p.link("/alerts"),
		effect: []string{"What it kept quiet and still fires is told with the next evaluation."}}), nil
}

func (s *server) doUnsilence(p *page) (templ.Component, error) {
	return s.byNumber(p, "/alerts", func(id int64, _ string) error { return s.Backend.UnsilenceAlerts(p.r.Context(), id) })
}
