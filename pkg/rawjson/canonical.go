package rawjson

import (
	"bytes"
	"slices"
	"strconv"
)

// Canonical gives one form to all JSON that says the same: no white space, the
// members of each object in the order of their names' bytes, texts with only
// the escapes that they need, and numbers by their value (72, 72.0 and 7.2e1
// are 72; -0 is 0). It is meant for hashes and for comparing, and never changes:
// stored identities rest on it.
//
// without are JSON pointers, from v, to what is left out. Repeated names stay,
// in their order. Missing gives nil.
func Canonical(v Value, without ...string) []byte {
	if !v.Exists() {
		return nil
	}
	c := canon{out: make([]byte, 0, v.end-v.start)}
	for _, pointer := range without {
		if leave := Pointer(v, pointer); leave.Exists() {
			c.without = append(c.without, leave.start)
		}
	}
	c.value(v)
	return c.out
}

type canon struct {
	out     []byte
	without []uint32 // where the values start that are left out
	sorted  []named  // the members of the open objects
}

type named struct {
	name  []byte
	value Value
}

func (c *canon) value(v Value) {
	if slices.Contains(c.without, v.start) {
		return // the top itself: nothing is left
	}
	switch v.Kind() {
	case Object:
		c.object(v)
	case Array:
		open := len(c.out)
		v.each(func(m member) bool {
			if !slices.Contains(c.without, m.value.start) {
				c.out = append(c.out, ',')
				c.value(m.value)
			}
			return true
		})
		c.enclose(open, '[', ']')
	case String:
		c.out = appendText(c.out, v.TextBytes())
	case Number:
		c.out = appendNumber(c.out, v.Bytes())
	default:
		c.out = append(c.out, v.Bytes()...)
	}
}

func (c *canon) object(v Value) {
	first, open := len(c.sorted), len(c.out)
	v.each(func(m member) bool {
		if !slices.Contains(c.without, m.value.start) {
			c.sorted = append(c.sorted, named{m.name(), m.value})
		}
		return true
	})
	slices.SortStableFunc(c.sorted[first:], func(a, b named) int { return bytes.Compare(a.name, b.name) })
	for i, end := first, len(c.sorted); i < end; i++ {
		m := c.sorted[i] // c.sorted may move
		c.out = append(c.out, ',')
		c.out = appendText(c.out, m.name)
		c.out = append(c.out, ':')
		c.value(m.value)
	}
	c.sorted = c.sorted[:first]
	c.enclose(open, '{', '}')
}

// enclose makes an array or object of what was written since open, where each
// member has a comma before it.
func (c *canon) enclose(open int, left, right byte) {
	if len(c.out) == open {
		c.out = append(c.out, left)
	}
	c.out[open] = left
	c.out = append(c.out, right)
}

// appendText appends text as a JSON string. What is not Unicode becomes U+FFFD.
func appendText(out, text []byte) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	for i := 0; i < len(text); {
		plain := i
		if i = ordinary(text, i); i > plain {
			out = append(out, text[plain:i]...)
			continue
		}
		switch c := text[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default: // TextBytes has made it valid
			out = append(out, c)
		}
		i++
	}
	return append(out, '"')
}

// appendNumber appends a number in the one form of its value: digits, with as
// many zeros after them as make an integer of up to 21 digits, and otherwise
// digits and an exponent without sign or zeros in front (15e-1 for 1.5).
func appendNumber(out, literal []byte) []byte {
	negative := literal[0] == '-'
	mantissa, exponent := bytes.TrimPrefix(literal, []byte("-")), 0
	if e := bytes.IndexAny(mantissa, "eE"); e >= 0 {
		n, err := strconv.ParseInt(string(mantissa[e+1:]), 10, 32)
		if err != nil {
			return append(out, literal...) // beyond all bounds: as it stands
		}
		mantissa, exponent = mantissa[:e], int(n)
	}
	digits := mantissa
	if whole, fraction, found := bytes.Cut(mantissa, []byte(".")); found {
		digits = slices.Concat(whole, fraction)
		exponent -= len(fraction)
	}
	digits = bytes.TrimLeft(digits, "0")
	if len(digits) == 0 {
		return append(out, '0')
	}
	significant := bytes.TrimRight(digits, "0")
	exponent += len(digits) - len(significant)
	if negative {
		out = append(out, '-')
	}
	out = append(out, significant...)
	const integerDigits = 21 // as JavaScript and RFC 8785 write them
	if exponent >= 0 && len(significant)+exponent <= integerDigits {
		return append(out, "000000000000000000000"[:exponent]...)
	}
	return strconv.AppendInt(append(out, 'e'), int64(exponent), 10)
}
