package web

import (
	"strings"

	"github.com/a-h/templ"
)

func (s *server) askDomain(p *page) (templ.Component, error) {
	if err := p.asks("Decide about a domain", "links"); err != nil {
		return nil, err
	}
	domain := p.q("domain")
	d := decision{title: "Whose is this domain?", lead: "It counts for the next event.", path: "/decide/domain", fields: domainFields(p, domain), reason: true, verb: "Decide", back: p.link("/links", "view", "domains")}
	if domain != "" {
		d.lead, d.hidden = domain, [][2]string{{"domain", domain}}
	}
	return decideView(p, d), nil
}

func (s *server) doDomain(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	if _, err := s.Backend.DecideDomain(p.r.Context(), strings.TrimSpace(f.Get("domain")), f.Get("decision"), f.Get("reason")); err != nil {
		return nil, err
	}
	return nil, redirect{p.link("/links", "view", "domains")}
}
