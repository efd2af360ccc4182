package web

import (
	"crypto/rand"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// decision is a page that asks before something is done: what it would do, counted by a dry run, and the button.
type decision struct {
	title, lead string
	path        string // that the form is posted to
	hidden      [][2]string
	effect      []string // what the dry run says, in sentences
	fields      templ.Component
	reason      bool // it takes a reason
	verb        string
	danger      bool
	nothing     bool // the dry run says that nothing would be done
	back        string
}

// asks begins a view that asks for a decision; errors are those of who may not.
func (p *page) asks(title, nav string) error {
	p.title, p.nav = title, nav
	return p.require(access.Operator)
}

// form reads what was posted.
func (p *page) form() (url.Values, error) {
	if err := p.r.ParseForm(); err != nil {
		return nil, problem.Field("form", errors.New("this form cannot be read, or is larger than 1 MB"))
	}
	return p.r.PostForm, nil
}

// offered is how many accounts a choice shows.
const offered = 20

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
	a, err := s.Backend.CreateAccount(p.r.Context(), strings.TrimSpace(f.Get("name")), strings.TrimSpace(f.Get("domain")), strings.TrimSpace(f.Get("owner")), uuid.Nil)
	if err != nil {
		return nil, err
	}
	if ref := f.Get("reference"); ref != "" {
		if _, err := s.Backend.Link(p.r.Context(), api.Linking{Reference: ref, AccountID: a.ID, Reason: f.Get("reason")}); err != nil {
			return nil, err
		}
		return nil, redirect{p.link("/references", "ref", ref, "waited", number0(f.Get("waited")))}
	}
	return nil, redirect{p.link("/accounts/" + a.ID.String())}
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
		if _, err := s.Backend.ChangeAccount(p.r.Context(), id, name, owner, f.Get("reason")); err != nil {
			return nil, err
		}
	}
	return nil, redirect{p.link("/accounts/" + id.String() + "/links")}
}

// askSuggestion shows the evidence; who may not decide reads it too.
func (s *server) askSuggestion(p *page) (templ.Component, error) {
	p.title, p.nav = "Suggestion", "links"
	id, err := readNumber(p.q("id"))
	if err != nil {
		return nil, err
	}
	e, err := s.Backend.Suggestion(p.r.Context(), id)
	if err != nil {
		return nil, err
	}
	var effect []string
	if p.mayDecide() && e.Status == "open" {
		dry, err := s.Backend.Link(p.r.Context(), api.Linking{Reference: e.Reference, AccountID: e.AccountID, DryRun: true})
		if err != nil {
			return nil, err
		}
		effect = effects(dry)
	}
	return suggestionView(p, e, effect), nil
}

func (s *server) doSuggestion(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	id, err := readNumber(f.Get("id"))
	if err != nil {
		return nil, err
	}
	if f.Get("decide") == "reject" {
		if _, err := s.Backend.RejectSuggestion(p.r.Context(), id, f.Get("reason")); err != nil {
			return nil, err
		}
		return nil, redirect{p.link("/quarantine")}
	}
	e, err := s.Backend.AcceptSuggestion(p.r.Context(), id, f.Get("reason"))
	if err != nil {
		return nil, err
	}
	return nil, redirect{p.link("/references", "ref", e.Reference, "waited", number0(f.Get("waited")))}
}

func readNumber(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, problem.Field("id", errors.New("this is no number of one: they are 1 and above"))
	}
	return id, nil
}

// selection reads which records are meant from a query or a form.
func selection(v url.Values) (backend.Selection, error) {
	s := backend.Selection{Reason: v.Get("reason"), Source: v.Get("source"), Reference: v.Get("reference"), Note: v.Get("note")}
	for _, text := range v["id"] {
		id, err := readNumber(text)
		if err != nil {
			return s, err
		}
		s.IDs = append(s.IDs, id)
	}
	if len(s.IDs) > 0 {
		s.Reason, s.Source, s.Reference = "", "", ""
	}
	if len(s.IDs) == 0 && s.Reason == "" && s.Reference == "" {
		return s, problem.Field("id", errors.New("no record is selected: select some in the list, with x or the mouse"))
	}
	return s, nil
}

func (s *server) change(p *page, sel backend.Selection) (api.QuarantineChange, error) {
	switch p.r.PathValue("action") {
	case "release":
		return s.Backend.Release(p.r.Context(), sel)
	case "discard":
		return s.Backend.Discard(p.r.Context(), sel)
	}
	_, err := nowhere(p)
	return api.QuarantineChange{}, err
}

