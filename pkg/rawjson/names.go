package rawjson

import (
	"hash/maphash"
	"math"
	"math/bits"
)

// Each noted name is in one table of open addressing, by its object and its
// hash, for duplicates to be found while scanning and for Value.Get. A slot is
// tag<<32 | stamp. The tag is the name's hash plus its object's node: the same
// name with the same tag is of the same object. The stamp is base + the member's
// node + 1, so that what an earlier document left, with a stamp up to base, is
// empty, and nothing needs clearing.
//
// A member takes five bytes at least, so with a slot for every four the table is
// never full, and an index never larger than maxNodes needs no more than maxSlots.
const (
	minSlots = 256
	maxSlots = 1 << 20
)

// beginNames forgets the names of the document before, which had used nodes.
func (d *Doc) beginNames(used uint32) {
	if d.secret == [2]uint64{} {
		seed := maphash.MakeSeed()
		d.secret = [2]uint64{maphash.String(seed, "a"), maphash.String(seed, "b")}
	}
	size := bits.Len(uint(min(max(len(d.src)/4, minSlots), maxSlots) - 1)) // as a power of two
	if cap(d.slots) > keepSlots && 1<<size <= keepSlots/8 {
		d.slots = nil
	}
	d.base += used + 1
	if len(d.slots) < 1<<size {
		d.slots, d.base = make([]uint64, 1<<size), 0
	}
	if d.base > math.MaxUint32-maxNodes-2 {
		clear(d.slots)
		d.base = 0
	}
	d.shift = uint32(32 - size)
}

// entry is the slot of the member whose node is next.
func (d *Doc) entry(tag uint32) uint64 {
	return uint64(tag)<<32 | uint64(d.base+uint32(len(d.nodes))+1)
}

// addName enters the name of the member whose node is next, or notes that its object
// has one of that name.
func (d *Doc) addName(n *node, tag uint32) {
	at := d.slot(tag)
	for {
		stamp := uint32(d.slots[at])
		if stamp <= d.base {
			d.slots[at] = d.entry(tag)
			return
		}
		if uint32(d.slots[at]>>32) == tag && d.named(stamp-d.base-1, string(d.nameOf(n))) {
			d.note(duplicateName, int(n.key)-1)
			return
		}
		at = d.following(at)
	}
}

// nameOf gives a name while scanning, without its escapes.
func (d *Doc) nameOf(n *node) []byte {
	name := d.src[n.key:n.keyEnd]
	if n.flags&keyOdd != 0 {
		d.plain = unescape(d.plain[:0], name)
		name = d.plain
	}
	return name
}

// member finds the member of this name, the first of a repeated one.
func (d *Doc) member(object uint32, name string) (uint32, bool) {
	tag := tagOf(hashOf(d, name), object)
	for at := d.slot(tag); ; at = d.following(at) {
		stamp := uint32(d.slots[at])
		if stamp <= d.base {
			return 0, false
		}
		if uint32(d.slots[at]>>32) == tag && d.named(stamp-d.base-1, name) {
			return stamp - d.base - 1, true
		}
	}
}

func tagOf(hash uint64, object uint32) uint32 { return uint32(hash>>32) + object }

// hashOf is the hash of a name: its words folded into each other, as in wyhash, and the
// rest that is no whole word, which may be none, with the length. Doc.name makes the
// same while it looks for the name's end.
func hashOf[T string | []byte](d *Doc, name T) uint64 {
	hash, rest := d.secret[0], name
	for ; len(rest) >= 8; rest = rest[8:] {
		hash = fold(hash^(uint64(rest[0])|uint64(rest[1])<<8|uint64(rest[2])<<16|uint64(rest[3])<<24|
			uint64(rest[4])<<32|uint64(rest[5])<<40|uint64(rest[6])<<48|uint64(rest[7])<<56), d.secret[1])
	}
	last, n := uint64(0), len(rest)
	switch { // parts that overlap have the same bits where they do
	case n >= 4:
		first := uint64(rest[0]) | uint64(rest[1])<<8 | uint64(rest[2])<<16 | uint64(rest[3])<<24
		rest = rest[n-4:]
		last = first | (uint64(rest[0])|uint64(rest[1])<<8|uint64(rest[2])<<16|uint64(rest[3])<<24)<<(8*(n-4))
	case n > 0:
		last = uint64(rest[0]) | uint64(rest[n/2])<<(8*(n/2)) | uint64(rest[n-1])<<(8*(n-1))
	}
	return fold(hash^last, d.secret[1]^uint64(len(name)))
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// slot spreads the tags, which are consecutive for a name in consecutive objects.
func (d *Doc) slot(tag uint32) uint32 { return tag * 0x9E3779B1 >> d.shift }

func (d *Doc) following(at uint32) uint32 { return (at + 1) & (1<<(32-d.shift) - 1) }

// named reports whether the node's name is this.
func (d *Doc) named(at uint32, name string) bool {
	if int(at) >= len(d.nodes) {
		return false // entered, but the index was full
	}
	n := &d.nodes[at]
	quoted := d.src[n.key:n.keyEnd]
	if n.flags&keyOdd == 0 {
		return string(quoted) == name
	}
	return string(unescape(nil, quoted)) == name
}
