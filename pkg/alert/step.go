package alert

import (
	"cmp"
	"slices"
	"time"
)

// Phase is where an alert is.
type Phase string

// The phases.
const (
	Pending  Phase = "pending" // it has not held for as long as the rule asks
	Firing   Phase = "firing"
	Resolved Phase = "resolved" // it fired, and is over
)

// State is one alert.
type State struct {
	Condition
	State Phase
	Since time.Time // in this phase
	Began time.Time // found first
	Seen  time.Time // found last
}

// keepResolved is how long one that is over is shown.
const keepResolved = 7 * 24 * time.Hour

// Step brings alerts up to date with what the rules have found, in the order of rule and key. A rule of which nothing is
// known keeps its alerts; those of one that is switched off are over.
func (r Rules) Step(now time.Time, old []State, found []Condition, known map[string]bool) (all []State) {
	before := map[[2]string]State{}
	for _, s := range old {
		before[[2]string{s.Rule, s.Key}] = s
	}
	for _, c := range found {
		key := [2]string{c.Rule, c.Key}
		s, was := before[key]
		delete(before, key)
		if !was || s.State == Resolved {
			s = State{State: Pending, Since: now, Began: now}
		}
		s.Condition, s.Seen = c, now
		if rule := r.Find(c.Rule); s.State == Pending && now.Sub(s.Began) >= rule.For {
			s.State, s.Since = Firing, now
		}
		all = append(all, s)
	}
	for _, s := range before {
		rule := r.Find(s.Rule)
		on := rule != nil && rule.Enabled
		switch {
		case s.State == Resolved:
			if now.Sub(s.Since) > keepResolved {
				continue
			}
		case on && !known[s.Rule]:
		case s.State == Pending:
			continue
		case !on || now.Sub(s.Seen) >= r.ResolveAfter:
			s.State, s.Since = Resolved, now
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b State) int { return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Key, b.Key)) })
	return all
}

// Silence keeps alerts from being told.
type Silence struct {
	ID      int64
	Rule    string // "": any
	Source  string // "": any
	Until   time.Time
	Comment string
	By      string
	Created time.Time
	EndedBy string
}

// Covers reports whether an alert is silent now.
func (s Silence) Covers(c Condition, now time.Time) bool {
	return now.Before(s.Until) && s.EndedBy == "" && (s.Rule == "" || s.Rule == c.Rule) && (s.Source == "" || s.Source == c.Source)
}

// Told is what a receiver was told of an alert last.
type Told struct {
	State Phase // Firing or Resolved
	At    time.Time
}

// due is what a receiver is to be told.
type due struct {
	Firing, Resolved []State
	// quiet were never told and are over, while they were silenced: they count as told.
	quiet []State
}

func (d due) empty() bool { return len(d.Firing)+len(d.Resolved) == 0 }

// due gives what a receiver has not been told of what it is to know. since is when the receiver was configured: what was over
// by then is not told.
func (r Rules) due(now time.Time, receiver string, since time.Time, all []State, told map[[2]string]Told, silences []Silence) (d due) {
	for _, s := range all {
		if !r.Tells(receiver, s.Rule, s.Severity) {
			continue
		}
		last := told[[2]string{s.Rule, s.Key}]
		silent := slices.ContainsFunc(silences, func(q Silence) bool { return q.Covers(s.Condition, now) })
		switch s.State {
		case Firing:
			// What was told before this phase began was of an earlier one.
			again := r.Repeat > 0 && now.Sub(last.At) >= r.Repeat
			if !silent && (last.State != Firing || last.At.Before(s.Since) || again) {
				d.Firing = append(d.Firing, s)
			}
		case Resolved:
			switch {
			case last.State == Resolved && !last.At.Before(s.Since), s.Since.Before(since):
			case silent && last.State != Firing:
				d.quiet = append(d.quiet, s)
			default: // that it is over is told in spite of a silence: an incident must not stay open
				d.Resolved = append(d.Resolved, s)
			}
		}
	}
	slices.SortStableFunc(d.Firing, func(a, b State) int {
		return cmp.Compare(slices.Index(Severities(), a.Severity), slices.Index(Severities(), b.Severity))
	})
	return d
}
