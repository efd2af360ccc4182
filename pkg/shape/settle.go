package shape

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// Rules say what counts as odd. Zero values are the defaults.
type Rules struct {
	// Learn is how many events had an object before a member that was never seen
	// in it is odd, and before a type that a path never had is; 200.
	Learn int64
}

func (r Rules) learn() int64 {
	if r.Learn <= 0 {
		return 200
	}
	return r.Learn
}

// Change is what happened to a path.
type Change string

// The changes.
const (
	Appeared    Change = "new"          // a path that no event had
	Vanished    Change = "vanished"     // events had it, and newer ones do not
	TypeChanged Change = "type_changed" // a JSON type that it never had
	NullRate    Change = "null_rate"    // it is null more often, or less
	Silent      Change = "silent"       // it was regular, and has not been seen for long
)

// Changes gives all of them.
func Changes() []Change { return []Change{Appeared, Vanished, TypeChanged, NullRate, Silent} }

// Odd is what is odd about a path.
type Odd struct {
	Path   string
	Change Change
	// Over: it is no longer so; the rest is empty.
	Over bool
	// Was and Is say it for people: types, forms and rates, never values.
	Was, Is string
	// Event is the ref of an event that shows it (Observe), or -1.
	Event int32
}

// Settled is what a batch has changed.
type Settled struct {
	Events  int64
	Changed []Path   // with their new totals; the parent before its members
	Newest  []int32  // of each in Changed, the ref of the newest event that had it
	Gone    []string // paths that were stored and are part of a * now
	Odd     []Odd
	Cut     int64 // values that were not looked at, because they lie beyond the limits
}

// Settle adds what was observed to the totals, says what is odd about it, and begins
// a new batch.
func (s *Shape) Settle(r Rules) Settled {
	s.endRun()
	out := Settled{Gone: s.gone, Cut: s.cut, Events: s.root.present}
	if !s.touches(s.root) {
		out.Events = 0
	}
	for i := 0; i < len(s.touched); i++ {
		n := s.touched[i]
		if n.forgotten {
			continue
		}
		n.prior, n.priorLast = n.total.Object, n.total.LastAt
		s.judge(n, r, &out)
		s.settle(n)
		s.window(n, &out)
	}
	for _, n := range s.touched {
		if !n.forgotten {
			s.judgeKids(n, &out)
			out.Changed, out.Newest = append(out.Changed, n.total), append(out.Newest, n.ref)
		}
	}
	for _, n := range s.touched {
		n.known = true
	}
	s.gone = nil
	s.Reset()
	return out
}

// settle adds the batch to the totals.
func (s *Shape) settle(n *node) {
	t := &n.total
	switch p := n.parent; {
	case p == nil:
		t.LastAt = t.Present + n.present
	case s.touches(p):
		if !n.known {
			t.FirstAt = p.prior + n.atFirst
		}
		t.LastAt = p.prior + n.atLast
	}
	t.Present += n.present
	t.Counts.add(n.counts.exported())
	if t.FirstSeen.IsZero() {
		t.FirstSeen = time.Unix(0, n.begin).UTC()
	} else {
		t.LongestGap = max(t.LongestGap, time.Unix(0, n.begin).Sub(t.LastSeen))
	}
	t.LongestGap = max(t.LongestGap, time.Duration(n.gap))
	if last := time.Unix(0, n.last).UTC(); last.After(t.LastSeen) {
		t.LastSeen = last
	}
	t.WindowPresent += n.present
	t.WindowNulls += n.counts[rawjson.Null]
	if len(n.samples) > 0 {
		t.Form = n.samples[len(n.samples)-1].form
	}
}

