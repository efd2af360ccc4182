package shape

import (
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// Limits bound a Shape. Zero values are the defaults.
type Limits struct {
	Paths    int // of one shape; 1,500
	Children int // names of one object, beyond which it counts as a map; 250
	Depth    int // of objects and arrays; 24
	Bytes    int // of a path; 400
}

func (l Limits) orDefaults() Limits {
	set := func(at *int, def int) {
		if *at <= 0 {
			*at = def
		}
	}
	set(&l.Paths, 1500)
	set(&l.Children, 250)
	set(&l.Depth, 24)
	set(&l.Bytes, 400)
	return l
}

// Counts are events, by the JSON type that a path had in them. One event can count
// for several types: an array's elements can differ.
type Counts struct {
	Null, Bool, Number, String, Array, Object int64
}

// of gives the count of a type.
func (c *Counts) of(k rawjson.Kind) *int64 {
	switch k {
	case rawjson.Null:
		return &c.Null
	case rawjson.Bool:
		return &c.Bool
	case rawjson.Number:
		return &c.Number
	case rawjson.String:
		return &c.String
	case rawjson.Array:
		return &c.Array
	default:
		return &c.Object
	}
}

func (c *Counts) add(o Counts) {
	for k := rawjson.Null; k <= rawjson.Object; k++ {
		*c.of(k) += *o.of(k)
	}
}

// Types gives the names of the JSON types that were seen, null last.
func (c Counts) Types() (names []string) {
	for _, k := range []rawjson.Kind{rawjson.Object, rawjson.Array, rawjson.String, rawjson.Number, rawjson.Bool, rawjson.Null} {
		if *c.of(k) > 0 {
			names = append(names, k.String())
		}
	}
	return names
}

// Path is what is known of one path: the totals of all events, as they are stored.
type Path struct {
	Path    string
	Present int64 // events that had it
	Counts
	// FirstAt and LastAt are how many events had its parent as an object before it
	// was first there, and when it was last: the event itself has 0 and Present.
	FirstAt, LastAt     int64
	FirstSeen, LastSeen time.Time
	// LongestGap is between two events that had it.
	LongestGap time.Duration
	// Folded: it is an object that is used as a map, so that all its members are *.
	Folded bool
	// The window since the last look at the rate of nulls.
	WindowPresent, WindowNulls int64
	Form                       string // of a newer value, for people
}

// Shape is the shape of one event type. One goroutine uses it at a time.
type Shape struct {
	limits Limits
	root   *node
	paths  int   // nodes below the root
	seq    int64 // of the newest event
	since  int64 // of the newest event of the batch before
	ref    int32 // of the newest event
	at     int64 // of the newest event, in nanoseconds since 1970

	touched []*node // of the batch
	gone    []string
	cut     int64
	changes int // how often nodes were added or folded

	run run
}

// node is one path. What is read of it for each value comes first, so that it lies
// together.
type node struct {
	name    string // its segment's, where that is a name
	seq     int64  // the event that it was last in; up to Shape.since, of a batch before
	kinds   uint8  // types in that event, a bit each
	odd     uint8  // types that have a sample of this batch
	ref     int32  // the event that it was last in, and the one before, of this batch
	prevRef int32
	missed  int32 // an event that had the parent and not it, or noEvent
	present int64 // events of this batch that had it
	atLast  int64 // the parent's objects of this batch when it was last there
	last    int64 // when that was, in nanoseconds since 1970
	gap     int64 // the longest between two events of this batch that had it, likewise
	counts  counts

	likely  int // the kid that most probably comes next
	kids    []*node
	parent  *node
	element *node
	wild    *node

	place   int              // among its parent's kids
	byName  map[string]*node // of kids, when there are many
	segment Segment

	samples []sample
	atFirst int64 // the parent's objects of the batch before it was first there
	begin   int64 // when it was first there
	prior   int64 // total.Object before the batch

	priorLast int64 // total.LastAt before the batch

	total Path
	known bool // it was stored, or settled before

	forgotten bool // it was folded into another
}

// counts are the events of a batch, by the type that a path had in them.
type counts [rawjson.Object + 1]int64

func (c *counts) add(o counts) {
	for k, n := range o {
		c[k] += n
	}
}

func (c *counts) exported() (all Counts) {
	for k := rawjson.Null; k <= rawjson.Object; k++ {
		*all.of(k) = c[k]
	}
	return all
}

const noEvent = -1

// sample is a value of a batch: of which type, which event had it, and its form.
type sample struct {
	kind rawjson.Kind
	ref  int32
	form string
}

// many is how many names are compared one after another.
const many = 12

// New makes a shape of no events.
func New(l Limits) *Shape {
	return &Shape{limits: l.orDefaults(), root: &node{missed: noEvent, ref: noEvent}}
}

// Paths is how many paths it holds, which is what its memory depends on.
func (s *Shape) Paths() int { return s.paths }

// Observe adds an event, which may be any value that rawjson.Doc.Parse takes. at is
// when it was received; ref, 0 or more, is the caller's number for it, which comes
// back with what is odd about it (Odd.Event).
func (s *Shape) Observe(event rawjson.Value, at time.Time, ref int32) {
	s.seq++
	s.ref, s.at = ref, at.UnixNano()
	if s.run.follows(event, s.at, ref) {
		return
	}
	s.endRun()
	s.run.nodes = s.run.nodes[:0]
	cut, changes := s.cut, s.changes
	s.value(s.root, event, 0)
	s.beginRun(event, s.cut-cut, s.changes != changes)
}

func (s *Shape) value(n *node, v rawjson.Value, depth int) {
	kind := v.Kind()
	if s.mark(n, kind) {
		n.samples = append(n.samples, sample{kind, s.ref, form(v)})
	}
	if kind >= rawjson.Array {
		s.inside(n, v, depth)
	}
}

// inside looks at the members or elements of a value, which is depth containers down.
func (s *Shape) inside(n *node, v rawjson.Value, depth int) {
	if depth >= s.limits.Depth {
		s.cut++
		return
	}
	n.likely = 0
	switch {
	case v.Noted():
		object := v.Kind() == rawjson.Object
		for c := v.Cursor(); c.More(); c.Next() {
			kid := n.element
			if object {
				kid = s.member(n, c.Name())
			} else if kid == nil {
				if kid = s.addElement(n); kid == nil {
					return
				}
			}
			if kid == nil {
				continue
			}
			kind := c.Kind()
			if s.mark(kid, kind) {
				kid.samples = append(kid.samples, sample{kind, s.ref, form(c.Value())})
			}
			if kind >= rawjson.Array {
				s.inside(kid, c.Value(), depth+1)
			}
		}
	case v.Kind() == rawjson.Object: // a very large event
		v.Each(func(name []byte, member rawjson.Value) bool {
			if kid := s.member(n, name); kid != nil {
				s.value(kid, member, depth+1)
			}
			return true
		})
	default:
		for _, e := range v.Elements() {
			if n.element == nil && s.addElement(n) == nil {
				return
			}
			s.value(n.element, e, depth+1)
		}
	}
}

func (s *Shape) addElement(n *node) *node {
	n.element = s.add(n, Segment{Kind: IsElement})
	return n.element
}

// mark counts a value, once an event and type. It reports whether the batch has no
// sample of the type yet.
func (s *Shape) mark(n *node, kind rawjson.Kind) bool {
	bit := uint8(1) << kind
	if n.seq != s.seq {
		s.first(n)
	} else if n.kinds&bit != 0 {
		return false
	}
	n.kinds |= bit
	n.counts[kind]++
	fresh := n.odd&bit == 0
	n.odd |= bit
	return fresh
}

// first counts an event that has the path.
func (s *Shape) first(n *node) {
	fresh := n.seq <= s.since
	if fresh {
		s.begin(n)
	}
	s.run.nodes = append(s.run.nodes, n)
	n.seq, n.kinds = s.seq, 0
	n.prevRef, n.ref = n.ref, s.ref
	n.present++
	if p := n.parent; p != nil {
		objects := p.counts[rawjson.Object]
		if fresh {
			n.atFirst = objects - 1
		}
		if objects-n.atLast > 1 && n.missed == noEvent {
			n.missed = p.prevRef
		}
		n.atLast = objects
	}
	n.gap = max(n.gap, s.at-n.last)
	n.last = max(n.last, s.at)
}

// begin forgets what a batch before left in the node.
func (s *Shape) begin(n *node) {
	n.present, n.counts, n.odd, n.samples = 0, counts{}, 0, n.samples[:0]
	n.ref, n.prevRef, n.missed = noEvent, noEvent, noEvent
	n.atFirst, n.atLast, n.begin, n.last, n.gap = 0, 0, s.at, s.at, 0
	s.touched = append(s.touched, n)
}

// member gives the node of a member, or nil where the limits end.
func (s *Shape) member(n *node, name []byte) *node {
	if n.likely < len(n.kids) {
		if kid := n.kids[n.likely]; kid.name == string(name) {
			n.likely++
			return kid
		}
	}
	if !n.total.Folded {
		if kid := n.find(name); kid != nil {
			n.likely = kid.place + 1 // vendors write their members in one order
			return kid
		}
		if !isID(name) {
			if len(n.kids) < s.limits.Children {
				return s.add(n, Segment{Name: string(name)})
			}
			s.fold(n)
		}
	}
	if n.wild == nil {
		n.wild = s.add(n, Segment{Kind: IsWildcard})
	}
	return n.wild
}

func (n *node) find(name []byte) *node {
	if n.byName != nil {
		return n.byName[string(name)]
	}
	for _, kid := range n.kids {
		if kid.name == string(name) {
			return kid
		}
	}
	return nil
}

// add makes a node, unless the limits are reached. The caller sets element and wild.
func (s *Shape) add(n *node, segment Segment) *node {
	path := Append(n.total.Path, segment)
	if s.paths >= s.limits.Paths || len(path) > s.limits.Bytes {
		s.cut++
		return nil
	}
	s.paths++
	s.changes++
	kid := &node{segment: segment, name: segment.Name, parent: n, missed: noEvent, ref: noEvent, total: Path{Path: path}}
	if segment.Kind == IsName {
		n.append(kid)
	}
	return kid
}

func (n *node) append(kid *node) {
	kid.place = len(n.kids)
	n.kids = append(n.kids, kid)
	if n.byName == nil && len(n.kids) > many {
		n.byName = make(map[string]*node, 2*many)
		for _, k := range n.kids {
			n.byName[k.segment.Name] = k
		}
	} else if n.byName != nil {
		n.byName[kid.segment.Name] = kid
	}
}

// Reset forgets what was observed since the last Settle.
func (s *Shape) Reset() {
	s.run = run{waits: s.run.waits} // memory, too
	s.touched, s.since, s.cut = s.touched[:0], s.seq, 0
}

// touches: an event of the batch had the path.
func (s *Shape) touches(n *node) bool { return n.seq > s.since }
