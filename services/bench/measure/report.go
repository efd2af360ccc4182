package measure

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/throughline-dev/throughline/services/bench/stage"
)

// Report is what a run found.
type Report struct {
	Broker   string    `json:"broker"`
	CPUs     int       `json:"cpus"`
	Began    time.Time `json:"began"`
	Rounds   int       `json:"rounds"`
	Settings string    `json:"settings"`
	Lines    []*Line   `json:"lines"`
	// Acknowledged is POST to 2xx while the whole pipeline ran at its steady rate.
	Acknowledged stage.Latency `json:"acknowledged_ms"`
	// Lost counts events that were acknowledged and never became visible: always 0.
	Lost int `json:"lost"`
	// Release is what a release was like, where one was measured.
	Release *Release `json:"release,omitempty"`
	// Loads are those of all sources through the whole system.
	Loads []*LoadRun `json:"loads,omitempty"`
}

// wrong is an error when something is that must not be.
func (r *Report) wrong() error {
	var errs []error
	for _, run := range r.Loads {
		for _, wrong := range run.Wrong {
			errs = append(errs, errors.New(wrong))
		}
	}
	return errors.Join(errs...)
}

// Line is one comparison.
type Line struct {
	Stage string  `json:"stage"`
	Unit  string  `json:"unit"`
	Ours  *Side   `json:"ours"`
	Limit *Side   `json:"limit"`
	Ratio float64 `json:"ratio"` // the median of the rounds' ratios; 0: no limit
	Aim   float64 `json:"aim,omitempty"`
}

// Side is one side of a comparison, by round.
type Side struct {
	Rates     []float64       `json:"rates,omitempty"`
	Latencies []stage.Latency `json:"latencies_ms,omitempty"`
	PeakBytes int64           `json:"peak_bytes,omitempty"`       // the largest of all rounds
	Memory    []int64         `json:"memory_bytes,omitempty"`     // of the last round, resident at each tenth of it
	Skipped   int             `json:"skipped,omitempty"`          // live tails: what they were told that they were too slow for
	CPU       []float64       `json:"cpu_microseconds,omitempty"` // of its own process, per request, record, row or event
}

func newReport(c *Command) *Report {
	return &Report{
		Broker: c.Broker, CPUs: runtime.NumCPU(), Began: time.Now().UTC(), Rounds: c.Rounds,
		Settings: fmt.Sprintf("%d connections for %s; %d records; %d rows, %d grown; %d accounts", c.Connections, c.Duration, c.Records, c.SinkRecords, c.Rows, c.Accounts),
	}
}

// unitEvents is the unit of the lines of the whole pipeline.
const unitEvents = "events/s"

// line adds a line.
func (r *Report) line(stage, unit string, aim float64) *Line {
	l := &Line{Stage: stage, Unit: unit, Ours: &Side{}, Limit: &Side{}, Aim: aim}
	r.Lines = append(r.Lines, l)
	return l
}

// side is Ours for 0, else Limit.
func (l *Line) side(n int) *Side {
	if n == 0 {
		return l.Ours
	}
	return l.Limit
}

// add is told a round: its rate, and how many items the process did in all.
func (s *Side) add(rate float64, latency stage.Latency, r stage.Result, items int) {
	s.Rates = append(s.Rates, rate)
	if latency != (stage.Latency{}) {
		s.Latencies = append(s.Latencies, latency)
	}
	s.used(r, items)
}

// used is told what the process of a round took for how many items; none: not its CPU.
func (s *Side) used(r stage.Result, items int) {
	if items > 0 {
		s.CPU = append(s.CPU, r.CPU/float64(items)*1e6)
	}
	s.PeakBytes = max(s.PeakBytes, r.PeakBytes)
}

// finish computes the ratios, round by round: what disturbs the machine for
// longer than a run disturbs both sides of a round.
func (r *Report) finish() {
	for _, l := range r.Lines {
		var ratios []float64
		for i := range min(len(l.Ours.Rates), len(l.Limit.Rates)) {
			if limit := l.Limit.Rates[i]; limit > 0 { // a starved machine may answer nothing in a short run
				ratios = append(ratios, l.Ours.Rates[i]/limit)
			}
		}
		l.Ratio = median(ratios)
	}
}

