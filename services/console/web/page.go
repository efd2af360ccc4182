package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones are shown on machines that have none

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// page is one request, and how its page is to look.
type page struct {
	s       *server
	r       *http.Request
	actor   access.Actor
	now     time.Time
	title   string // of the browser's tab; plain text
	nav     string // the entry of the navigation that is lit
	status  int
	theme   string // light, dark, or "": as the system
	zone    *time.Location
	keys    bool
	live    bool // it has a live tail
	wide    bool
	cookies []*http.Cookie
}

// The cookies of preferences. They hold nothing secret, and any value is safe.
const (
	themeCookie = "tl_theme"
	zoneCookie  = "tl_zone"
	keysCookie  = "tl_keys"
)

func (s *server) page(r *http.Request) *page {
	p := &page{s: s, r: r, actor: access.ActorOf(r.Context()), now: s.Now(), status: http.StatusOK, zone: time.UTC, keys: true}
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "light" || c.Value == "dark") {
		p.theme = c.Value
	}
	if c, err := r.Cookie(zoneCookie); err == nil {
		if name, err := url.QueryUnescape(c.Value); err == nil && len(name) < 64 {
			if zone, err := time.LoadLocation(name); err == nil && zone != time.Local {
				p.zone = zone
			}
		}
	}
	if c, err := r.Cookie(keysCookie); err == nil && c.Value == "off" {
		p.keys = false
	}
	return p
}

// may says whether who asks has a role; buttons of what he may not do are not drawn.
func (p *page) may(role access.Role) bool { return p.actor.Role.May(role) }

// mayDecide is may for operators.
func (p *page) mayDecide() bool { return p.may(access.Operator) }

// link gives the URL of a path of the console, with parameters by pairs; those that are "" are left out.
func (p *page) link(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	to := p.s.BasePath + path
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	return to
}

// href is link for an attribute of a template. It is safe as it begins with BasePath and a slash.
func (p *page) href(path string, pairs ...string) templ.SafeURL {
	return templ.SafeURL(p.link(path, pairs...))
}

// with gives this page's URL with other parameters; a value of "" takes one away.
func (p *page) with(pairs ...string) templ.SafeURL {
	q := p.r.URL.Query()
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		} else {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	to := p.s.BasePath + p.r.URL.EscapedPath()
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	return templ.SafeURL(to)
}

// here is this page's path with its query, with BasePath.
func (p *page) here() string { return string(p.with()) }

// q gives a parameter of the query.
func (p *page) q(name string) string { return strings.TrimSpace(p.r.URL.Query().Get(name)) }

// paging reads the cursor.
func (p *page) paging(limit int) backend.Paging {
	return backend.Paging{Cursor: p.q("cursor"), Limit: limit}
}

// id reads a number from the path.
func (p *page) id(name string) (int64, error) {
	id, err := strconv.ParseInt(p.r.PathValue(name), 10, 64)
	if err != nil || id < 1 {
		return 0, problem.Field(name, errors.New("this is no number of one: they are 1 and above"))
	}
	return id, nil
}

func readAccount(field, text string) (uuid.UUID, error) {
	id, err := uuid.Parse(strings.TrimSpace(text))
	if err != nil {
		return uuid.Nil, problem.Field(field, errors.New("this is no account's id: they look like 7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"))
	}
	return id, nil
}

// when reads a time that a person or a link gave: RFC 3339, a day, or what <input type=datetime-local> gives, in the
// page's zone.
func (p *page) when(field, text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, p.zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, problem.Field(field, errors.New("this is no time: write a day, as 2026-11-27, or 2026-11-27T14:03:00Z"))
}

// zoneName is what the switch says.
func (p *page) zoneName() string {
	if p.zone == time.UTC {
		return "UTC"
	}
	return p.zone.String()
}

// clock gives the time of day.
func (p *page) clock(t time.Time) string { return t.In(p.zone).Format("15:04:05") }

// day gives a day as a heading says it.
func (p *page) day(t time.Time) string { return t.In(p.zone).Format("2 Jan 2006") }

// dateTime gives a time as a list says it.
func (p *page) dateTime(t time.Time) string { return t.In(p.zone).Format("2 Jan 2006, 15:04:05") }

// full gives all of a time, with its zone.
func (p *page) full(t time.Time) string { return t.In(p.zone).Format(time.RFC3339Nano) }

// ago says how long ago a time was, in one unit; of the future, how far off it is.
func (p *page) ago(t time.Time) string {
	d := p.now.Sub(t)
	if d < 0 {
		return "in " + span(-d)
	}
	if d < 5*time.Second {
		return "just now"
	}
	return span(d) + " ago"
}

// span says a duration in one unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d/time.Hour))
	case d < 90*24*time.Hour:
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	case d < 2*365*24*time.Hour:
		return fmt.Sprintf("%d months", int(d/(30*24*time.Hour)))
	default:
		return fmt.Sprintf("%d years", int(d/(365*24*time.Hour)))
	}
}

// number writes a count with thousands apart.
func number[T ~int | ~int32 | ~int64](n T) string {
	text := strconv.FormatInt(int64(n), 10)
	sign := ""
	if text[0] == '-' {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// bounded writes a count that stops at most.
func bounded[T ~int | ~int64](n, most T) string {
	if n >= most {
		return number(n) + "+"
	}
	return number(n)
}

// plural writes a count with its noun.
func plural[T ~int | ~int64](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// upTo writes a count that is at most so many, with its noun.
func upTo[T ~int | ~int64](n, most T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return bounded(n, most) + " " + many
}

// size writes a number of bytes.
func size(n int) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
}

// short is an account's name where it has one, else its id.
func short(name string, id uuid.UUID) string { return cmp.Or(name, id.String()) }