func (s *server) askQuarantine(p *page) (templ.Component, error) {
	if err := p.asks(said(p.r.PathValue("action")), "quarantine"); err != nil {
		return nil, err
	}
	sel, err := selection(p.r.URL.Query())
	if err != nil {
		return nil, err
	}
	sel.DryRun = true
	c, err := s.change(p, sel)
	if err != nil {
		return nil, err
	}
	action := p.r.PathValue("action")
	d := decision{path: "/decide/" + action + "/quarantine", reason: true, hidden: [][2]string{{"reason_of", sel.Reason}, {"source", sel.Source}, {"reference", sel.Reference}}, nothing: c.Changed == 0, back: p.link("/quarantine")}
	for _, id := range sel.IDs {
		d.hidden = append(d.hidden, [2]string{"id", itoa(id)})
	}
	switch action {
	case "release":
		d.title, d.verb = "Release "+plural(c.Changed, "record", "records")+"?", "Release"
		d.effect = []string{"Each is published to its raw topic again and goes through the pipeline; what still cannot go on comes back here."}
	default:
		d.title, d.verb, d.danger = "Discard "+plural(c.Changed, "record", "records")+"?", "Discard", true
		d.effect = []string{"They are marked as discarded and never come onto a timeline by themselves. They stay readable, and can be released later."}
	}
	if c.Skipped > 0 {
		d.effect = append(d.effect, plural(c.Skipped, "record is", "records are")+" left alone: somebody decided already, or it is under way.")
	}
	if c.Impossible > 0 {
		d.effect = append(d.effect, plural(c.Impossible, "record has", "records have")+" no bytes to publish.")
	}
	return decideView(p, d), nil
}

func (s *server) doQuarantine(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	note := f.Get("reason")
	f.Set("reason", f.Get("reason_of"))
	sel, err := selection(f)
	if err != nil {
		return nil, err
	}
	sel.Note = note
	if _, err := s.change(p, sel); err != nil {
		return nil, err
	}
	status := "discarded"
	if p.r.PathValue("action") == "release" {
		status = "replaying"
	}
	return nil, redirect{p.link("/quarantine/records", "status", status, "reason", sel.Reason, "source", sel.Source, "reference", sel.Reference)}
}

func (s *server) askPull(p *page) (templ.Component, error) {
	if err := p.asks("Backfill", "jobs"); err != nil {
		return nil, err
	}
	return decideView(p, decision{title: "Backfill a source", lead: "The puller asks the vendor's API for past events. What the timelines have already is not stored twice.", path: "/decide/pull", hidden: [][2]string{{"key", rand.Text()}}, fields: pullFields(p), verb: "Start", back: p.link("/jobs")}), nil
}

func (s *server) doPull(p *page) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	n := backend.NewPull{Source: f.Get("source"), Stream: strings.TrimSpace(f.Get("stream")), Types: strings.Fields(strings.ReplaceAll(f.Get("types"), ",", " ")), DryRun: f.Get("dry_run") != "", Key: f.Get("key")}
	if n.Since, err = p.when("since", f.Get("since")); err != nil {
		return nil, err
	}
	if n.Until, err = p.when("until", f.Get("until")); err != nil {
		return nil, err
	}
	if _, err := s.Backend.StartPull(p.r.Context(), n); err != nil {
		return nil, err
	}
	return nil, redirect{p.link("/jobs")}
}

func (s *server) askCancel(p *page) (templ.Component, error) {
	if err := p.asks("Cancel", "jobs"); err != nil {
		return nil, err
	}
	id, err := readNumber(p.q("id"))
	if err != nil {
		return nil, err
	}
	return decideView(p, decision{title: "Cancel request " + itoa(id) + "?", path: "/decide/cancel", hidden: [][2]string{{"id", itoa(id)}}, verb: "Cancel it", danger: true, back: p.link("/jobs"),
		effect: []string{"The puller stops within seconds. What it brought in stays, and a new backfill of the period goes on from there."}}), nil
}

func (s *server) doCancel(p *page) (templ.Component, error) {
	return s.byNumber(p, "/jobs", func(id int64, _ string) error {
		_, err := s.Backend.CancelPull(p.r.Context(), id)
		return err
	})
}

// byNumber does something to what the form names, and goes to a page.
func (s *server) byNumber(p *page, then string, do func(id int64, reason string) error) (templ.Component, error) {
	f, err := p.form()
	if err != nil {
		return nil, err
	}
	id, err := readNumber(f.Get("id"))
	if err != nil {
		return nil, err
	}
	if err := do(id, f.Get("reason")); err != nil {
		return nil, err
	}
	return nil, redirect{p.link(then)}
}

func (s *server) askDrift(p *page) (templ.Component, error) {
	if err := p.asks("Acknowledge", "drift"); err != nil {
		return nil, err
	}
	id, err := readNumber(p.q("id"))
	if err != nil {
		return nil, err
	}
	return decideView(p, decision{title: "Acknowledge finding " + itoa(id) + "?", path: "/decide/drift", hidden: [][2]string{{"id", itoa(id)}}, verb: "Acknowledge", reason: true, back: p.link("/drift"),
		effect: []string{"It is no longer open, and nobody is told of it again."}}), nil
}

func (s *server) doDrift(p *page) (templ.Component, error) {
	return s.byNumber(p, "/drift", func(id int64, reason string) error {
		_, err := s.Backend.AcknowledgeDrift(p.r.Context(), id, reason)
		return err
	})
}

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

// choice asks for an account.
type choice struct {
	title, lead, path, param string
	names                    [][2]string
	found                    []api.AccountSummary
	askReference             bool
	named                    *api.AccountSummary
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + plain(who)
}
