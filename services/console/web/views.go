package web

import (
	"errors"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/services/console/backend"
)

// viewPath is this page's address as a view keeps it; "" where a view cannot be of it.
func (p *page) viewPath() string {
	q := p.r.URL.Query()
	for _, name := range []string{"cursor", "event"} {
		q.Del(name)
	}
	to := p.r.URL.EscapedPath()
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	if path, err := backend.ViewPath(to); err == nil {
		return path
	}
	return ""
}

// viewLink leads to a view.
func (p *page) viewLink(v api.SavedView) templ.SafeURL {
	return templ.SafeURL(p.s.BasePath + v.Path)
}

// mayChangeView is for the buttons beside a view.
func (p *page) mayChangeView(v api.SavedView) bool { return v.Own || v.Shared && p.mayDecide() }

// savedView finds the view that a page is about.
func (s *server) savedView(p *page, text string) (api.SavedView, error) {
	id, err := readNumber(text)
	if err != nil {
		return api.SavedView{}, err
	}
	list, err := s.Backend.SavedViews(p.r.Context())
	if err != nil {
		return api.SavedView{}, err
	}
	for _, v := range list {
		if v.ID == id {
			return v, nil
		}
	}
	return api.SavedView{}, fault.Permanent(fault.NotFound, errors.New("there is no such view, or it is not yours and not shared"))
}

// askView asks for the name of a new view, or for another name of one that is there.
func (s *server) askView(p *page) (templ.Component, error) {
	p.title, p.nav = "Save view", "home"
	if err := p.require(access.Viewer); err != nil {
		return nil, err
	}
	if p.q("id") != "" {
		v, err := s.savedView(p, p.q("id"))
		if err != nil {
			return nil, err
		}
		return decideView(p, decision{title: "Change a saved view", path: "/decide/view", hidden: [][2]string{{"id", itoa(v.ID)}}, fields: viewFields(p, v), verb: "Save", back: p.link("/")}), nil
	}
	path, err := backend.ViewPath(p.q("path"))
	if err != nil {
		return nil, err
	}
	return decideView(p, decision{title: "Save this view", lead: "Its address, with filters, under a name: it is on the first page and in the palette.", path: "/decide/view", hidden: [][2]string{{"path", path}},
		fields: viewFields(p, api.SavedView{Path: path}), verb: "Save", back: p.s.BasePath + path}), nil
}

func (s *server) doView(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	name, shared := f.Get("name"), f.Get("shared") != ""
	if f.Get("id") == "" {
		v, err := s.Backend.SaveView(p.r.Context(), name, f.Get("path"), shared)
		if err != nil {
			return nil, err
		}
		return nil, redirect{p.s.BasePath + v.Path}
	}
	id, err := readNumber(f.Get("id"))
	if err != nil {
		return nil, err
	}
	change := &shared
	if !p.mayDecide() {
		change = nil // the form has no such field
	}
	if _, err := s.Backend.ChangeView(p.r.Context(), id, &name, change); err != nil {
		return nil, err
	}
	return nil, redirect{p.link("/")}
}

func (s *server) askUnsave(p *page) (templ.Component, error) {
	p.title, p.nav = "Delete view", "home"
	if err := p.require(access.Viewer); err != nil {
		return nil, err
	}
	v, err := s.savedView(p, p.q("id"))
	if err != nil {
		return nil, err
	}
	effect := "Only you have it. The page itself stays."
	if v.Shared {
		effect = "Nobody sees it any more. The page itself stays."
	}
	return decideView(p, decision{title: "Delete the view “" + plain(v.Name) + "”?", path: "/decide/unsave", hidden: [][2]string{{"id", itoa(v.ID)}}, effect: []string{effect}, verb: "Delete", danger: true, back: p.link("/")}), nil
}

func (s *server) doUnsave(p *page) (templ.Component, error) {
	return s.byNumber(p, "/", func(id int64, _ string) error { return s.Backend.DeleteView(p.r.Context(), id) })
}

// where says a view's address for people.
func where(v api.SavedView) string {
	if text, err := url.QueryUnescape(v.Path); err == nil {
		return text
	}
	return v.Path
}

// viewsFor gives the views whose names hold a text.
func viewsFor(list []api.SavedView, q string) (found []api.SavedView) {
	for _, v := range list {
		if strings.Contains(strings.ToLower(v.Name), strings.ToLower(q)) {
			found = append(found, v)
		}
	}
	return found
}

// sharedBy says of a shared view whose it is.
func sharedBy(v api.SavedView) string {
	if v.Own {
		return "shared"
	}
	return "shared by " + plain(personOf(v.Owner))
}
