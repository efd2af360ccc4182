package web

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// The bounds of a timeline's page.
const (
	eventsAPage = 60
	spans       = 96 // of the strip
	foldFrom    = 4  // events of one type in a row are folded
)

// timelineOf is what a timeline's page shows.
type timelineOf struct {
	account   api.AccountSummary
	strip     api.Density
	days      []day
	next      string
	ascending bool
	at        time.Time
	sources   []string
	types     []string
	open      *api.Event // the event in the panel
	newest    string     // where the live tail goes on, where the page begins with the newest event
}

// day is the events of one day, as they stand on a page.
type day struct {
	weekday, title string
	runs           []run
}

// run is events of one source and type that follow each other.
type run struct{ events []api.EventLine }

// folded says that only its first and last are shown.
func (r run) folded() bool { return len(r.events) >= foldFrom }

// timeline opens at the newest event, whatever its age.
func (s *server) timeline(p *page) (templ.Component, error) {
	p.nav, p.wide = "accounts", true
	id, err := readAccount("account", p.r.PathValue("account"))
	if err != nil {
		return nil, err
	}
	ctx := p.r.Context()
	if p.r.Header.Get(fragmentHeader) == "panel" {
		return s.panel(p)
	}
	t := timelineOf{ascending: p.q("order") == "asc"}
	var q backend.TimelineQuery
	if t.account, err = s.Backend.Account(ctx, id); err != nil {
		return nil, err
	}
	p.title = t.account.Name
	if q, t.at, err = p.timelineQuery(id); err != nil {
		return nil, err
	}
	if q.Until.IsZero() && q.Cursor == "" && !t.ascending {
		p.live = true
		// Before the events are read: what comes meanwhile is told once more, and the page knows it.
		if t.newest, err = s.Backend.TailPlace(ctx); err != nil {
			return nil, err
		}
	}
	found, err := s.Backend.Timeline(ctx, q)
	if err != nil {
		return nil, err
	}
	if t.strip, err = s.Backend.Density(ctx, id, q.Source, q.Type, spans); err != nil {
		return nil, err
	}
	if p.q("event") != "" {
		if t.open, err = s.opened(p); err != nil {
			return nil, err
		}
	}
	t.next = found.Next
	t.days = p.days(found.Items)
	t.sources, t.types = choices(found.Items, q.Source, q.Type)
	return timelineView(p, t), nil
}

// timelineQuery is what the page asks of an account's events, and the time that it jumps to.
func (p *page) timelineQuery(id uuid.UUID) (q backend.TimelineQuery, at time.Time, err error) {
	q = backend.TimelineQuery{Account: id, Newest: p.q("order") != "asc", Source: p.q("source"), Type: p.q("type"), WithoutBodies: true, Paging: p.paging(eventsAPage)}
	if q.Since, err = p.when("since", p.q("since")); err != nil {
		return q, at, err
	}
	if q.Until, err = p.when("until", p.q("until")); err != nil {
		return q, at, err
	}
	if at, err = p.when("at", p.q("at")); err != nil {
		return q, at, err
	}
	switch {
	case at.IsZero():
	case !q.Newest:
		q.Since = at
	case len(p.q("at")) == len("2006-01-02"): // a day: with all of it
		q.Until = at.AddDate(0, 0, 1)
	default:
		q.Until = at.Add(time.Microsecond) // Postgres' resolution: with what occurred then
	}
	return q, at, nil
}

// panel is the event of a timeline's side alone.
func (s *server) panel(p *page) (templ.Component, error) {
	e, err := s.opened(p)
	if err != nil {
		return nil, err
	}
	p.title = said(e.EventType)
	return eventPanel(p, *e), nil
}

// opened reads the event that the address names.
func (s *server) opened(p *page) (*api.Event, error) {
	id, err := strconv.ParseInt(p.q("event"), 10, 64)
	if err != nil || id < 1 {
		return nil, problem.Field("event", errors.New("this is no event's number: they are 1 and above"))
	}
	e, err := s.Backend.Event(p.r.Context(), id)
	if err != nil {
		return nil, err
	}
	return &e, nil
}

