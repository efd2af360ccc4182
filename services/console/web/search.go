package web

import (
	"strings"

	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/services/console/backend"
)

// finding is what a search found.
type finding struct {
	asked    bool
	accounts []api.AccountSummary
	refs     []api.Waits
	events   api.SearchPage
	problem  string
}

// search finds accounts, references and events. What is pasted and means one thing leads there.
func (s *server) search(p *page) (templ.Component, error) {
	p.title, p.nav = "Search", "search"
	q, ctx := p.q("q"), p.r.Context()
	f := finding{asked: q != "" || p.q("contains") != "" || p.q("path") != ""}
	if q != "" && p.q("cursor") == "" {
		var err error
		if f.accounts, f.refs, err = s.lookUp(p, q, 20); err != nil {
			return nil, err
		}
		if len(f.accounts) == 1 && (f.accounts[0].Matched == "reference" || f.accounts[0].Matched == "id") {
			return nil, redirect{p.link("/accounts/" + f.accounts[0].ID.String())}
		}
		if len(f.accounts) == 0 && len(f.refs) == 1 {
			return nil, redirect{p.link("/references", "ref", f.refs[0].Reference)}
		}
	}
	if f.asked {
		found, err := s.Backend.Search(ctx, p.searchQuery())
		if err != nil && !fault.IsPermanent(err) {
			return nil, err
		}
		if err != nil {
			f.problem = err.Error()
		}
		f.events = found
	}
	return searchView(p, f), nil
}

// searchQuery is what the page asks of the events.
func (p *page) searchQuery() backend.SearchQuery {
	return backend.SearchQuery{Words: p.q("q"), Contains: p.q("contains"), Path: p.q("path"), Source: p.q("source"), Type: p.q("type"), Paging: p.paging(50)}
}

// lookUp finds accounts, and references that an id may be.
func (s *server) lookUp(p *page, q string, most int) ([]api.AccountSummary, []api.Waits, error) {
	ctx := p.r.Context()
	found, err := s.Backend.Accounts(ctx, q, "", backend.Paging{Limit: most})
	if err != nil && !fault.IsPermanent(err) {
		return nil, nil, err
	}
	if len(found.Items) > 0 || !isID(q) {
		return found.Items, nil, nil
	}
	var refs []api.Waits
	add := func(text string) error {
		w, err := s.Backend.Reference(ctx, text)
		switch {
		case err == nil && (w.Waiting > 0 || w.Link != nil || len(w.Decisions) > 0 || text == q):
			refs = append(refs, w)
		case err != nil && !fault.IsPermanent(err):
			return err
		}
		return nil
	}
	if strings.Contains(q, ":") {
		return nil, refs, add(q)
	}
	for _, source := range sourceNames("") { // one of a dozen knows it
		if err := add(source + ":" + q); err != nil {
			return nil, nil, err
		}
	}
	return nil, refs, nil
}

// isID says that a text looks like an id or a reference and not like words.
func isID(q string) bool {
	return len(q) >= 3 && len(q) <= 1024 && !strings.ContainsAny(q, " \t\n") && strings.ContainsAny(q, "0123456789_:@")
}

// place is where the palette leads.
type place struct{ icon, label, path string }

// palette is what the palette lists.
func (s *server) palette(p *page) (templ.Component, error) {
	q := strings.ToLower(p.q("q"))
	places := []place{{"home", "Home", "/"}, {"accounts", "Accounts", "/accounts"}, {"live", "Live tail", "/live"}, {"patterns", "Patterns", "/patterns"}, {"quarantine", "Quarantine", "/quarantine"}, {"links", "Links", "/links"},
		{"links", "Suggestions", "/links?view=suggestions"}, {"links", "Domains", "/links?view=domains"}, {"links", "Ledger of decisions", "/links?view=decisions"}, {"jobs", "Jobs", "/jobs"}, {"drift", "Drift", "/drift"}, {"alerts", "Alerts", "/alerts"}, {"sources", "Sources", "/sources"}, {"audit", "Audit log", "/audit"}, {"tokens", "API tokens", "/tokens"}}
	var shown []place
	for _, x := range places {
		if (p.may(access.Admin) || (x.icon != "audit" && x.icon != "tokens")) && strings.Contains(strings.ToLower(x.label), q) {
			shown = append(shown, x)
		}
	}
	views, err := s.Backend.SavedViews(p.r.Context())
	if err != nil {
		return nil, err
	}
	var f finding
	if q != "" {
		if f.accounts, f.refs, err = s.lookUp(p, p.q("q"), 8); err != nil {
			return nil, err
		}
	}
	return paletteView(p, viewsFor(views, q), shown, f), nil
}
