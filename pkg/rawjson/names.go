package rawjson

import (
	"bytes"
	"encoding/binary"
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
	if d.seed == (maphash.Seed{}) {
		d.seed = maphash.MakeSeed()
		d.secret = [2]uint64{maphash.String(d.seed, "a"), maphash.String(d.seed, "b")}
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

// addName enters the name of the member whose node is next, or notes that its
// object has one of that name.
func (d *Doc) addName(n *node, object uint32) {
	name := d.src[n.key:n.keyEnd]
	if n.flags&keyOdd != 0 {
		d.plain = unescape(d.plain[:0], name)
		name = d.plain
	}
	tag := d.tag(name, object)
	at := d.slot(tag)
	for {
		stamp := uint32(d.slots[at])
		if stamp <= d.base {
			d.slots[at] = uint64(tag)<<32 | uint64(d.base+uint32(len(d.nodes))+1)
			return
		}
		if uint32(d.slots[at]>>32) == tag && d.named(stamp-d.base-1, name) {
			d.note(duplicateName, int(n.key)-1)
			return
		}
		at = d.following(at)
	}
}

// member finds the member of this name, the first of a repeated one.
func (d *Doc) member(object uint32, name []byte) (uint32, bool) {
	tag := d.tag(name, object)
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

func (d *Doc) tag(name []byte, object uint32) uint32 {
	return uint32(d.hash(name)>>32) + object
}

// hash is maphash with a shorter way for short names (a multiplication folded,
// as in wyhash), which takes a sixth off a whole scan.
func (d *Doc) hash(name []byte) uint64 {
	var first, last uint64
	switch n := len(name); {
	case n > 16:
		return maphash.Bytes(d.seed, name)
	case n >= 8:
		first, last = binary.LittleEndian.Uint64(name), binary.LittleEndian.Uint64(name[n-8:])
	case n >= 4:
		first, last = uint64(binary.LittleEndian.Uint32(name)), uint64(binary.LittleEndian.Uint32(name[n-4:]))
	case n > 0:
		first = uint64(name[0]) | uint64(name[n/2])<<8 | uint64(name[n-1])<<16
	}
	high, low := bits.Mul64(first^d.secret[0], last^d.secret[1]^uint64(len(name)))
	return high ^ low
}

// slot spreads the tags, which are consecutive for a name in consecutive objects.
func (d *Doc) slot(tag uint32) uint32 { return tag * 0x9E3779B1 >> d.shift }

func (d *Doc) following(at uint32) uint32 { return (at + 1) & (1<<(32-d.shift) - 1) }

// named reports whether the node's name is this.
func (d *Doc) named(at uint32, name []byte) bool {
	if int(at) >= len(d.nodes) {
		return false // entered, but the index was full
	}
	n := &d.nodes[at]
	quoted := d.src[n.key:n.keyEnd]
	if n.flags&keyOdd == 0 {
		return string(quoted) == string(name)
	}
	return bytes.Equal(unescape(nil, quoted), name)
}
