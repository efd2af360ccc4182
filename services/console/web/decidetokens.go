package web

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/services/console/problem"
)

func (s *server) askToken(p *page) (templ.Component, error) {
	p.title, p.nav = "New token", "tokens"
	if err := p.require(access.Admin); err != nil {
		return nil, err
	}
	return decideView(p, decision{title: "New API token", lead: "For a program. It is shown once; only a hash of it is kept.", path: "/decide/token", fields: tokenFields(p), verb: "Make the token", back: p.link("/tokens")}), nil
}

func (s *server) doToken(p *page) (templ.Component, error) {
	p.title, p.nav = "New token", "tokens"
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	role, err := access.ParseRole(f.Get("role"))
	if err != nil {
		return nil, problem.Field("role", err)
	}
	days, err := strconv.Atoi(f.Get("days"))
	if err != nil || days < 0 || days > 3650 {
		return nil, problem.Field("days", errors.New("a token lasts for 1 to 3,650 days, or 0 for no end"))
	}
	var expires time.Time
	if days > 0 {
		expires = p.now.AddDate(0, 0, days)
	}
	made, err := s.Backend.CreateToken(p.r.Context(), strings.TrimSpace(f.Get("name")), role, expires)
	if err != nil {
		return nil, err
	}
	return tokenMade(p, made), nil // and no redirect: the token is in no address
}

func (s *server) askRevoke(p *page) (templ.Component, error) {
	p.title, p.nav = "Revoke", "tokens"
	if err := p.require(access.Admin); err != nil {
		return nil, err
	}
	id, err := readNumber(p.q("id"))
	if err != nil {
		return nil, err
	}
	return decideView(p, decision{title: "Revoke token " + itoa(id) + "?", path: "/decide/revoke", hidden: [][2]string{{"id", itoa(id)}}, verb: "Revoke", danger: true, back: p.link("/tokens"),
		effect: []string{"Programs that use it are refused from now on. It cannot be taken back."}}), nil
}

func (s *server) doRevoke(p *page) (templ.Component, error) {
	return s.byNumber(p, "/tokens", func(id int64, _ string) error { return s.Backend.RevokeToken(p.r.Context(), id) })
}
