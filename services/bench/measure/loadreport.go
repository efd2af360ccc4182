package measure

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/throughline-dev/throughline/services/bench/stage"
)

// write writes what the table of lines has no room for.
func (r *LoadRun) write(out io.Writer) {
	m := r.Mixed
	fmt.Fprintf(out, "\n%s; load average of the machine %.1f before, %.1f after\n", r.Name, r.LoadAverage[0], r.LoadAverage[1])
	fmt.Fprintf(out, "  %d events in %d deliveries, of which %d came twice; %d events were late; %d are in quarantine\n", m.Events, m.Deliveries, m.Twice, m.Late, m.Verdict.Quarantined)
	fmt.Fprintf(out, "  acknowledged: %d, %.0f/s; visible: %.0f/s, all after %.0f s\n", m.Acknowledged, float64(m.Acknowledged)/m.Posting, float64(m.Acknowledged)/m.Seconds, m.Seconds)
	fmt.Fprintf(out, "  ms, p50 / p99 / max: POST to 2xx %s; 2xx to visible %s\n", figures(m.Answered), figures(m.Shown))
	fmt.Fprintf(out, "  answers: %s\n", answers(m.Answers))
	fmt.Fprintf(out, "  %s", m.Verdict)
	if m.Given > 0 {
		fmt.Fprintf(out, "; %d events were refused and their vendors never come again", m.Given)
	}
	fmt.Fprintln(out)
	for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
		if labels, ok := strings.CutPrefix(name, rejectedMetric); ok {
			fmt.Fprintf(out, "  refused, as the receiver counts: %.0f %s\n", r.Metrics[name], labels)
		}
	}
	r.writeServices(out)
	r.writeDatabase(out)
	if r.Pressure != nil {
		r.Pressure.write(out)
	}
	r.writeFifths(out)
	for _, wrong := range r.Wrong {
		fmt.Fprintln(out, "WRONG: "+wrong)
	}
}

func figures(l stage.Latency) string { return fmt.Sprintf("%.0f / %.0f / %.0f", l.P50, l.P99, l.Max) }

func answers(all map[string]map[string]int) string {
	var parts []string
	for _, source := range slices.Sorted(maps.Keys(all)) {
		var of []string
		for _, status := range slices.Sorted(maps.Keys(all[source])) {
			of = append(of, fmt.Sprintf("%d × %s", all[source][status], status))
		}
		parts = append(parts, source+" "+strings.Join(of, " "))
	}
	return strings.Join(parts, ", ")
}

