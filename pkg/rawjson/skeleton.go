package rawjson

import "slices"

// Skeleton is what a value is like but for what its numbers and texts say, and true or false: its names as they are
// written, where each stands, and the kind of each value. Its zero value is that of nothing.
type Skeleton struct {
	names []byte // one after another
	bones []bone
}

// bone is a value: how long its name is, where what follows it lies, and what it is.
type bone struct {
	name, next uint32
	kind       Kind
}

// Reset makes it that of nothing.
func (s *Skeleton) Reset() { s.names, s.bones = s.names[:0], s.bones[:0] }

// Size is how many values it has.
func (s *Skeleton) Size() int { return len(s.bones) }

// Take makes it that of a value that is Noted, of any other that of nothing.
func (s *Skeleton) Take(v Value) {
	s.Reset()
	if !v.Noted() {
		return
	}
	d := v.d
	s.bones = append(slices.Grow(s.bones, v.Size()), bone{0, d.nodes[v.node].next - v.node, v.Kind()})
	for at := v.node + 1; at < d.nodes[v.node].next; at++ {
		n := &d.nodes[at]
		s.names = append(s.names, d.src[n.key:n.keyEnd]...)
		s.bones = append(s.bones, bone{n.keyEnd - n.key, n.next - v.node, kinds[d.src[n.start]]})
	}
}

// Of reports whether it is that of a value. Two values of one skeleton have the same members in the same
// order, of the same kinds.
func (s *Skeleton) Of(v Value) bool {
	if size := v.Size(); size == 0 || len(s.bones) != size || s.bones[0].kind != v.Kind() {
		return false
	}
	src, names, bones := v.d.src, s.names, s.bones[1:]
	nodes := v.d.nodes[v.node+1:][:len(bones)]
	for i := range bones {
		b, n := &bones[i], &nodes[i]
		if b.kind != kinds[src[n.start]] || b.next != n.next-v.node || b.name != n.keyEnd-n.key || string(names[:b.name]) != string(src[n.key:n.keyEnd]) {
			return false
		}
		names = names[b.name:]
	}
	return true
}

// Size is how many values a Noted value is of, itself and all that it holds; 0: it is not Noted.
func (v Value) Size() int {
	if !v.Noted() {
		return 0
	}
	return int(v.d.nodes[v.node].next - v.node)
}
