package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pattern"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// asked is what the page of patterns shows.
type asked struct {
	text, since  string
	answer       *api.PatternAnswer // nil: nothing was asked, or it is wrong
	wrong        string             // what is wrong
	before, rest string             // of the text, around the place where it is
	placed       bool
}

// lookBack is how far back a pattern may look.
var lookBack = []struct {
	value, label string
	days         int // 0: all
}{{"30d", "30 days", 30}, {"90d", "90 days", 90}, {"1y", "A year", 365}, {"2y", "Two years", 730}, {"all", "All time", 0}}

// examplePatterns are offered where nothing was asked.
var examplePatterns = []struct{ title, text string }{
	{"Lost after a dispute that nobody talked about", "charge.dispute.created, then 30 days without conversation.*, then subscription.deleted within 120 days"},
	{"Two failed payments, and still there", "now invoice.payment_failed, then invoice.payment_failed within 40 days, then subscription.deleted within 30 days"},
	{"A ticket that waits for an answer", "now ticket.created, then 72 hours without ticket.replied or ticket.closed"},
	{"Left, and came back", "subscription.deleted, then subscription.created within 52 weeks"},
}

// patterns looks for accounts that went a way.
func (s *server) patterns(p *page) (templ.Component, error) {
	p.title, p.nav = "Patterns", "patterns"
	a := asked{text: p.q("pattern"), since: one(p.q("since"), "1y", "30d", "90d", "2y", "all")}
	if a.text == "" {
		return patternsView(p, a), nil
	}
	var since time.Time
	for _, x := range lookBack {
		if x.value == a.since && x.days > 0 {
			since = p.now.AddDate(0, 0, -x.days)
		}
	}
	found, err := s.Backend.Pattern(p.r.Context(), a.text, since, 100)
	switch {
	case err == nil:
		a.answer = &found
	case fault.IsPermanent(err) && fault.ReasonOf(err) == fault.Malformed:
		a.wrong = problem.From(err).Detail
		a.before, a.rest, a.placed = pattern.Position(a.text, err)
	default:
		return nil, err
	}
	return patternsView(p, a), nil
}

// chartMonths gives the months of a chart, the oldest first, those without a match too, at most the newest 36.
func chartMonths(list []api.PatternMonth) (months []api.PatternMonth) {
	if len(list) == 0 {
		return nil
	}
	counted := map[string]api.PatternMonth{}
	for _, m := range list {
		counted[m.Month] = m
	}
	at, err := time.Parse("2006-01", list[0].Month)
	for ; err == nil && len(months) < 36; at = at.AddDate(0, -1, 0) {
		name := at.Format("2006-01")
		m := counted[name]
		m.Month = name
		months = append(months, m)
		if name <= list[len(list)-1].Month {
			break
		}
	}
	slices.Reverse(months)
	return months
}

// monthName says a month as people do.
func monthName(month string) string {
	at, err := time.Parse("2006-01", month)
	if err != nil {
		return month
	}
	return at.Format("Jan 2006")
}

func most(months []api.PatternMonth) (n int64) {
	for _, m := range months {
		n = max(n, m.Matches)
	}
	return n
}

func matchesOf(months []api.PatternMonth) (n int64) {
	for _, m := range months {
		n += m.Matches
	}
	return n
}

// chartLabel says what the chart shows.
func chartLabel(months []api.PatternMonth) string {
	return fmt.Sprintf("Matches by month, from %s to %s: %s, at most %s in a month. The table has the numbers.",
		monthName(months[0].Month), monthName(months[len(months)-1].Month), plural(matchesOf(months), "match", "matches"), number(most(months)))
}

// firstWord gives what stands at the place of an error.
func firstWord(rest string) string {
	if end := strings.IndexAny(rest, " \t\n,"); end > 0 {
		return rest[:end]
	}
	if strings.IndexAny(rest, " \t\n,") == 0 { // a comma
		return rest[:1]
	}
	return rest
}

func afterFirstWord(rest string) string { return rest[len(firstWord(rest)):] }