// days puts events under the headings of their days, with runs of one type together.
func (p *page) days(events []api.Event) (list []day) {
	for _, e := range events {
		line := api.EventLine{ID: e.ID, OccurredAt: e.OccurredAt, IngestedAt: e.IngestedAt, Source: e.Source, EventType: e.EventType, Subject: e.Subject}
		title := p.day(e.OccurredAt)
		if len(list) == 0 || list[len(list)-1].title != title {
			list = append(list, day{weekday: e.OccurredAt.In(p.zone).Format("Mon"), title: title})
		}
		d := &list[len(list)-1]
		if n := len(d.runs); n > 0 && d.runs[n-1].events[0].Source == e.Source && d.runs[n-1].events[0].EventType == e.EventType {
			d.runs[n-1].events = append(d.runs[n-1].events, line)
		} else {
			d.runs = append(d.runs, run{[]api.EventLine{line}})
		}
	}
	return list
}

// choices gives what the filters offer: what is on the page and known sources.
func choices(events []api.Event, chosen, chosenType string) (sources, types []string) {
	sources = catalog.Set().Names()
	for _, e := range events {
		sources, types = append(sources, e.Source), append(types, e.EventType)
	}
	if chosen != "" {
		sources = append(sources, chosen)
	}
	if chosenType != "" {
		types = append(types, chosenType)
	}
	slices.Sort(sources)
	slices.Sort(types)
	return slices.Compact(sources), slices.Compact(types)
}

// spanAt gives when a span of the strip begins.
func spanAt(d api.Density, i int) time.Time {
	return d.From.Add(time.Duration(float64(d.To.Sub(d.From)) * float64(i) / float64(max(1, len(d.Spans)))))
}

// stripBar gives a bar's height by the root of the count, so that a single event is seen beside thousands.
func stripBar(n, highest int64) int {
	if n <= 0 {
		return 0
	}
	return max(4, int(48*math.Sqrt(float64(n)/float64(max(1, highest)))))
}

// initial is what an avatar shows.
func initial(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return strings.ToUpper(string(r))
		}
	}
	return "?"
}

// permalink leads to an event where it stands on its timeline.
func (p *page) permalink(account string, e api.EventLine) string {
	return p.link("/accounts/"+account, "at", e.OccurredAt.UTC().Format(time.RFC3339Nano), "event", itoa(e.ID)) + "#e" + itoa(e.ID)
}

// filtered says that a timeline shows only a part.
func (p *page) filtered() bool {
	return cmp.Or(p.q("source"), p.q("type"), p.q("since"), p.q("until")) != ""
}

// eventHref opens an event beside the list that the page shows.
func (p *page) eventHref(account string, e api.EventLine) templ.SafeURL {
	if p.r.URL.Path == "/accounts/"+account {
		return p.with("event", itoa(e.ID))
	}
	return templ.SafeURL(p.permalink(account, e))
}

func lineOf(e api.Event) api.EventLine {
	return api.EventLine{ID: e.ID, OccurredAt: e.OccurredAt, IngestedAt: e.IngestedAt, Source: e.Source, EventType: e.EventType, Subject: e.Subject}
}

func earlier(r run) time.Time {
	first, last := r.events[0].OccurredAt, r.events[len(r.events)-1].OccurredAt
	if last.Before(first) {
		return last
	}
	return first
}

func later(r run) time.Time {
	first, last := r.events[0].OccurredAt, r.events[len(r.events)-1].OccurredAt
	if last.Before(first) {
		return first
	}
	return last
}

// dayOf is what <input type=date> takes.
func dayOf(p *page, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(p.zone).Format("2006-01-02")
}

// sourceNames gives the sources that a filter offers.
func sourceNames(chosen string) []string {
	names, _ := choices(nil, chosen, "")
	return names
}
