package prove

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Result is what was seen of a fault, of all the times that it was made.
type Result struct {
	Name     string
	Times    int
	Statuses map[int]int   // how often vendors were answered so; 0: no answer
	P50, P99 time.Duration // from an acknowledgement to the row, of what was acknowledged during the fault; the worst time's
	// Recovered is how long after the end of the fault all was visible that was acknowledged by then; the longest time's.
	Recovered time.Duration
	Said      []string // what /readyz?verbose said
}

// Add adds what was seen another time.
func (r *Result) Add(other Result) {
	r.Times += other.Times
	r.P50, r.P99, r.Recovered = max(r.P50, other.P50), max(r.P99, other.P99), max(r.Recovered, other.Recovered)
	if r.Statuses == nil {
		r.Statuses = map[int]int{}
	}
	for status, n := range other.Statuses {
		r.Statuses[status] += n
	}
	for _, text := range other.Said {
		if !slices.Contains(r.Said, text) {
			r.Said = append(r.Said, text)
		}
	}
}

// Answers is how vendors were answered: "200 × 940, 503 × 12, no answer × 3".
func (r Result) Answers() string {
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(r.Statuses)) {
		if status != 0 {
			parts = append(parts, fmt.Sprintf("%d × %d", status, r.Statuses[status]))
		}
	}
	if n := r.Statuses[0]; n > 0 {
		parts = append(parts, fmt.Sprintf("no answer × %d", n))
	}
	return strings.Join(parts, ", ")
}

// mostSaid bounds what a row of the table quotes.
const mostSaid = 3

// Table gives the results as a table of Markdown.
func Table(results []Result) string {
	var text strings.Builder
	text.WriteString("| fault | times | vendors were answered | p50, p99 to visible | all visible after | what an operator reads |\n|---|---|---|---|---|---|\n")
	for _, r := range results {
		said := r.Said[:min(len(r.Said), mostSaid)]
		for i := range said {
			said[i] = "`" + strings.NewReplacer("|", `\|`, "`", "'", "\n", " ").Replace(said[i]) + "`"
		}
		if len(said) == 0 {
			said = []string{"–"}
		}
		fmt.Fprintf(&text, "| %s | %d | %s | %s, %s | %s | %s |\n", r.Name, r.Times, r.Answers(), seconds(r.P50), seconds(r.P99), seconds(r.Recovered), strings.Join(said, "; "))
	}
	return text.String()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// The lines of a page between which Replace writes.
const (
	begin = "<!-- made by make prove -->"
	end   = "<!-- end -->"
)

// Replace puts text between the two comments of a page, in the place of what is there.
func Replace(page, text string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	before, rest, begun := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		return errors.New("the page has no " + begin + " … " + end)
	}
	return os.WriteFile(page, []byte(before+begin+"\n"+strings.TrimSpace(text)+"\n"+end+after), 0o644)
}
