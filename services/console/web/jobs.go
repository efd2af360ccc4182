package web

import (
	"errors"
	"time"

	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/services/console/backend"
)

// jobs shows pulls and moves.
func (s *server) jobs(p *page) (templ.Component, error) {
	p.title, p.nav = "Jobs", "jobs"
	ctx := p.r.Context()
	pulls, err := s.Backend.Pulls(ctx, p.q("source"), p.paging(20))
	if err != nil {
		return nil, err
	}
	moves, err := s.Backend.Moves(ctx, backend.Paging{Limit: 20})
	if err != nil {
		return nil, err
	}
	gaps, err := s.Backend.Gaps(ctx)
	if err != nil {
		return nil, err
	}
	asked, err := s.Backend.PullRequests(ctx, p.q("source"), false, backend.Paging{Limit: 10})
	if err != nil {
		return nil, err
	}
	return jobsView(p, asked.Items, pulls, moves.Items, gaps), nil
}

// done is how much of a pull's period is brought in, of 1,000.
func done(x api.Pull) int {
	whole, part := x.To.Sub(x.From), x.Through.Sub(x.From)
	if x.Finished || whole <= 0 {
		return 1000
	}
	return int(1000 * min(max(float64(part)/float64(whole), 0), 1))
}

// left says how long a running pull will still take, if it goes on as it did.
func left(p *page, x api.Pull) string {
	n := done(x)
	if x.Status != "running" || n == 0 || n >= 1000 {
		return ""
	}
	took := p.now.Sub(x.StartedAt)
	if took < 10*time.Second {
		return ""
	}
	return "about " + span(took*time.Duration(1000-n)/time.Duration(n)) + " left"
}

// requestTitle says what was asked for.
func requestTitle(x api.PullRequest) string {
	title := "backfill"
	if x.DryRun {
		title = "count"
	}
	if x.Stream != "" {
		title += " of " + plain(x.Stream)
	}
	if len(x.Types) > 0 {
		title += ", " + plural(len(x.Types), "event type", "event types")
	}
	return title
}

// requestText says how far a request is.
func requestText(x api.PullRequest) string {
	switch {
	case x.State == "requested":
		return "Waits for the puller, which takes one request of a source at a time."
	case x.DryRun:
		return number(x.Events) + " events on " + number(x.Pages) + " pages; none is published."
	}
	return number(x.Events) + " events on " + number(x.Pages) + " pages"
}

func requestKind(x api.PullRequest) string {
	if x.State == "claimed" {
		return "accent"
	}
	return statusKind(x.State)
}

func kindOf(x api.Pull) string {
	if x.Status == "interrupted" || x.Status == "cancelled" {
		return "warn"
	}
	return statusKind(x.Status)
}

// audit lists who did what.
func (s *server) audit(p *page) (templ.Component, error) {
	p.title, p.nav = "Audit log", "audit"
	if err := p.require(access.Admin); err != nil {
		return nil, err
	}
	list, err := s.Backend.Audit(p.r.Context(), p.q("who"), p.q("action"), p.paging(100))
	if err != nil {
		return nil, err
	}
	return auditView(p, list), nil
}

// tokens lists API tokens.
func (s *server) tokens(p *page) (templ.Component, error) {
	p.title, p.nav = "API tokens", "tokens"
	if err := p.require(access.Admin); err != nil {
		return nil, err
	}
	list, err := s.Backend.Tokens(p.r.Context(), p.paging(100))
	if err != nil {
		return nil, err
	}
	return tokensView(p, list), nil
}

// tokenState gives the pill of a token.
func tokenState(p *page, t api.Token) (kind, label string) {
	switch {
	case !t.RevokedAt.IsZero():
		return "off", "revoked"
	case !t.ExpiresAt.IsZero() && t.ExpiresAt.Before(p.now):
		return "off", "ended"
	case !t.ExpiresAt.IsZero() && t.ExpiresAt.Before(p.now.AddDate(0, 0, 7)):
		return "warn", "ends soon"
	}
	return "good", "valid"
}

// sources shows how each sender is doing.
func (s *server) sources(p *page) (templ.Component, error) {
	p.title, p.nav = "Sources", "sources"
	list, err := s.Backend.Sources(p.r.Context())
	if err != nil {
		return nil, err
	}
	return sourcesView(p, list), nil
}

// source shows one of them, and how it is set up.
func (s *server) source(p *page) (templ.Component, error) {
	p.nav = "sources"
	list, err := s.Backend.Sources(p.r.Context())
	if err != nil {
		return nil, err
	}
	for _, x := range list {
		if x.Source == p.r.PathValue("source") {
			p.title = x.Source
			return sourceView(p, x), nil
		}
	}
	return nil, fault.Permanent(fault.NotFound, errors.New("there is no such source"))
}

func resultKind(e api.AuditEntry) string {
	switch e.Result {
	case "refused":
		return "warn"
	case "failed":
		return "bad"
	}
	return "good"
}
