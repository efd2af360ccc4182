package rawjson

import (
	"bytes"
	"slices"
	"strconv"
)

// Difference gives the JSON pointer of the first place, in the order of names,
// where two values say something else by their Canonical forms; different is
// false when they say the same. A pointer that is "" means the values themselves.
// without are JSON pointers, from both values, to what is left out. Names come
// from senders; a pointer is cut after 200 bytes.
func Difference(a, b Value, without ...string) (pointer string, different bool) {
	x, y := Canonical(a, without...), Canonical(b, without...)
	if bytes.Equal(x, y) {
		return "", false
	}
	// Read again, so that what is left out is gone. A canonical form that cannot
	// be read (of a number beyond all bounds) differs as a whole.
	var c, d Doc
	v, err := c.ParseBody(x, 0)
	if err != nil {
		return "", true
	}
	w, err := d.ParseBody(y, 0)
	if err != nil {
		return "", true
	}
	return clip(place(v, w), 200), true
}

// place finds where two different canonical values differ.
func place(v, w Value) string {
	if bytes.Equal(v.Bytes(), w.Bytes()) || v.Kind() != w.Kind() || v.Kind() != Object && v.Kind() != Array {
		return ""
	}
	a, b := membersOf(v), membersOf(w)
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return b[i].pointer(i)
		case i >= len(b):
			return a[i].pointer(i)
		}
		switch order := bytes.Compare(a[i].name, b[i].name); {
		case order < 0:
			return a[i].pointer(i)
		case order > 0:
			return b[i].pointer(i)
		case !bytes.Equal(a[i].value.Bytes(), b[i].value.Bytes()):
			return a[i].pointer(i) + place(a[i].value, b[i].value)
		}
	}
	return ""
}

// membersOf gives the members of a canonical object, or elements, which have no name.
func membersOf(v Value) (list []named) {
	v.each(func(m member) bool {
		n := named{value: m.value}
		if m.keyEnd > 0 {
			n.name = slices.Clone(m.name())
		}
		list = append(list, n)
		return true
	})
	return list
}

func (n named) pointer(index int) string {
	if n.name == nil {
		return "/" + strconv.Itoa(index)
	}
	return "/" + escapeToken.Replace(string(n.name))
}
