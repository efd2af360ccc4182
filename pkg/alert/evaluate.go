package alert

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/quarantine"
)

// Condition is one thing that a rule has found.
type Condition struct {
	Rule     string
	Key      string // which of the rule's: a source, a finding; it is the same as long as it is the same thing
	Source   string // "": it is of no source
	Severity Severity
	Summary  string // one line, harmless wherever it is shown
}

const (
	// mostOf bounds the conditions of one rule.
	mostOf = 1000
	// givenUp is when nobody goes on with a pull any more.
	givenUp = 7 * 24 * time.Hour
)

// Evaluate finds what the rules are about, ordered by rule and key. known says of which rules the snapshot can tell: of
// the others nothing is said, and what is alerted on stays.
func (r Rules) Evaluate(s Snapshot) (found []Condition, known map[string]bool) {
	known = map[string]bool{}
	for _, rule := range r.Rules {
		if !rule.Enabled {
			continue
		}
		conditions, can := rule.evaluate(s)
		known[rule.Name] = can
		slices.SortFunc(conditions, func(a, b Condition) int { return cmp.Compare(a.Key, b.Key) })
		for _, c := range conditions[:min(len(conditions), mostOf)] {
			c.Rule, c.Severity = rule.Name, rule.Severity
			found = append(found, c)
		}
	}
	return found, known
}

// evaluate gives the rule's conditions; false: the snapshot does not tell.
func (r Rule) evaluate(s Snapshot) (found []Condition, known bool) {
	add := func(key, source, format string, args ...any) {
		found = append(found, Condition{Key: Harmless(key, maxName), Source: plain(source), Summary: summary(format, args...)})
	}
	switch r.Name {
	case QuarantineCount:
		if s.Open > r.Count {
			more := ""
			if s.Open >= quarantine.MostCounted {
				more = " or more"
			}
			add("", "", "%d%s records wait in quarantine; the bound is %d: throughline quarantine list", s.Open, more, r.Count)
		}
	case QuarantineAge:
		if age := s.At.Sub(s.Oldest); !s.Oldest.IsZero() && age > r.Age {
			add("", "", "a record has waited in quarantine for %s; the bound is %s: throughline alerts report", Long(age), Long(r.Age))
		}
	case SourceSilent:
		r.silent(s, add)
	case EventsMissing:
		for _, g := range s.Gaps {
			switch {
			case g.Failed:
				add(g.Source+" "+g.Stream, g.Source, "the comparison of %s %s with the vendor failed: throughline gaps --source %s", plain(g.Source), plain(g.Stream), plain(g.Source))
			case g.Missing > r.Count:
				add(g.Source+" "+g.Stream, g.Source, "%s of %s %s that the vendor has are not here: throughline gaps --source %s", plural(g.Missing, "event"), plain(g.Source), plain(g.Stream), plain(g.Source))
			}
		}
	case Drift:
		for _, f := range s.Findings {
			add(fmt.Sprintf("finding %d", f.ID), f.Source, "%s %s: %s %s, read by %s: throughline drift list --read", plain(f.Source), plain(f.EventType), plain(cmp.Or(f.Path, "the event")),
				strings.ReplaceAll(f.Found, "_", " "), some(f.Readers))
		}
	case BackfillFailed, PollFailed:
		for _, p := range s.Pulls {
			if p.Backfill == (r.Name == BackfillFailed) && s.At.Sub(p.Updated) < givenUp {
				what := "poll"
				if p.Backfill {
					what = "backfill"
				}
				state := "failed"
				if p.Status != "failed" {
					state = "was interrupted"
				}
				add(p.Source+" "+p.Stream, p.Source, "the %s of %s %s %s: throughline pulls list", what, plain(p.Source), plain(p.Stream), state)
			}
		}
		found = slices.CompactFunc(sorted(found), func(a, b Condition) bool { return a.Key == b.Key })
	case PullPaused:
		for _, p := range s.Pauses {
			if left := p.Until.Sub(s.At); left > r.Age {
				add(p.Source, p.Source, "%s has asked not to be called for another %s: throughline pulls list", plain(p.Source), Long(left))
			}
		}
		found = slices.CompactFunc(sorted(found), func(a, b Condition) bool { return a.Key == b.Key })
	default:
		known = s.Metrics != nil && r.tells(s.Metrics)
		if known {
			r.onPages(s.Metrics, add)
		}
		return found, known
	}
	return found, true
}

