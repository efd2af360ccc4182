package web

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

func (s *server) askCreate(p *page) (templ.Component, error) {
	if err := p.asks("New account", "accounts"); err != nil {
		return nil, err
	}
	d := decision{title: "New account", path: "/decide/create", verb: "Make the account", fields: accountFields(p, "", "", true), hidden: [][2]string{{"reference", p.q("reference")}}, back: p.link("/accounts")}
	if ref := p.q("reference"); ref != "" {
		w, err := s.Backend.Reference(p.r.Context(), ref)
		if err != nil {
			return nil, err
		}
		d.lead, d.verb, d.reason, d.back = w.Reference, "Make and link", true, p.link("/references", "ref", ref)
		d.hidden = [][2]string{{"reference", w.Reference}, {"waited", itoa(w.Waiting)}}
		d.effect = []string{plural(w.Waiting, "event that waits comes", "events that wait come") + " onto its timeline."}
	}
	return decideView(p, d), nil
}

func (s *server) doCreate(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	a, err := s.Backend.CreateAccount(p.r.Context(), backend.NewAccount{Name: strings.TrimSpace(f.Get("name")), Domain: strings.TrimSpace(f.Get("domain")), Owner: strings.TrimSpace(f.Get("owner")), Anyway: f.Get("anyway") != ""})
	if err != nil {
		return p.insist(err, decision{title: "There is a similar account", lead: f.Get("name"), path: "/decide/create", verb: "Make a second one", back: p.link("/accounts", "q", f.Get("name"))}, f)
	}
	if ref := f.Get("reference"); ref != "" {
		if _, err := s.Backend.Link(p.r.Context(), api.Linking{Reference: ref, AccountID: a.ID, Reason: f.Get("reason")}); err != nil {
			return nil, err
		}
		return nil, redirect{p.link("/references", "ref", ref, "waited", number0(f.Get("waited")))}
	}
	return nil, redirect{p.link("/accounts/" + a.ID.String())}
}

// insist asks again, where what a form says is refused because of accounts that are there already; other errors stay errors.
func (p *page) insist(err error, d decision, f url.Values) (templ.Component, error) {
	said := problem.From(err)
	if len(said.Similar) == 0 {
		return nil, err
	}
	p.status, p.title = said.Status, d.title
	for _, a := range said.Similar {
		d.effect = append(d.effect, strings.TrimSuffix("There is "+a.Name+", "+a.Domain, ", ")+".")
	}
	d.effect = append(d.effect, "Two accounts of one customer share its events between them: one of these is mostly meant.")
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if name != "anyway" {
			d.hidden = append(d.hidden, [2]string{name, f.Get(name)})
		}
	}
	d.hidden, d.danger = append(d.hidden, [2]string{"anyway", "1"}), true
	return decideView(p, d), nil
}

func (s *server) askMerge(p *page) (templ.Component, error) {
	if err := p.asks("Merge accounts", "accounts"); err != nil {
		return nil, err
	}
	ctx := p.r.Context()
	from, err := readAccount("from", p.q("from"))
	if err != nil {
		return nil, err
	}
	a, err := s.Backend.Account(ctx, from)
	if err != nil {
		return nil, err
	}
	if p.q("into") == "" {
		found, err := s.Backend.Accounts(ctx, p.q("q"), "", backend.Paging{Limit: offered})
		if err != nil {
			return nil, err
		}
		others := found.Items[:0]
		for _, o := range found.Items {
			if o.ID != from {
				others = append(others, o)
			}
		}
		return chooseAccount(p, choice{title: "Merge into which account?", lead: a.Name, path: "/decide/merge", names: [][2]string{{"from", from.String()}}, found: others, param: "into"}), nil
	}
	into, err := readAccount("into", p.q("into"))
	if err != nil {
		return nil, err
	}
	b, err := s.Backend.Account(ctx, into)
	if err != nil {
		return nil, err
	}
	e, err := s.Backend.MergeAccount(ctx, from, into, "", true)
	if err != nil {
		return nil, err
	}
	return decideView(p, decision{title: "Merge into " + plain(short(b.Name, into)) + "?", lead: plain(a.Name), path: "/decide/merge", hidden: [][2]string{{"from", from.String()}, {"into", into.String()}},
		effect: append(effects(e), "Links of the one lead to the other then, and it takes its place."), reason: true, verb: "Merge", danger: true, back: p.link("/accounts/" + from.String() + "/links")}), nil
}

func (s *server) doMerge(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	from, err := readAccount("from", f.Get("from"))
	if err != nil {
		return nil, err
	}
	into, err := readAccount("into", f.Get("into"))
	if err != nil {
		return nil, err
	}
	if _, err := s.Backend.MergeAccount(p.r.Context(), from, into, f.Get("reason"), false); err != nil {
		return nil, err
	}
	return nil, redirect{p.link("/accounts/" + into.String())}
}

func (s *server) askChange(p *page) (templ.Component, error) {
	if err := p.asks("Name and owner", "accounts"); err != nil {
		return nil, err
	}
	id, err := readAccount("account", p.q("account"))
	if err != nil {
		return nil, err
	}
	a, err := s.Backend.Account(p.r.Context(), id)
	if err != nil {
		return nil, err
	}
	return decideView(p, decision{title: "Name and owner", path: "/decide/change", hidden: [][2]string{{"account", id.String()}, {"had_name", a.Name}, {"had_owner", a.Owner}}, fields: accountFields(p, a.Name, a.Owner, false), reason: true, verb: "Change",
		back: p.link("/accounts/" + id.String() + "/links")}), nil
}

func (s *server) doChange(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	id, err := readAccount("account", f.Get("account"))
	if err != nil {
		return nil, err
	}
	var name, owner *string // only what was changed on the form, so that nobody's change in between is undone
	if v := strings.TrimSpace(f.Get("name")); v != f.Get("had_name") {
		name = &v
	}
	if v := strings.TrimSpace(f.Get("owner")); v != f.Get("had_owner") {
		owner = &v
	}
	if name != nil || owner != nil {
		if _, err := s.Backend.ChangeAccount(p.r.Context(), id, backend.AccountChange{Name: name, Owner: owner, Anyway: f.Get("anyway") != "", Reason: f.Get("reason")}); err != nil {
			return p.insist(err, decision{title: "Another account has this name", lead: f.Get("name"), path: "/decide/change", verb: "Give it the name, too", back: p.link("/accounts/" + id.String() + "/links")}, f)
		}
	}
	return nil, redirect{p.link("/accounts/" + id.String() + "/links")}
}
