package web

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/services/console/problem"
)

// event is the passport of one event.
func (s *server) event(p *page) (templ.Component, error) {
	p.nav, p.title = "accounts", "Event"
	id, err := p.id("event")
	if err != nil {
		return nil, err
	}
	passport, err := s.Backend.Passport(p.r.Context(), id)
	if err != nil {
		return nil, err
	}
	p.title = said(passport.Event.EventType)
	payload, err := s.Backend.Payload(p.r.Context(), id)
	if err != nil {
		return nil, err
	}
	return eventView(p, passport, payload), nil
}

// payload serves an event's bytes.
func (s *server) payload(w http.ResponseWriter, r *http.Request) {
	p := s.page(r)
	id, err := p.id("event")
	if err == nil {
		var body []byte
		if body, err = s.eventBytes(p, id); err == nil {
			sendBytes(w, r, "event-"+strconv.FormatInt(id, 10), body)
			return
		}
	}
	s.sayProblem(w, err)
}

func (s *server) eventBytes(p *page, id int64) ([]byte, error) {
	payload, err := s.Backend.Payload(p.r.Context(), id)
	return payload.Body, err
}

// rawRecord serves a quarantined record's bytes.
func (s *server) rawRecord(w http.ResponseWriter, r *http.Request) {
	p := s.page(r)
	id, err := p.id("record")
	if err == nil {
		d, failed := s.Backend.QuarantineRecord(r.Context(), id)
		if err = failed; err == nil {
			sendBytes(w, r, "quarantine-"+strconv.FormatInt(id, 10), d.Raw)
			return
		}
	}
	s.sayProblem(w, err)
}

// sayProblem answers with an error where no page is expected.
func (s *server) sayProblem(w http.ResponseWriter, err error) {
	said := problem.From(err)
	if said.Status >= http.StatusInternalServerError {
		s.Log.Error("an answer failed: " + err.Error())
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, said.Detail, said.Status)
}

// sendBytes sends a document byte for byte: as text, from ?from= on, or with ?download= as a file. It is never a type
// that a browser would run.
func sendBytes(w http.ResponseWriter, r *http.Request, name string, body []byte) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if r.URL.Query().Has("download") {
		ext := ".bin"
		if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && strings.ContainsRune("{[", rune(trimmed[0])) {
			ext = ".json"
		}
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", `attachment; filename="`+name+ext+`"`)
	}
	if text := r.URL.Query().Get("from"); text != "" {
		from, err := strconv.Atoi(text)
		if err != nil || from < 0 {
			http.Error(w, "from is a number of bytes", http.StatusBadRequest)
			return
		}
		from = min(from, len(body))
		for from > 0 && from < len(body) && !utf8.RuneStart(body[from]) {
			from--
		}
		body = body[from:]
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
