package web

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// heartbeat is how often a stream without events says that it lives, for proxies that end what is silent.
const heartbeat = 15 * time.Second

// writeTime bounds a write to a browser.
const writeTime = 30 * time.Second

// tail is the live tail of all sources.
func (s *server) tail(p *page) (templ.Component, error) {
	p.title, p.nav, p.live = "Live tail", "live", true
	if err := s.Backend.KnownSource(p.r.Context(), p.q("source")); err != nil {
		return nil, err
	}
	sources, _ := choices(nil, p.q("source"), "")
	return tailView(p, sources), nil
}

// liveEvents is the stream of a page's live tail: rows as HTML, each with the id that Last-Event-ID gives back.
func (s *server) liveEvents(w http.ResponseWriter, r *http.Request) {
	p := s.page(r)
	q := backend.TailQuery{Source: p.q("source"), Type: p.q("type"), After: r.Header.Get("Last-Event-ID")}
	if q.After == "" {
		q.After = p.q("after")
	}
	if a := p.q("account"); a != "" {
		id, err := readAccount("account", a)
		if err != nil {
			s.sayProblem(w, err)
			return
		}
		q.Account = id
	}
	events, err := s.Backend.Tail(r.Context(), q)
	if err != nil {
		if problem.Status(err) == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		s.sayProblem(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	// A browser that is there and reads nothing is let go.
	more := func() { _ = out.SetWriteDeadline(time.Now().Add(heartbeat + writeTime)) } // not every writer has one
	more()
	fmt.Fprint(w, "retry: 1000\nevent: open\ndata:\n\n")
	if out.Flush() != nil {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		more()
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			if s.writeEvent(p, w, q.Account, e) != nil {
				return
			}
			for pending := true; pending; { // what is there already goes in one write
				select {
				case e, ok := <-events:
					if !ok {
						return
					}
					if s.writeEvent(p, w, q.Account, e) != nil {
						return
					}
				default:
					pending = false
				}
			}
		case <-beat.C:
			fmt.Fprint(w, ": \n\n")
		}
		if out.Flush() != nil {
			return
		}
	}
}

func (s *server) writeEvent(p *page, w http.ResponseWriter, account uuid.UUID, e backend.TailEvent) error {
	var row bytes.Buffer
	name := "row"
	var c templ.Component
	switch {
	case e.Skipped > 0:
		name, c = "skipped", skippedRow(e.Skipped)
	case account != uuid.Nil:
		c = eventRow(p, account.String(), e.Event)
	default:
		c = tailRow(p, e.AccountID, e.AccountName, e.Event)
	}
	if err := c.Render(p.r.Context(), &row); err != nil {
		return err
	}
	id := strings.Map(func(r rune) rune {
		if r < 0x20 {
			return -1
		}
		return r
	}, e.ID)
	// Text is written by writeClean, which leaves no line break, and templates' own are none.
	_, err := fmt.Fprintf(w, "id: %s\nevent: %s\ndata: %s\n\n", id, name, strings.ReplaceAll(strings.ReplaceAll(row.String(), "\r", ""), "\n", " "))
	return err
}

// tailHref opens an event on its account's timeline.
func (p *page) tailHref(account uuid.UUID, e api.EventLine) templ.SafeURL {
	return templ.SafeURL(p.permalink(account.String(), e))
}

// tailClock is the time of day, with the day where that is another.
func (p *page) tailClock(t time.Time) string {
	if p.day(t) == p.day(p.now) {
		return p.clock(t)
	}
	return t.In(p.zone).Format("2 Jan 15:04")
}
