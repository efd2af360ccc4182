package web

import (
	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/api"
)

// askSuggestion shows the evidence; who may not decide reads it too.
func (s *server) askSuggestion(p *page) (templ.Component, error) {
	p.title, p.nav = "Suggestion", "links"
	id, err := readNumber(p.q("id"))
	if err != nil {
		return nil, err
	}
	e, err := s.Backend.Suggestion(p.r.Context(), id)
	if err != nil {
		return nil, err
	}
	var effect []string
	if p.mayDecide() && e.Status == "open" {
		dry, err := s.Backend.Link(p.r.Context(), api.Linking{Reference: e.Reference, AccountID: e.AccountID, DryRun: true})
		if err != nil {
			return nil, err
		}
		effect = effects(dry)
	}
	return suggestionView(p, e, effect), nil
}

func (s *server) doSuggestion(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	id, err := readNumber(f.Get("id"))
	if err != nil {
		return nil, err
	}
	if f.Get("decide") == "reject" {
		if _, err := s.Backend.RejectSuggestion(p.r.Context(), id, f.Get("reason")); err != nil {
			return nil, err
		}
		return nil, redirect{p.link("/quarantine")}
	}
	e, err := s.Backend.AcceptSuggestion(p.r.Context(), id, f.Get("reason"))
	if err != nil {
		return nil, err
	}
	return nil, redirect{p.link("/references", "ref", e.Reference, "waited", number0(f.Get("waited")))}
}