// judge looks at what a touched path has in this batch, before it is added.
func (s *Shape) judge(n *node, r Rules, out *Settled) {
	if !n.known {
		if p := n.parent; p != nil && p.known && n.segment.Kind == IsName && p.prior >= r.learn() && !p.open() {
			out.Odd = append(out.Odd, Odd{Path: n.total.Path, Change: Appeared, Is: describe(n.samples), Event: n.samples[0].ref})
		}
		return
	}
	before := n.total
	if p := n.parent; p != nil && n.segment.Kind == IsName {
		if k := need(before); p.prior-before.LastAt >= k {
			out.Odd = append(out.Odd, Odd{Path: before.Path, Change: Vanished, Over: true, Event: noEvent})
		}
	}
	if at := before.SilentAt(); !at.IsZero() && time.Unix(0, n.begin).After(at) {
		out.Odd = append(out.Odd, Odd{Path: before.Path, Change: Silent, Over: true, Event: noEvent})
	}
	if before.Present < r.learn() {
		return
	}
	for _, sample := range n.samples {
		switch {
		case *before.Counts.of(sample.kind) > 0:
		case sample.kind != rawjson.Null && before.Null == before.Present: // it was always null: now we know what it is
		case sample.kind == rawjson.Null:
			out.Odd = append(out.Odd, Odd{Path: before.Path, Change: NullRate, Was: "never null", Is: "null", Event: sample.ref})
		default:
			out.Odd = append(out.Odd, Odd{Path: before.Path, Change: TypeChanged, Was: strings.Join(before.Types(), " or ") + forms(before.Form), Is: sample.kind.String() + forms(sample.form), Event: sample.ref})
		}
	}
}

// forms gives " (text like a number)", or "".
func forms(form string) string {
	if form == "" {
		return ""
	}
	return " (" + form + ")"
}

func describe(samples []sample) string {
	var texts []string
	for _, sample := range samples {
		texts = append(texts, sample.kind.String()+forms(sample.form))
	}
	return strings.Join(texts, " or ")
}

// The window in which the rate of nulls is looked at, and by how much it must differ.
const (
	windowEvents = 200
	windowDiffer = 0.3
)

// window compares the rate of nulls of a full window with that of before.
func (s *Shape) window(n *node, out *Settled) {
	t := &n.total
	if t.WindowPresent < windowEvents {
		return
	}
	present, nulls := t.Present-t.WindowPresent, t.Null-t.WindowNulls
	if present >= windowEvents {
		was, is := float64(nulls)/float64(present), float64(t.WindowNulls)/float64(t.WindowPresent)
		if math.Abs(was-is) >= windowDiffer {
			out.Odd = append(out.Odd, Odd{Path: t.Path, Change: NullRate, Event: n.ref,
				Was: fmt.Sprintf("null in %.0f %% of the events", 100*was), Is: fmt.Sprintf("null in %.0f %%", 100*is)})
		}
	}
	t.WindowPresent, t.WindowNulls = 0, 0
}

// open: the object's members come and go, so that one more is nothing new.
func (n *node) open() bool {
	if n.total.Folded {
		return true
	}
	const (
		rare     = 20 // a rare member is in less than one of so many
		fewKids  = 4
		oneOfTwo = 2
	)
	count, known := 0, 0
	for _, kid := range n.kids {
		if kid.known {
			known++
			if kid.total.Present*rare < kid.denominator() {
				count++
			}
		}
	}
	return count >= fewKids && count*oneOfTwo >= known
}

// denominator is how many events could have had the path since it was first there.
func (n *node) denominator() int64 {
	if n.parent == nil {
		return n.total.Present
	}
	return n.parent.total.Object - n.total.FirstAt
}

