package web

import (
	"errors"
	"net/url"

	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// selection reads which records are meant from a query or a form.
func selection(v url.Values) (backend.Selection, error) {
	s := backend.Selection{Reason: v.Get("reason"), Source: v.Get("source"), Reference: v.Get("reference"), Note: v.Get("note")}
	for _, text := range v["id"] {
		id, err := readNumber(text)
		if err != nil {
			return s, err
		}
		s.IDs = append(s.IDs, id)
	}
	if len(s.IDs) > 0 {
		s.Reason, s.Source, s.Reference = "", "", ""
	}
	if len(s.IDs) == 0 && s.Reason == "" && s.Reference == "" {
		return s, problem.Field("id", errors.New("no record is selected: select some in the list, with x or the mouse"))
	}
	return s, nil
}

func (s *server) change(p *page, sel backend.Selection) (api.QuarantineChange, error) {
	switch p.r.PathValue("action") {
	case "release":
		return s.Backend.Release(p.r.Context(), sel)
	case "discard":
		return s.Backend.Discard(p.r.Context(), sel)
	}
	_, err := nowhere(p)
	return api.QuarantineChange{}, err
}

func (s *server) askQuarantine(p *page) (templ.Component, error) {
	if err := p.asks(said(p.r.PathValue("action")), "quarantine"); err != nil {
		return nil, err
	}
	sel, err := selection(p.r.URL.Query())
	if err != nil {
		return nil, err
	}
	sel.DryRun = true
	c, err := s.change(p, sel)
	if err != nil {
		return nil, err
	}
	action := p.r.PathValue("action")
	d := decision{path: "/decide/" + action + "/quarantine", reason: true, hidden: [][2]string{{"reason_of", sel.Reason}, {"source", sel.Source}, {"reference", sel.Reference}}, nothing: c.Changed == 0, back: p.link("/quarantine")}
	for _, id := range sel.IDs {
		d.hidden = append(d.hidden, [2]string{"id", itoa(id)})
	}
	switch action {
	case "release":
		d.title, d.verb = "Release "+plural(c.Changed, "record", "records")+"?", "Release"
		d.effect = []string{"Each is published to its raw topic again and goes through the pipeline; what still cannot go on comes back here."}
	default:
		d.title, d.verb, d.danger = "Discard "+plural(c.Changed, "record", "records")+"?", "Discard", true
		d.effect = []string{"They are marked as discarded and never come onto a timeline by themselves. They stay readable, and can be released later."}
	}
	if c.Skipped > 0 {
		d.effect = append(d.effect, plural(c.Skipped, "record is", "records are")+" left alone: somebody decided already, or it is under way.")
	}
	if c.Impossible > 0 {
		d.effect = append(d.effect, plural(c.Impossible, "record has", "records have")+" no bytes to publish.")
	}
	return decideView(p, d), nil
}

func (s *server) doQuarantine(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	note := f.Get("reason")
	f.Set("reason", f.Get("reason_of"))
	sel, err := selection(f)
	if err != nil {
		return nil, err
	}
	sel.Note = note
	if _, err := s.change(p, sel); err != nil {
		return nil, err
	}
	status := "discarded"
	if p.r.PathValue("action") == "release" {
		status = "replaying"
	}
	return nil, redirect{p.link("/quarantine/records", "status", status, "reason", sel.Reason, "source", sel.Source, "reference", sel.Reference)}
}