// steadyRate is the rate of the middle eight tenths: without the group's
// forming, and without the end, when one worker may have run out.
func steadyRate(samples []stage.Sample) float64 {
	if len(samples) == 0 {
		return 0
	}
	total := float64(samples[len(samples)-1].Records)
	return rate(samples, total*0.1, total*0.9)
}

// rate is records per second between two counts; since the beginning when both
// fell into one batch.
func rate(samples []stage.Sample, from, to float64) float64 {
	if took := when(samples, to) - when(samples, from); took > 0 {
		return (to - from) / took
	}
	return to / max(when(samples, to), 0.001) // few may be there at once
}

// when is the time at which a count was reached, between two samples in proportion.
func when(samples []stage.Sample, count float64) float64 {
	i := sort.Search(len(samples), func(i int) bool { return float64(samples[i].Records) >= count })
	if i == len(samples) {
		return math.NaN()
	}
	var before stage.Sample
	if i > 0 {
		before = samples[i-1]
	} else {
		return samples[0].Seconds
	}
	share := (count - float64(before.Records)) / float64(samples[i].Records-before.Records)
	return before.Seconds + share*(samples[i].Seconds-before.Seconds)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// write writes the table.
func (r *Report) write(out io.Writer) {
	broker := "Apache Kafka"
	if r.Broker == "embedded" {
		broker = "the embedded broker"
	}
	fmt.Fprintf(out, "%s, %d CPUs, %s, medians of %d rounds; %s\n", broker, r.CPUs, r.Began.Format(time.DateTime+" UTC"), r.Rounds, r.Settings)
	t := table.NewWriter()
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault // upper case would make another letter of µ
	t.AppendHeader(table.Row{"stage", "ours", "limit", "unit", "ratio", "aim", "ours p50/p95/p99/max ms", "limit p50/p95/p99/max ms", "CPU µs", "limit's", "peak MB", "limit's"})
	var right []table.ColumnConfig
	for _, n := range []int{2, 3, 5, 6, 7, 8, 9, 10, 11, 12} {
		right = append(right, table.ColumnConfig{Number: n, Align: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	for _, l := range r.Lines {
		t.AppendRow(table.Row{
			l.Stage, whole(median(l.Ours.Rates)), whole(median(l.Limit.Rates)), l.Unit, hundredths(l.Ratio), hundredths(l.Aim),
			l.Ours.latency(), l.Limit.latency(),
			tenths(median(l.Ours.CPU)), tenths(median(l.Limit.CPU)), megabytes(l.Ours.PeakBytes), megabytes(l.Limit.PeakBytes),
		})
	}
	t.Render()
	for _, l := range r.Lines {
		l.writeMemory(out)
		if l.Ours.Skipped > 0 {
			fmt.Fprintf(out, "%s: %d were not told one by one, as a tail was too slow for them.\n", l.Stage, l.Ours.Skipped)
		}
	}
	if r.Release != nil {
		r.Release.write(out)
	}
	for _, run := range r.Loads {
		run.write(out)
	}
	if r.Acknowledged != (stage.Latency{}) {
		fmt.Fprintf(out, "POST to 2xx at the steady rate: p50 %.1f ms, p99 %.1f ms, max %.1f ms.\n", r.Acknowledged.P50, r.Acknowledged.P99, r.Acknowledged.Max)
	}
	if slices.ContainsFunc(r.Lines, func(l *Line) bool { return l.Unit == unitEvents && l.Limit.Rates == nil }) {
		fmt.Fprintf(out, "Acknowledged events that are not on the timeline: %d.\n", r.Lost)
	}
}

// latency gives the medians of the rounds' figures.
func (s *Side) latency() string {
	if len(s.Latencies) == 0 {
		return ""
	}
	var figures []string
	for _, pick := range []func(stage.Latency) float64{
		func(l stage.Latency) float64 { return l.P50 }, func(l stage.Latency) float64 { return l.P95 }, func(l stage.Latency) float64 { return l.P99 }, func(l stage.Latency) float64 { return l.Max },
	} {
		var values []float64
		for _, l := range s.Latencies {
			values = append(values, pick(l))
		}
		figures = append(figures, fmt.Sprintf("%.1f", median(values)))
	}
	return strings.Join(figures, " / ")
}

func whole(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", v)
}

func tenths(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", v)
}

func hundredths(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", v)
}

func megabytes(v int64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", float64(v)/(1<<20))
}