// judgeKids looks at what a touched object should have and has not, after all is added.
func (s *Shape) judgeKids(n *node, out *Settled) {
	if n.counts[rawjson.Object] == 0 {
		return
	}
	for _, kid := range n.kids {
		if !kid.known {
			continue
		}
		was, touched := kid.total, s.touches(kid)
		event := n.ref
		if touched {
			was = kid.before()
			if kid.missed != noEvent {
				event = kid.missed
			}
		}
		k := need(was)
		always := was.Present == was.LastAt-was.FirstAt && n.prior == was.LastAt
		missing := n.total.Object - was.LastAt // of those since
		if touched {
			missing = n.counts[rawjson.Object] - kid.present
		}
		switch {
		case missing <= 0 || n.prior-was.LastAt >= k: // nothing, or told before
			continue
		case touched && always && missing >= k:
		case touched && n.total.Object-kid.total.LastAt >= need(kid.total): // it went at the end of the batch
			missing = n.total.Object - kid.total.LastAt
		case !touched && missing >= k:
		default:
			continue
		}
		out.Odd = append(out.Odd, Odd{Path: was.Path, Change: Vanished, Event: event,
			Was: fmt.Sprintf("in %s of %d events", percent(was.Present, was.LastAt-was.FirstAt), was.LastAt-was.FirstAt), Is: fmt.Sprintf("missing in %d", missing)})
	}
}

func percent(part, whole int64) string {
	if part >= whole {
		return "each"
	}
	return fmt.Sprintf("%.0f %%", math.Floor(100*float64(part)/float64(max(whole, 1))))
}

// before gives the totals as they were before the batch that was just added.
func (n *node) before() Path {
	t := n.total
	t.Present -= n.present
	t.LastAt = n.priorLast
	return t
}

// need is how many events in a row must be without a path that so many had, for it
// to count as vanished: one that was in each of 1,000 events is missed at once, one
// that was in nine of ten after twenty. One that was in less than half never is:
// its silence is (SilentAt).
func need(p Path) int64 {
	const (
		fewest     = 20
		half       = 0.5
		strictly   = 1e-3 // how probable it may be that nothing is wrong
		correlated = 1e-6 // events of one customer look alike: chance alone does not decide
	)
	all := p.LastAt - p.FirstAt
	if p.Present < fewest || all <= 0 || float64(p.Present) < half*float64(all) {
		return math.MaxInt64
	}
	if p.Present >= all {
		return max(1, int64(math.Ceil(math.Log(strictly)/math.Log(1/float64(all+2)))))
	}
	return max(fewest, int64(math.Ceil(math.Log(correlated)/math.Log(1-float64(p.Present)/float64(all)))))
}

// SilentAt is when a path that has not been seen since LastSeen is odd for that; zero:
// it never is, because it was not regular. It is ten times its mean interval, one and
// a half times its longest, and an hour at least; and three days, until it has been
// known for eight, so that a weekend is no news.
func (p Path) SilentAt() time.Time {
	const (
		fewest   = 20
		week     = 8 * 24 * time.Hour
		weekend  = 72 * time.Hour
		means    = 10
		soonest  = time.Hour
		fromDays = 24 * time.Hour
	)
	known := p.LastSeen.Sub(p.FirstSeen)
	if p.Present < fewest || known < fromDays {
		return time.Time{}
	}
	after := max(soonest, means*(known/time.Duration(p.Present-1)), p.LongestGap+p.LongestGap/2)
	if known < week {
		after = max(after, weekend)
	}
	return p.LastSeen.Add(after)
}

// Interval says for people how often a path was seen.
func (p Path) Interval() string {
	if p.Present < 2 {
		return "once"
	}
	mean := p.LastSeen.Sub(p.FirstSeen) / time.Duration(p.Present-1)
	for _, unit := range []struct {
		most time.Duration
		name string
	}{{2 * time.Minute, "every minute or more often"}, {90 * time.Minute, "hourly or more often"}, {36 * time.Hour, "daily"}, {9 * 24 * time.Hour, "weekly"}} {
		if mean <= unit.most {
			return unit.name
		}
	}
	return fmt.Sprintf("every %d days", int(math.Round(mean.Hours()/24)))
}

// Sort brings findings about one thing together: by path, the top first.
func Sort(odd []Odd) {
	slices.SortStableFunc(odd, func(a, b Odd) int { return strings.Compare(a.Path, b.Path) })
}
