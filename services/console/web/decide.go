package web

import (
	"crypto/rand"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/a-h/templ"

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

func readNumber(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, problem.Field("id", errors.New("this is no number of one: they are 1 and above"))
	}
	return id, nil
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
