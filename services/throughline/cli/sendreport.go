package cli

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/throughline-dev/throughline/services/vendors/load"
)

// sentView is what was sent, as --json shows it.
type sentView struct {
	Source     string  `json:"source"`
	URL        string  `json:"url"`
	Seed       *uint64 `json:"seed,omitempty"`
	Events     int     `json:"events"`
	Deliveries int     `json:"deliveries"`
	Duplicates int     `json:"duplicates"`
	Late       int     `json:"late"`
	aboutView
	Answers []answerView `json:"answers"`
	Millis  latencyView  `json:"millis"`
	Seconds float64      `json:"seconds"`
	Landed  *landedView  `json:"landed,omitempty"`
}

// answerView is how often the receiver answered so.
type answerView struct {
	Status int    `json:"status"`
	Count  int    `json:"count"`
	Body   string `json:"body"`
}

// latencyView is in milliseconds, from a request to its whole answer.
type latencyView struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (v *sentView) take(r load.Report) {
	millis := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	v.Events, v.Deliveries, v.Duplicates, v.Late = r.Events, r.Deliveries, r.Duplicates, r.Late
	v.Millis, v.Seconds = latencyView{millis(r.P50), millis(r.P99), millis(r.Max)}, r.Took.Seconds()
	v.Answers = []answerView{}
	for _, a := range r.Answers {
		v.Answers = append(v.Answers, answerView{Status: a.Status, Count: a.Count, Body: a.Body})
	}
}

// show prints it: of one delivery its answer, of more a table.
func (v *sentView) show(s *session, asJSON bool) error {
	if asJSON {
		return writeJSON(s, *v)
	}
	type line struct{ what, value string }
	var lines []line
	if v.Deliveries == 1 {
		a := v.Answers[0]
		if _, err := fmt.Fprintf(s.Out, "%d %s  %s\n", a.Status, http.StatusText(a.Status), clean(a.Body)); err != nil {
			return err
		}
	} else {
		lines = append(lines, line{"sent", fmt.Sprintf("%s in %d deliveries: %s, %d late", plural(int64(v.Events), "event"), v.Deliveries,
			plural(int64(v.Duplicates), "duplicate"), v.Late)})
		for _, a := range v.Answers {
			lines = append(lines, line{strconv.Itoa(a.Status) + " " + http.StatusText(a.Status), fmt.Sprintf("%d × %s", a.Count, a.Body)})
		}
		lines = append(lines, line{"answered in", fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, at most %.1f ms", v.Millis.P50, v.Millis.P99, v.Millis.Max)},
			line{"took", fmt.Sprintf("%.1f s, %.0f events/s", v.Seconds, float64(v.Events)/v.Seconds)})
		if v.Seed != nil {
			lines = append(lines, line{"seed", strconv.FormatUint(*v.Seed, 10)})
		}
	}
	if v.Landed != nil {
		lines = append(lines, line{"landed", v.Landed.words()})
	}
	if len(lines) == 0 {
		return nil
	}
	w := s.newTable()
	for _, l := range lines {
		w.AppendRow([]any{l.what, s.cell(l.value, false)})
	}
	_, err := fmt.Fprintln(s.Out, w.Render())
	return err
}
