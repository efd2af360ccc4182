package rawjson

import (
	"encoding/binary"
	"math/bits"
)

// whiteSpace is JSON's.
const whiteSpace = " \t\r\n"

// space gives where the white space at i ends.
func space(src []byte, i int) int {
	for i < len(src) && src[i] <= ' ' && (src[i] == ' ' || src[i] == '\n' || src[i] == '\r' || src[i] == '\t') {
		i++
	}
	return i
}

// scan reads the one value of d.src and gives where it ends, or -1 with
// d.failure set.
func (d *Doc) scan() int {
	src, depth := d.src, 0
	n := d.pending(depth) // of the value being read: its name is known before it is
	for i := space(src, 0); ; {
		n.start = uint32(i)
		var c byte
		if i < len(src) {
			c = src[i]
		}
		switch c {
		case '"':
			if i = ordinary(src, i+1); i < len(src) && src[i] == '"' {
				i++
				break
			}
			n.flags |= textOdd
			i = d.text(i)
		case '{', '[':
			if depth == MaxDepth {
				return d.failed(tooDeep)
			}
			if i = space(src, i+1); i < len(src) && src[i] == c+2 { // ']' and '}' are two after
				i++
				break
			}
			d.open(depth, n)
			depth++
			n = d.pending(depth)
			if c == '{' {
				i = d.name(i, depth, n)
			}
			if i < 0 {
				return i
			}
			continue
		default:
			i = d.scalar(i)
		}
		if i < 0 {
			return i
		}
		if depth <= d.levels {
			n.end, n.next = uint32(i), uint32(len(d.nodes))+1
			d.nodes = d.nodes[:len(d.nodes)+1]
		}
		if depth > 0 && i+1 < len(src) && src[i] == ',' && src[i+1] > ' ' {
			i++ // most often; after would do the same
		} else if i, depth = d.after(i, depth); i < 0 || depth == 0 {
			return i
		}
		if next := len(d.nodes); depth <= d.levels && next < cap(d.nodes) { // as pending does
			n = &d.nodes[:next+1][next]
			n.key, n.keyEnd, n.flags = 0, 0, 0
		} else {
			n = d.pending(depth)
		}
		if d.frames[depth-1].object {
			if i = d.name(i, depth, n); i < 0 {
				return i
			}
		}
	}
}

// after reads what follows a value that ends at i: the ends of its containers,
// and a comma. It gives where the next name or value starts, in which depth;
// depth 0 is the document's end.
func (d *Doc) after(i, depth int) (int, int) {
	src := d.src
	for depth > 0 {
		if i < len(src) && src[i] <= ' ' {
			i = space(src, i)
		}
		var c byte
		if i < len(src) {
			c = src[i]
		}
		if c == ',' {
			if i++; i < len(src) && src[i] <= ' ' {
				i = space(src, i)
			}
			return i, depth
		}
		depth--
		switch object := d.frames[depth].object; {
		case c == '}' && object || c == ']' && !object:
			i++
			d.close(depth, i)
		case object:
			return d.failed(stopped(src, i, "',' or '}'")), 0
		default:
			return d.failed(stopped(src, i, "',' or ']'")), 0
		}
	}
	return i, 0
}

// name reads a member's name at i and the colon, and gives where its value
// starts.
func (d *Doc) name(i, depth int, n *node) int {
	src := d.src
	if i >= len(src) || src[i] != '"' {
		return d.failed(stopped(src, i, "a member's name"))
	}
	end, hash := i+1, d.secret[0]
	for { // to where the name ends, or more than ordinary characters are in it
		if end+8 > len(src) { // at the document's end
			end = ordinary(src, end)
			hash = hashOf(d, src[i+1:end])
			break
		}
		x := binary.LittleEndian.Uint64(src[end:])
		if special := specials(x); special != 0 {
			n := bits.TrailingZeros64(special) &^ 7
			end += n >> 3
			hash = fold(hash^x&(1<<n-1), d.secret[1]^uint64(end-i-1))
			break
		}
		hash = fold(hash^x, d.secret[1])
		end += 8
	}
	if end < len(src) && src[end] == '"' {
		n.key, n.keyEnd = uint32(i+1), uint32(end)
		end++
	} else {
		n.flags = keyOdd
		if end = d.text(end); end < 0 {
			return end
		}
		n.key, n.keyEnd = uint32(i+1), uint32(end-1)
		hash = hashOf(d, d.nameOf(n))
	}
	if depth <= d.levels {
		tag := tagOf(hash, d.frames[depth-1].node)
		if at := d.slot(tag); uint32(d.slots[at]) <= d.base { // most often
			d.slots[at] = d.entry(tag)
		} else {
			d.addName(n, tag)
		}
	}
	if end < len(src) && src[end] <= ' ' {
		end = space(src, end)
	}
	if end >= len(src) || src[end] != ':' {
		return d.failed(stopped(src, end, "':'"))
	}
	if end++; end < len(src) && src[end] <= ' ' {
		end = space(src, end)
	}
	return end
}

// scalar reads a number or a literal.
func (d *Doc) scalar(i int) int {
	src := d.src
	if i < len(src) {
		switch rest := src[i:]; rest[0] {
		case 't':
			if len(rest) >= 4 && string(rest[:4]) == "true" {
				return i + len("true")
			}
		case 'f':
			if len(rest) >= 5 && string(rest[:5]) == "false" {
				return i + len("false")
			}
		case 'n':
			if len(rest) >= 4 && string(rest[:4]) == "null" {
				return i + len("null")
			}
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			return d.number(i)
		}
	}
	return d.failed(stopped(src, i, "a value"))
}

// pending gives the node of the next value in so many containers. It counts once
// len(d.nodes) includes it. Where nothing is noted it is one that is never read.
func (d *Doc) pending(depth int) *node {
	n := &d.unread
	if depth <= d.levels {
		if len(d.nodes) == cap(d.nodes) {
			d.grow(depth)
		}
		if depth <= d.levels {
			n = &d.nodes[:cap(d.nodes)][len(d.nodes)]
		}
	}
	n.key, n.keyEnd, n.flags = 0, 0, 0
	return n
}

// grow makes room for more nodes. Where there must not be more, it ends the
// noting: the containers that are open now are cut, and so read by their bytes.
func (d *Doc) grow(depth int) {
	n := len(d.nodes)
	if n < maxNodes {
		grown := make([]node, n, min(2*n, maxNodes))
		copy(grown, d.nodes)
		d.nodes = grown
		return
	}
	for _, f := range d.frames[:depth] {
		d.nodes[f.node].flags |= cut
	}
	d.levels = -1
}

// open enters a container that has members. depth is the container's own: the
// top value's is 0.
func (d *Doc) open(depth int, n *node) {
	f := frame{node: noNode, object: d.src[n.start] == '{'}
	if depth <= d.levels {
		f.node = uint32(len(d.nodes))
		d.nodes = d.nodes[:len(d.nodes)+1]
		if depth == d.levels {
			n.flags |= cut
		}
	}
	d.frames[depth] = f
}

// close leaves a container that ends at i.
func (d *Doc) close(depth, i int) {
	at := d.frames[depth].node
	if at == noNode {
		return
	}
	n := &d.nodes[at]
	n.end, n.next = uint32(i), uint32(len(d.nodes))
	if n.flags&(cut|inner) != 0 && depth > 0 {
		d.nodes[d.frames[depth-1].node].flags |= inner
	}
}

// failed ends the scan.
func (d *Doc) failed(why string) int {
	d.failure = why
	return -1
}
