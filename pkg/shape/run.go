package shape

import (
	"math/bits"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// run is events of one batch that follow each other and are of one skeleton, as many of a
// type are: all of them have the same paths, of the same types. The first is counted path by
// path; those after it are when the run ends, all at once, with the same result.
type run struct {
	skeleton rawjson.Skeleton // of nothing: there is no run
	nodes    []*node          // that the newest event which was counted has, a parent before its members
	size     int              // of that event
	cut      int64            // of each event

	count        int64 // events after the first
	ref, prevRef int32 // of the newest event and the one before
	newest       []int64
	gap          int64 // the longest between two of newest

	waits, wait int // after a run of one event, so many that could begin one do not
}

// The bounds of a run: what it needs of memory is a few kilobytes, or about what its first two events
// have. Without the last ones a batch of lists of numbers would need four times its own bytes.
const (
	maxRun      = 1024 // times that are later than all before
	maxRunBytes = 64 << 10
	maxWaits    = 63
	fewValues   = 256
	valueBytes  = 8 // of an event with more values, each at least
)

// follows reports whether an event is of the run, and takes it in if it is.
func (r *run) follows(event rawjson.Value, at int64, ref int32) bool {
	if len(r.newest) == maxRun || !r.skeleton.Of(event) {
		return false
	}
	r.count++
	r.prevRef, r.ref = r.ref, ref
	if before := r.newest[len(r.newest)-1]; at > before {
		r.newest, r.gap = append(r.newest, at), max(r.gap, at-before)
	}
	return true
}

// beginRun begins a run with the event that was just counted, if another one may follow: it
// made no path, and is of the size of the one before.
func (s *Shape) beginRun(event rawjson.Value, cut int64, changed bool) {
	r := &s.run
	size := event.Size()
	bytes := len(event.Bytes())
	likely := size == r.size && !changed && bytes <= maxRunBytes && size <= max(fewValues, bytes/valueBytes)
	r.size = size
	switch {
	case !likely:
	case r.wait > 0:
		r.wait--
	default:
		r.skeleton.Take(event)
		r.cut, r.count, r.ref, r.newest, r.gap = cut, 0, s.ref, append(r.newest[:0], s.at), 0
	}
}

// endRun counts the events of the run that are not counted yet, and ends it.
func (s *Shape) endRun() {
	r := &s.run
	if r.skeleton.Size() == 0 {
		return
	}
	r.skeleton.Reset()
	if r.count == 0 {
		r.waits = min(2*r.waits+1, maxWaits)
		r.wait = r.waits
		return
	}
	r.waits = 0
	s.cut += r.count * r.cut
	last := r.newest[len(r.newest)-1]
	for _, n := range r.nodes {
		n.seq += r.count
		n.ref, n.prevRef = r.ref, r.prevRef
		n.present += r.count
		for kinds := n.kinds; kinds != 0; kinds &= kinds - 1 {
			n.counts[bits.TrailingZeros8(kinds)] += r.count
		}
		if p := n.parent; p != nil && p.kinds&(1<<rawjson.Object) != 0 { // one more in each, wherever in it the path comes
			n.atLast += r.count
		}
		n.gap = max(n.gap, r.gapAfter(n.last))
		n.last = max(n.last, last)
	}
}

// gapAfter gives the longest time between two events of the run that a path sees which was
// last there then, each of them later than all before.
func (r *run) gapAfter(last int64) (gap int64) {
	if last == r.newest[0] {
		return r.gap
	}
	for _, at := range r.newest { // an event that was counted before is later than the run's first
		if at > last {
			gap, last = max(gap, at-last), at
		}
	}
	return gap
}
