package web

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/api"
)

// home says whether anything is wrong.
func (s *server) home(p *page) (templ.Component, error) {
	p.title, p.nav = "Home", "home"
	o, err := s.Backend.Overview(p.r.Context())
	if err != nil {
		return nil, err
	}
	views, err := s.Backend.SavedViews(p.r.Context())
	if err != nil {
		return nil, err
	}
	return homeView(p, o, attention(p, o), views), nil
}

// matter is one thing that wants somebody.
type matter struct {
	kind       string // bad or warn
	text, link string
}

// attention lists what is wrong, the worst first.
func attention(p *page, o api.Overview) (list []matter) {
	add := func(kind, link, text string) { list = append(list, matter{kind, text, link}) }
	for _, f := range o.FailedPulls {
		add("bad", p.link("/jobs"), "The "+f.Mode+" of "+f.Source+" ("+f.Stream+") failed")
	}
	for _, s := range o.Sources {
		if s.Stale {
			add("bad", p.link("/sources/"+s.Source), s.Source+" is silent for longer than on a normal day")
		}
		if s.Gap != nil && s.Gap.StillMissing > 0 {
			add("bad", p.link("/sources/"+s.Source), plural(s.Gap.StillMissing, "event of ", "events of ")+s.Source+" missing from the timelines")
		}
		if s.Learning != nil && s.Learning.Error != "" {
			add("warn", p.link("/sources/"+s.Source), "Learning from "+s.Source+" fails")
		}
	}
	if o.OpenQuarantine > 0 {
		add("warn", p.link("/quarantine"), records(o.OpenQuarantine)+" in quarantine, the oldest for "+span(p.now.Sub(o.OldestQuarantine)))
	}
	if o.FiringAlerts > 0 {
		add("bad", p.link("/alerts"), plural(o.FiringAlerts, "alert fires", "alerts fire"))
	}
	if o.OpenFindings > 0 {
		add("warn", p.link("/drift"), plural(o.OpenFindings, "finding of drift is open", "findings of drift are open"))
	}
	slices.SortStableFunc(list, func(a, b matter) int { return strings.Compare(a.kind, b.kind) })
	return list
}

func records(n int64) string {
	if n == 1 {
		return "1 record waits"
	}
	return bounded(n, 10_000) + " records wait"
}

// normal says how long a source is silent on a normal day.
func normal(seconds int64) string {
	if seconds == 0 {
		return "not known yet"
	}
	return "≤ " + span(time.Duration(seconds)*time.Second)
}

// rejected adds up what was rejected.
func rejected(by map[string]int64) (n int64) {
	for _, c := range by {
		n += c
	}
	return n
}

func highest(list []int64) int64 {
	if len(list) == 0 {
		return 0
	}
	return slices.Max(list)
}

func sum(list []int64) (n int64) {
	for _, c := range list {
		n += c
	}
	return n
}

// bar gives a bar's height of at most tall, and at least 2 where there is something.
func bar(n, highest int64, tall int) int {
	if n <= 0 || highest <= 0 {
		return 0
	}
	return max(2, int(n*int64(tall)/highest))
}

func itoa[T ~int | ~int64](n T) string { return strconv.FormatInt(int64(n), 10) }

// state gives the pill of a source.
func state(s api.SourceState) (kind, label string) {
	switch {
	case s.LastEvent == nil && s.OpenQuarantine > 0:
		return "warn", "None on a timeline yet, " + bounded(s.OpenQuarantine, 10_000) + " in quarantine"
	case s.LastEvent == nil:
		return "off", "No event yet"
	case s.Stale:
		return "bad", "Silent"
	case s.Gap != nil && s.Gap.StillMissing > 0:
		return "warn", "Gap"
	default:
		return "good", "Fresh"
	}
}
