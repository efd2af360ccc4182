package web

import (
	"strconv"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/backend"
)

// askLink asks whose a reference is: first for an account, then for a yes.
func (s *server) askLink(p *page) (templ.Component, error) {
	if err := p.asks("Link to an account", "quarantine"); err != nil {
		return nil, err
	}
	ctx, reference := p.r.Context(), p.q("reference")
	if reference == "" || p.q("account") == "" {
		found, err := s.Backend.Accounts(ctx, p.q("q"), "", backend.Paging{Limit: offered})
		if err != nil {
			return nil, err
		}
		var named *api.AccountSummary
		if p.q("account") != "" {
			id, err := readAccount("account", p.q("account"))
			if err != nil {
				return nil, err
			}
			a, err := s.Backend.Account(ctx, id)
			if err != nil {
				return nil, err
			}
			named = &a
		}
		return chooseAccount(p, choice{title: "Link to an account", path: "/decide/link", names: [][2]string{{"reference", reference}}, found: found.Items, askReference: reference == "", named: named, param: "account"}), nil
	}
	id, err := readAccount("account", p.q("account"))
	if err != nil {
		return nil, err
	}
	a, err := s.Backend.Account(ctx, id)
	if err != nil {
		return nil, err
	}
	w, err := s.Backend.Reference(ctx, reference)
	if err != nil {
		return nil, err
	}
	e, err := s.Backend.Link(ctx, api.Linking{Reference: w.Reference, AccountID: id, DryRun: true})
	if err != nil {
		return nil, err
	}
	d := decision{title: "Link to " + plain(short(a.Name, id)) + "?", path: "/decide/link", reason: true, verb: "Link", back: p.link("/references", "ref", w.Reference),
		hidden: [][2]string{{"reference", w.Reference}, {"account", id.String()}, {"waited", itoa(w.Waiting)}}, lead: w.Reference, effect: effects(e)}
	if w.Waiting > 0 {
		d.effect = append([]string{plural(w.Waiting, "event leaves the quarantine and comes", "events leave the quarantine and come") + " onto the timeline of " + plain(short(a.Name, id)) + "."}, d.effect...)
	} else {
		d.effect = append([]string{"No event waits for it now. Events that come will find the account."}, d.effect...)
	}
	return decideView(p, d), nil
}

func (s *server) doLink(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	id, err := readAccount("account", f.Get("account"))
	if err != nil {
		return nil, err
	}
	e, err := s.Backend.Link(p.r.Context(), api.Linking{Reference: f.Get("reference"), AccountID: id, Reason: f.Get("reason")})
	if err != nil {
		return nil, err
	}
	return nil, redirect{p.link("/references", "ref", e.Reference, "waited", number0(f.Get("waited")))}
}

// effects says what a dry run of a decision counted.
func effects(e api.Effect) (list []string) {
	if !e.Changed {
		list = append(list, "It is so already: nothing would change.")
	}
	for _, m := range e.Moves {
		if m.ToAccount == uuid.Nil {
			list = append(list, plural(m.Events, "event leaves", "events leave")+" the timeline of account "+m.FromAccount.String()[:8]+" and goes back through the pipeline; what then is nobody's waits in quarantine.")
		} else {
			list = append(list, plural(m.Events, "event moves", "events move")+" from account "+m.FromAccount.String()[:8]+" to "+m.ToAccount.String()[:8]+".")
		}
	}
	for _, u := range e.Undone {
		list = append(list, "The automatic link of "+plain(u.Reference)+", which rests on it, is taken back too.")
	}
	if e.Untraced > 0 {
		list = append(list, plural(e.Untraced, "event", "events")+" may rest on it although nothing says so: they stay.")
	}
	if e.PendingMoves > 0 {
		list = append(list, plural(e.PendingMoves, "earlier move is", "earlier moves are")+" not finished yet.")
	}
	return list
}

// number0 gives digits, or nothing.
func number0(s string) string {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		return itoa(n)
	}
	return ""
}

func (s *server) askUnlink(p *page) (templ.Component, error) {
	if err := p.asks("Unlink", "links"); err != nil {
		return nil, err
	}
	ref := p.q("reference")
	e, err := s.Backend.Unlink(p.r.Context(), ref, "", false, true)
	if err != nil {
		return nil, err
	}
	return decideView(p, decision{title: "Take this link back?", lead: ref, path: "/decide/unlink", hidden: [][2]string{{"reference", ref}}, effect: effects(e), reason: true, verb: "Unlink", danger: true,
		fields: checkField("never", "It is not this account's: never suggest or learn this link again."), back: p.link("/references", "ref", ref)}), nil
}

func (s *server) doUnlink(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	if _, err := s.Backend.Unlink(p.r.Context(), f.Get("reference"), f.Get("reason"), f.Has("never"), false); err != nil {
		return nil, err
	}
	return nil, redirect{p.link("/references", "ref", f.Get("reference"))}
}
