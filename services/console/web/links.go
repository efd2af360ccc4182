package web

import (
	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/backend"
)

// ledger is what the page of links shows; one of the lists.
type ledger struct {
	view        string // links, decisions, suggestions, domains
	links       backend.Page[api.Link]
	decisions   backend.Page[api.Decision]
	suggestions backend.Page[api.Suggestion]
	domains     []api.SuspectDomain
}

// links shows links, the ledger of decisions, or suggestions.
func (s *server) links(p *page) (templ.Component, error) {
	p.title, p.nav = "Links", "links"
	l := ledger{view: one(p.q("view"), "links", "decisions", "suggestions", "domains")}
	var err error
	ctx := p.r.Context()
	switch l.view {
	case "decisions":
		l.decisions, err = s.Backend.Decisions(ctx, p.q("reference"), p.q("account"), p.paging(50))
	case "suggestions":
		l.suggestions, err = s.Backend.Suggestions(ctx, p.q("status"), p.q("source"), p.paging(50))
	case "domains":
		l.domains, err = s.Backend.Domains(ctx, 500)
	default:
		l.links, err = s.Backend.Links(ctx, p.q("source"), p.q("account"), p.paging(50))
	}
	if err != nil {
		return nil, err
	}
	return linksView(p, l), nil
}

// accountLinks is what leads to one account, and what was decided about it.
func (s *server) accountLinks(p *page) (templ.Component, error) {
	p.nav = "accounts"
	id, err := readAccount("account", p.r.PathValue("account"))
	if err != nil {
		return nil, err
	}
	ctx := p.r.Context()
	a, err := s.Backend.Account(ctx, id)
	if err != nil {
		return nil, err
	}
	p.title = a.Name
	links, err := s.Backend.AccountLinks(ctx, id, p.paging(100))
	if err != nil {
		return nil, err
	}
	decisions, err := s.Backend.Decisions(ctx, "", id.String(), backend.Paging{Limit: 30})
	if err != nil {
		return nil, err
	}
	return accountLinksView(p, a, links, decisions.Items), nil
}
