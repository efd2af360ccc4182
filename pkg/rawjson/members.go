package rawjson

import (
	"bytes"
	"unicode/utf8"
)

// member is a value with its name, which an array's elements do not have.
type member struct {
	value       Value
	key, keyEnd uint32
	odd         bool // the name is not ASCII without escapes
}

// name gives the member's name, a copy if it has escapes or is not Unicode.
func (m member) name() []byte {
	quoted := m.value.d.src[m.key:m.keyEnd:m.keyEnd]
	if m.odd && isOdd(quoted) {
		return unescape(make([]byte, 0, len(quoted)), quoted)
	}
	return quoted
}

// start is where the member starts: with its name, if it has one.
func (m member) start() uint32 {
	if m.keyEnd > 0 {
		return m.key - 1
	}
	return m.value.start
}

// each calls f with the members or elements, by the index or, where it is cut,
// by the bytes.
func (v Value) each(f func(member) bool) {
	if kind := v.Kind(); kind != Object && kind != Array {
		return
	}
	if !v.indexed() {
		v.eachByBytes(f)
		return
	}
	nodes := v.d.nodes
	for at, end := v.node+1, nodes[v.node].next; at < end; at = nodes[at].next {
		n := &nodes[at]
		if !f(member{v.d.value(at), n.key, n.keyEnd, n.flags&keyOdd != 0}) {
			return
		}
	}
}

// eachByBytes reads what the scan has passed, so that brackets and quotes are
// all it needs to look at.
func (v Value) eachByBytes(f func(member) bool) {
	src := v.d.src[:v.end-1]
	for i := space(src, int(v.start)+1); i < len(src); {
		m := member{value: Value{d: v.d, node: noNode}}
		if v.Kind() == Object {
			end := stringEnd(src, i)
			m.key, m.keyEnd = uint32(i+1), uint32(end-1)
			m.odd = true
			i = space(src, space(src, end)+1) // the colon
		}
		end := valueEnd(src, i)
		m.value.start, m.value.end = uint32(i), uint32(end)
		if !f(m) {
			return
		}
		i = space(src, space(src, end)+1) // the comma
	}
}

// valueEnd gives where the value at i ends.
func valueEnd(src []byte, i int) int {
	for depth := 0; i < len(src); {
		switch src[i] {
		case '"':
			i = stringEnd(src, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			for i++; i < len(src) && src[i] > ' ' && bytes.IndexByte([]byte(`,:"{}[]`), src[i]) < 0; i++ {
			}
		}
		if depth == 0 {
			break
		}
	}
	return i
}

// stringEnd gives where the string at i ends, its quotes included.
func stringEnd(src []byte, i int) int {
	for i++; src[i] != '"'; i++ {
		if src[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// isOdd reports whether a string's text differs from what stands between its quotes.
func isOdd(quoted []byte) bool {
	return bytes.IndexByte(quoted, '\\') >= 0 || !utf8.Valid(quoted)
}