func newTable(out io.Writer, header ...any) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(header)
	var right []table.ColumnConfig
	for n := range len(header) - 1 {
		right = append(right, table.ColumnConfig{Number: n + 2, Align: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	return t
}

func (r *LoadRun) writeServices(out io.Writer) {
	t := newTable(out, "service", "MB before", "peak MB", "of its own", "MB at the end", "CPU µs/event")
	for _, s := range r.Services {
		t.AppendRow(table.Row{s.Name, megabytes(s.Began), megabytes(s.Peak), megabytes(s.Own), megabytes(s.Final), tenths(s.CPU / float64(max(1, r.Mixed.Acknowledged)) * 1e6)})
	}
	t.Render()
}

func (r *LoadRun) writeDatabase(out io.Writer) {
	t := newTable(out, "account_events", "before", "after")
	row := func(what string, format string, value func(Database) any) {
		t.AppendRow(table.Row{what, fmt.Sprintf(format, value(r.Before)), fmt.Sprintf(format, value(r.After))})
	}
	row("rows (statistics)", "%d", func(d Database) any { return d.Rows })
	row("table, MB", "%d", func(d Database) any { return d.TableBytes >> 20 })
	for _, index := range slices.Sorted(maps.Keys(r.After.Indexes)) {
		row(index+", MB", "%d", func(d Database) any { return d.Indexes[index] >> 20 })
	}
	row("database, MB", "%d", func(d Database) any { return d.DatabaseBytes >> 20 })
	row("pending pages of the payload's index", "%d", func(d Database) any { return d.PendingPages })
	row("dead rows", "%d", func(d Database) any { return d.DeadRows })
	row("autovacuums", "%d", func(d Database) any { return d.Autovacuums })
	row("last autovacuum", "%s", func(d Database) any {
		if d.LastAutovacuum == nil {
			return "never"
		}
		return d.LastAutovacuum.UTC().Format("15:04:05")
	})
	row("oldest snapshot, transactions ago", "%d", func(d Database) any { return d.HorizonAge })
	t.AppendRow(table.Row{"timeline of 90 days in SQL, p50 / p99 / max ms", timelines(r.Timelines[0]), timelines(r.Timelines[1])})
	t.AppendRow(table.Row{"its rows, in the middle / most", fmt.Sprintf("%.0f / %d", r.Timelines[0].Rows, r.Timelines[0].Most), fmt.Sprintf("%.0f / %d", r.Timelines[1].Rows, r.Timelines[1].Most)})
	t.Render()
	var pending, dead, horizon int64
	for _, m := range r.Moments {
		pending, dead, horizon = max(pending, m.Database.PendingPages), max(dead, m.Database.DeadRows), max(horizon, m.Database.HorizonAge)
	}
	fmt.Fprintf(out, "  at most, while it ran: %d pending pages, %d dead rows, oldest snapshot %d transactions ago\n", pending, dead, horizon)
}

func timelines(t Timeline) string { return fmt.Sprintf("%.2f / %.2f / %.2f", t.P50, t.P99, t.Max) }

func (p *Pressure) write(out io.Writer) {
	fmt.Fprintf(out, "  %s from second %.0f to %.0f; then %d acknowledged events were not visible; drained at second %.0f, %.0f s later, %.0f events/s\n",
		p.What, p.Began, p.Over, p.Backlog, p.Drained, p.Drained-p.Over, p.Rate)
	fmt.Fprintf(out, "  at most %d deliveries were to come again; the largest spool had %d KB on disk, of %d\n", p.Waiting, p.Spool>>10, p.Bound>>10)
	t := newTable(out, "resident, MB at most", "before", "while it lasted", "after")
	for _, name := range slices.Sorted(maps.Keys(p.Memory)) {
		of := p.Memory[name]
		t.AppendRow(table.Row{name, megabytes(of[0]), megabytes(of[1]), megabytes(of[2])})
	}
	t.Render()
}

// writeFifths puts the first fifth of the run's time beside each other fifth.
func (r *LoadRun) writeFifths(out io.Writer) {
	const parts = 5
	if len(r.Moments) < parts || len(r.Mixed.Stretches) < parts {
		return
	}
	t := newTable(out, "fifths of the time", "1", "2", "3", "4", "5")
	add := func(what string, value func(part int) string) {
		row := table.Row{what}
		for part := range parts {
			row = append(row, value(part))
		}
		t.AppendRow(row)
	}
	over := func(n, part int) (from, to int) { return n * part / parts, n * (part + 1) / parts }
	stretches := func(pick func(stage.Stretch) float64) func(int) string {
		return func(part int) string {
			var values []float64
			from, to := over(len(r.Mixed.Stretches), part)
			for _, s := range r.Mixed.Stretches[from:to] {
				values = append(values, pick(s))
			}
			return fmt.Sprintf("%.0f", median(values))
		}
	}
	moments := func(pick func(Moment) float64) func(int) string {
		return func(part int) string {
			var values []float64
			from, to := over(len(r.Moments), part)
			for _, m := range r.Moments[from:to] {
				values = append(values, pick(m))
			}
			return fmt.Sprintf("%.0f", median(values))
		}
	}
	add("POST to 2xx p99, ms", stretches(func(s stage.Stretch) float64 { return s.Answered.P99 }))
	add("2xx to visible p50, ms", stretches(func(s stage.Stretch) float64 { return s.Shown.P50 }))
	add("2xx to visible p99, ms", stretches(func(s stage.Stretch) float64 { return s.Shown.P99 }))
	add("acknowledged and not visible", stretches(func(s stage.Stretch) float64 { return float64(s.Backlog) }))
	for _, s := range r.Services {
		add(s.Name+", MB resident", moments(func(m Moment) float64 { return float64(m.Memory[s.Name]) / (1 << 20) }))
	}
	for _, group := range []string{"normalizer", "sink", "quarantine"} {
		add(group+", records behind", moments(func(m Moment) float64 { return float64(m.Lag[group]) }))
	}
	add("pending pages", moments(func(m Moment) float64 { return float64(m.Database.PendingPages) }))
	add("dead rows", moments(func(m Moment) float64 { return float64(m.Database.DeadRows) }))
	add("table and indexes, MB", moments(func(m Moment) float64 {
		bytes := m.Database.TableBytes
		for _, index := range m.Database.Indexes {
			bytes += index
		}
		return float64(bytes) / (1 << 20)
	}))
	add("load average", moments(func(m Moment) float64 { return m.LoadAverage }))
	t.Render()
}
