package web

import (
	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/api"
)

// drift lists findings.
func (s *server) drift(p *page) (templ.Component, error) {
	p.title, p.nav = "Drift", "drift"
	status := p.q("status")
	if status == "" {
		status = "open"
	}
	found, err := s.Backend.Drift(p.r.Context(), p.q("source"), status, p.paging(50))
	if err != nil {
		return nil, err
	}
	return driftView(p, found, status), nil
}

func driftKind(d api.Finding) string {
	if d.State == "open" && len(d.Readers) > 0 {
		return "bad"
	}
	if d.Change == "new" {
		return "accent"
	}
	return "warn"
}