func sorted(found []Condition) []Condition {
	slices.SortFunc(found, func(a, b Condition) int { return cmp.Compare(a.Key, b.Key) })
	return found
}

func (r Rule) silent(s Snapshot, add func(key, source, format string, args ...any)) {
	for name, seen := range s.Sources {
		silence := s.At.Sub(seen.Last)
		bound, own := r.Sources[name]
		switch {
		case own && (bound == 0 || silence <= bound), !own && seen.Normal == 0:
			continue
		case own:
			add(name, name, "no event of %s for %s; the bound is %s: throughline connect %[1]s", plain(name), Long(silence), Long(bound))
		default:
			if silence > max(r.Least, time.Duration(r.Factor*float64(seen.Normal))) {
				add(name, name, "no event of %s for %s; normal: %s at most: throughline connect %[1]s", plain(name), Long(silence), Long(seen.Normal))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Sources)) {
		if _, seen := s.Sources[name]; !seen && r.Sources[name] > 0 {
			add(name, name, "no event of %s was ever stored, and alerts are set for it: throughline connect %[1]s", plain(name))
		}
	}
}

// tells reports whether the pages that answered tell what the rule is about.
func (r Rule) tells(m *Metrics) bool {
	switch r.Name {
	case TimelineLate:
		return m.LateKnown && m.Services["sink"] > 0
	case DeletedUnread:
		stages := 0
		for _, stage := range deletedStages() {
			stages += m.Services[stage]
		}
		return len(m.Deleted) > 0 || stages > 0 && len(m.Unreachable) == 0
	case SinkHeld:
		return m.Services["sink"] > 0 && (len(m.Unreachable) == 0 || m.Held > 0)
	case Keeper:
		return m.Services["sink"] > 0 && len(m.Unreachable) == 0
	case Spool:
		return m.Services["receiver"] > 0 && len(m.Unreachable) == 0
	case Signatures:
		return m.RatesKnown && m.Services["receiver"] > 0
	}
	return true
}

func (r Rule) onPages(m *Metrics, add func(key, source, format string, args ...any)) {
	switch r.Name {
	case TimelineLate:
		if m.Late > r.Age {
			add("", "", "events reach the timeline %s after their receipt; the bound is %s: throughline doctor", Long(m.Late), Long(r.Age))
		}
	case DeletedUnread:
		for _, d := range m.Deleted {
			add(d.Stage+" "+d.Topic, d.source(), "the brokers deleted %s of %s before the %s had read them: throughline reconcile %s", plural(int64(d.Records), "record"), plain(d.Topic), d.Stage,
				plain(cmp.Or(d.source(), "SOURCE")))
		}
	case SinkHeld:
		if m.Held > 0 {
			add("", "", "the sink holds %s, because Postgres refuses row after row: throughline doctor", plural(int64(m.Held), "partition"))
		}
	case Keeper:
		if m.Keepers != 1 {
			add("", "", "%s the payload index's pending list; it should be one: throughline doctor", map[bool]string{true: "no sink merges", false: "several sinks merge"}[m.Keepers < 1])
		}
	case Spool:
		for source, n := range m.Spooled {
			if n > 0 {
				add(source, source, "%d deliveries of %s wait on the receiver's disk: throughline doctor", int64(n), plain(source))
			}
		}
	case Signatures:
		for source, n := range m.Unauthenticated {
			if int64(n) > r.Count {
				add(source, source, "%d deliveries of %s in 15 minutes have a wrong signature: throughline connect %[2]s", int64(n), plain(source))
			}
		}
	case MetricsUnreachable:
		for _, address := range m.Unreachable {
			add(address, "", "the admin address %s does not answer: throughline doctor", plain(address))
		}
	}
}

// some gives the first names of a list, and how many there are beside.
func some(names []string) string {
	const few = 3
	var shown []string
	for _, name := range names[:min(few, len(names))] {
		shown = append(shown, plain(name))
	}
	text := strings.Join(shown, ", ")
	if more := len(names) - few; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
