package rawjson

import "bytes"

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
	var n node // of the value being read: its name is known before it is
	for i := space(src, 0); ; {
		n.start = uint32(i)
		var c byte
		if i < len(src) {
			c = src[i]
		}
		switch {
		case c == '"':
			var odd bool
			if i, odd = d.text(i); odd {
				n.flags |= textOdd
			}
		case c == '{' || c == '[':
			if depth == MaxDepth {
				return d.failed(tooDeep)
			}
			if i = space(src, i+1); i < len(src) && src[i] == c+2 { // ']' and '}' are two after
				i++
				break
			}
			d.open(depth, n)
			depth++
			if n = (node{}); c == '{' {
				i = d.name(i, depth, &n)
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
		n.end = uint32(i)
		if depth <= d.levels {
			d.leaf(depth, n)
		}
		if i, depth = d.after(i, depth, &n); i < 0 || depth == 0 {
			return i
		}
	}
}

// after reads what follows a value that ends at i: the ends of its containers,
// and a comma with the next member's name. It gives where the next value starts,
// in which depth; depth 0 is the document's end.
func (d *Doc) after(i, depth int, n *node) (int, int) {
	src := d.src
	for depth > 0 {
		f := &d.frames[depth-1]
		if i < len(src) && src[i] <= ' ' {
			i = space(src, i)
		}
		var c byte
		if i < len(src) {
			c = src[i]
		}
		switch {
		case c == ',':
			if i++; i < len(src) && src[i] <= ' ' {
				i = space(src, i)
			}
			if *n = (node{}); f.object {
				i = d.name(i, depth, n)
			}
			return i, depth
		case c == '}' && f.object || c == ']' && !f.object:
			i++
			depth--
			d.close(depth, i)
		case f.object:
			return d.failed(stopped(src, i, "',' or '}'")), depth
		default:
			return d.failed(stopped(src, i, "',' or ']'")), depth
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
	end, odd := d.text(i)
	if end < 0 {
		return end
	}
	n.key, n.keyEnd = uint32(i+1), uint32(end-1)
	if odd {
		n.flags = keyOdd
	}
	if depth <= d.levels {
		d.addName(n, d.frames[depth-1].node)
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
			if bytes.HasPrefix(rest, []byte("true")) {
				return i + len("true")
			}
		case 'f':
			if bytes.HasPrefix(rest, []byte("false")) {
				return i + len("false")
			}
		case 'n':
			if bytes.HasPrefix(rest, []byte("null")) {
				return i + len("null")
			}
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			return d.number(i)
		}
	}
	return d.failed(stopped(src, i, "a value"))
}

// open enters a container that has members. depth is the container's own: the
// top value's is 0.
func (d *Doc) open(depth int, n node) {
	f := frame{node: noNode, object: d.src[n.start] == '{'}
	if depth <= d.levels && d.room(depth) {
		f.node = uint32(len(d.nodes))
		if depth == d.levels {
			n.flags |= cut
		}
		d.nodes = append(d.nodes, n)
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

// leaf notes a value without members.
func (d *Doc) leaf(depth int, n node) {
	if d.room(depth) {
		n.next = uint32(len(d.nodes)) + 1
		d.nodes = append(d.nodes, n)
	}
}

// room makes room for one more node. Where there is none it stops the noting:
// the containers that are open now are cut, and so read by their bytes.
func (d *Doc) room(depth int) bool {
	n := len(d.nodes)
	if n < cap(d.nodes) {
		return true
	}
	if n < maxNodes {
		grown := make([]node, n, min(2*n, maxNodes))
		copy(grown, d.nodes)
		d.nodes = grown
		return true
	}
	for _, f := range d.frames[:depth] {
		d.nodes[f.node].flags |= cut
	}
	d.levels = -1
	return false
}

// failed ends the scan.
func (d *Doc) failed(why string) int {
	d.failure = why
	return -1
}
