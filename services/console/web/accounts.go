package web

import (
	"github.com/a-h/templ"
)

// accounts lists customers, or those that a search finds.
func (s *server) accounts(p *page) (templ.Component, error) {
	p.title, p.nav = "Accounts", "accounts"
	found, err := s.Backend.Accounts(p.r.Context(), p.q("q"), p.q("owner"), p.paging(50))
	if err != nil {
		return nil, err
	}
	return accountsView(p, found), nil
}

// matched says by what a search found an account.
func matched(by string) string {
	switch by {
	case "reference":
		return "by an id at a vendor"
	case "":
		return ""
	}
	return "by its " + by
}
