package rawjson

import (
	"iter"
	"strconv"
)

// Kind is what a Value is.
type Kind uint8

// The kinds. Missing is the zero Value's: a member that is not there.
const (
	Missing Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// String gives the kind's name in an error's text.
func (k Kind) String() string {
	return [...]string{"missing value", "null", "boolean", "number", "string", "array", "object"}[k]
}

// kinds gives a value's kind by its first byte.
var kinds = [256]Kind{
	'n': Null, 't': Bool, 'f': Bool, '"': String, '[': Array, '{': Object, '-': Number,
	'0': Number, '1': Number, '2': Number, '3': Number, '4': Number,
	'5': Number, '6': Number, '7': Number, '8': Number, '9': Number,
}

// Value is a place in a scanned document. The zero Value is Missing, and every
// method is safe on it and on a value of any kind. It is good until its Doc
// scans again, and must not be used after that; what Text, Literal and Canonical
// give may be kept.
type Value struct {
	d          *Doc
	node       uint32 // noNode when it is not noted
	start, end uint32
}

func (d *Doc) value(at uint32) Value {
	n := &d.nodes[at]
	return Value{d: d, node: at, start: n.start, end: n.end}
}

// Kind tells what the value is.
func (v Value) Kind() Kind {
	if v.d == nil {
		return Missing
	}
	return kinds[v.d.src[v.start]]
}

// Exists reports whether the value is there; null is.
func (v Value) Exists() bool { return v.d != nil }

// Bytes gives the value's exact bytes, aliasing the document; nil when Missing.
func (v Value) Bytes() []byte {
	if v.d == nil {
		return nil
	}
	return v.d.src[v.start:v.end:v.end]
}

// Check says what Parse would have said of the value's bytes, with its places
// counted from the value's start. Mostly it looks at what ParseBody has noted;
// it reads the bytes again where depth has cut the index, or where so much is
// wrong that not all was noted.
func (v Value) Check() error {
	switch kind := v.Kind(); {
	case len(v.Bytes()) > MaxRecordBytes:
		return oversized(len(v.Bytes()))
	case kind != Object:
		return notObject(kind)
	case v.node == noNode || v.flags()&(cut|inner) != 0 || v.d.overflow || v.d.growth > MaxGrowth:
		if v.d.scratch == nil {
			v.d.scratch = new(Doc)
		}
		_, err := v.d.scratch.Parse(v.Bytes())
		return err
	}
	return v.d.verdict(int(v.start), int(v.end))
}

// Get gives the member of this name, the first of a repeated one. Names are
// compared without their escapes.
func (v Value) Get(name string) Value {
	if v.Kind() != Object {
		return Value{}
	}
	if v.indexed() {
		if at, ok := v.d.member(v.node, name); ok {
			return v.d.value(at)
		}
		return Value{}
	}
	var found Value
	v.each(func(m member) bool {
		if string(m.name()) == name {
			found = m.value
		}
		return !found.Exists()
	})
	return found
}

// At is Get of each name in turn.
func (v Value) At(path ...string) Value {
	for _, name := range path {
		v = v.Get(name)
	}
	return v
}

// Text gives the text of a string, and "" for any other kind. It is a copy. What
// is not Unicode in it (possible after ParseBody) has become U+FFFD.
func (v Value) Text() string { return string(v.TextBytes()) }

// TextBytes is Text without the copy, unless the string has escapes
// or is not Unicode.
func (v Value) TextBytes() []byte {
	if v.Kind() != String {
		return nil
	}
	text := v.d.src[v.start+1 : v.end-1 : v.end-1]
	if v.odd(text) {
		return unescape(make([]byte, 0, len(text)), text)
	}
	return text
}

// Is reports whether the value is a string of this text.
func (v Value) Is(text string) bool {
	return v.Kind() == String && string(v.TextBytes()) == text
}

// Literal gives the text of a string, a number or true or false as written, and
// "" for null, arrays, objects and what is Missing: an id may come as text or as
// a number. It is a copy.
func (v Value) Literal() string { return string(v.LiteralBytes()) }

// LiteralBytes is Literal without the copy, as TextBytes is Text.
func (v Value) LiteralBytes() []byte {
	switch v.Kind() {
	case String:
		return v.TextBytes()
	case Number, Bool:
		return v.Bytes()
	default:
		return nil
	}
}

// Int gives a whole number, however it is written (72, 72.0, 7.2e1), if an int64
// holds it; false for anything else, text too.
func (v Value) Int() (int64, bool) {
	if v.Kind() != Number {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v.Bytes()), 10, 64)
	if err != nil {
		n, err = strconv.ParseInt(string(appendNumber(nil, v.Bytes())), 10, 64)
	}
	return n, err == nil
}

