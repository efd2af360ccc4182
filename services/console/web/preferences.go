package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/services/console/problem"
)

// prefer sets how pages look, in cookies, and goes back.
func (s *server) prefer(p *page) (templ.Component, error) {
	if err := p.r.ParseForm(); err != nil {
		return nil, problem.Field("form", err)
	}
	form := p.r.PostForm
	set := func(name, value string) {
		//nolint:gosec // it says how pages look, and has to work on plain HTTP too
		p.cookies = append(p.cookies, &http.Cookie{Name: name, Value: value, Path: s.BasePath + "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	if form.Has("theme") {
		set(themeCookie, one(form.Get("theme"), "auto", "light", "dark"))
	}
	if form.Has("keys") {
		set(keysCookie, one(form.Get("keys"), "on", "off"))
	}
	if form.Has("zone") {
		name := form.Get("zone")
		if zone, err := time.LoadLocation(name); err != nil || len(name) >= 64 || zone == time.Local {
			return nil, problem.Field("zone", errors.New("there is no such time zone: they look like UTC and Europe/Vienna"))
		}
		set(zoneCookie, url.QueryEscape(name))
	}
	return nil, redirect{p.back(form.Get("back"))}
}

// back gives a path of the console that a form named, or its first page: never another site.
func (p *page) back(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, p.s.BasePath+"/") || strings.HasPrefix(u.Path, "//") || strings.Contains(to, `\`) {
		return p.link("/")
	}
	return to
}

// one gives value where it is one of the others, else the first.
func one(value, first string, others ...string) string {
	for _, o := range others {
		if value == o {
			return value
		}
	}
	return first
}

// keys shows the table of keys as a page.
func (s *server) keysPage(p *page) (templ.Component, error) {
	p.title, p.nav = "Keys", "keys"
	return keysView(p), nil
}