// Bool reports whether the value is true.
func (v Value) Bool() bool { return v.Kind() == Bool && v.d.src[v.start] == 't' }

// Len counts an object's members, repeated ones too, or an array's elements.
func (v Value) Len() int {
	n := 0
	v.each(func(member) bool { n++; return true })
	return n
}

// Members yields an object's members in order, repeated ones too. Each name is a
// copy: where that matters, use Each.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		v.Each(func(name []byte, m Value) bool { return yield(string(name), m) })
	}
}

// Each calls f with an object's members in order, repeated ones too, until it
// returns false. The name aliases the document, unless it has escapes.
func (v Value) Each(f func(name []byte, member Value) bool) {
	if v.Kind() != Object {
		return
	}
	if !v.indexed() {
		v.eachByBytes(func(m member) bool { return f(m.name(), m.value) })
		return
	}
	nodes := v.d.nodes // as each does, without a call of its own for each member
	for at, end := v.node+1, nodes[v.node].next; at < end; at = nodes[at].next {
		n := &nodes[at]
		name := v.d.src[n.key:n.keyEnd:n.keyEnd]
		if n.flags&keyOdd != 0 {
			name = member{value: v, key: n.key, keyEnd: n.keyEnd, odd: true}.name()
		}
		if !f(name, Value{d: v.d, node: at, start: n.start, end: n.end}) {
			return
		}
	}
}

// Cursor goes over an object's members or an array's elements in order, repeated ones too, as Each and Elements do, without
// a function that is called for each:
//
//	for c := v.Cursor(); c.More(); c.Next() { … c.Name(), c.Kind() … }
//
// It is for what is Noted: where members are not, it gives none.
type Cursor struct {
	d       *Doc
	at, end uint32
}

// Cursor gives one at the first member or element. Anything but a noted object or array has none.
func (v Value) Cursor() Cursor {
	if kind := v.Kind(); kind < Array || !v.indexed() {
		return Cursor{}
	}
	return Cursor{v.d, v.node + 1, v.d.nodes[v.node].next}
}

// More reports whether the cursor is at a member or an element.
func (c *Cursor) More() bool { return c.at < c.end }

// Next goes on to the next one.
func (c *Cursor) Next() { c.at = c.d.nodes[c.at].next }

// Kind tells what the value is that the cursor is at.
func (c *Cursor) Kind() Kind { return kinds[c.d.src[c.d.nodes[c.at].start]] }

// Value gives the value that the cursor is at.
func (c *Cursor) Value() Value { return c.d.value(c.at) }

// Name gives the member's name, which aliases the document unless it has escapes; of an element it is empty.
func (c *Cursor) Name() []byte {
	n := &c.d.nodes[c.at]
	if n.flags&keyOdd != 0 {
		return c.oddName()
	}
	return c.d.src[n.key:n.keyEnd:n.keyEnd]
}

func (c *Cursor) oddName() []byte {
	n := &c.d.nodes[c.at]
	return member{value: c.Value(), key: n.key, keyEnd: n.keyEnd, odd: true}.name()
}

// Elements yields an array's elements with their index.
func (v Value) Elements() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		i := -1
		if v.Kind() == Array {
			v.each(func(m member) bool {
				i++
				return yield(i, m.value)
			})
		}
	}
}

func (v Value) flags() uint8 { return v.d.nodes[v.node].flags }

// indexed reports whether the members are noted.
func (v Value) indexed() bool { return v.node != noNode && v.flags()&cut == 0 }

// odd reports whether the text of the string differs from what stands between
// its quotes.
func (v Value) odd(quoted []byte) bool {
	return (v.node == noNode || v.flags()&textOdd != 0) && isOdd(quoted)
}

// Noted reports whether all that the value holds is noted, as after Parse it is,
// so that none of its bytes needs to be read again.
func (v Value) Noted() bool {
	return v.d != nil && v.node != noNode && v.flags()&(cut|inner) == 0
}
