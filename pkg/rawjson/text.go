package rawjson

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads on, at i, in a string that ordinary alone could not read, and gives
// the place after its closing quote, or -1.
func (d *Doc) text(i int) int {
	src := d.src
	for ; ; i = ordinary(src, i) {
		if i >= len(src) {
			return d.failed(stopped(src, i, "the end of a string"))
		}
		switch c := src[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = d.escape(i); i < 0 {
				return i
			}
		case c >= utf8.RuneSelf:
			i = d.runes(i)
		default:
			return d.failed(stopped(src, i, "no control character, but its escape,"))
		}
	}
}

// runes skips the characters at i that are not ASCII.
func (d *Doc) runes(i int) int {
	for src := d.src; i < len(src) && src[i] >= utf8.RuneSelf; {
		_, size := utf8.DecodeRune(src[i:])
		if size == 1 {
			d.note(badUTF8, i)
		}
		i += size
	}
	return i
}

// ordinary skips what needs no look: ASCII but for control characters, quotes
// and backslashes, eight bytes at a time.
func ordinary(src []byte, i int) int {
	for ; i+8 <= len(src); i += 8 {
		if special := specials(binary.LittleEndian.Uint64(src[i:])); special != 0 {
			return i + bits.TrailingZeros64(special)>>3
		}
	}
	for i < len(src) && src[i] >= ' ' && src[i] < utf8.RuneSelf && src[i] != '"' && src[i] != '\\' {
		i++
	}
	return i
}

// specials marks, by its highest bit, the first of eight bytes that ordinary does not skip:
// the lowest mark is exact, those above it may not be.
func specials(x uint64) uint64 {
	const (
		ones = 0x0101010101010101
		high = 0x8080808080808080
	)
	quote, slash := x^ones*'"', x^ones*'\\'
	return ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*' ')&^x | x) & high
}

// escape reads the escape at i and gives where it ends, or -1.
func (d *Doc) escape(i int) int {
	src := d.src
	if i+1 >= len(src) {
		return d.failed(stopped(src, i+1, "an escape"))
	}
	switch src[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		r := hex4(src, i+2)
		switch {
		case r < 0:
			return d.failed(stopped(src, min(i+2, len(src)), "four hexadecimal digits"))
		case r == 0:
			d.note(nul, i)
		case utf16.IsSurrogate(r):
			if utf16.DecodeRune(r, escaped(src, i+6)) != utf8.RuneError {
				return i + 12
			}
			d.note(loneSurrogate, i)
		}
		return i + 6
	}
	return d.failed(stopped(src, i+1, "an escape"))
}

// escaped gives the code unit of an escape \uXXXX at i, or -1.
func escaped(src []byte, i int) rune {
	if i+2 > len(src) || src[i] != '\\' || src[i+1] != 'u' {
		return -1
	}
	return hex4(src, i+2)
}

// hex4 gives the value of the four hexadecimal digits at i, or -1.
func hex4(src []byte, i int) rune {
	if i+4 > len(src) {
		return -1
	}
	var r rune
	for _, c := range src[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// Unescape reads JSON's escapes in any bytes, wherever they stand, for whoever looks
// for something in them: the strings of a document are as their reader has them. What
// is no escape stays, and what is not Unicode becomes U+FFFD.
func Unescape(text []byte) []byte { return unescape(make([]byte, 0, len(text)), text) }

// unescape appends the text of what stands between a string's quotes. What is not
// Unicode becomes U+FFFD. What text has not passed may have no whole escape at its end.
func unescape(dst, quoted []byte) []byte {
	for i := 0; i < len(quoted); {
		plain := i
		if i = ordinary(quoted, i); i > plain {
			dst = append(dst, quoted[plain:i]...)
			continue
		}
		if quoted[i] != '\\' {
			r, size := utf8.DecodeRune(quoted[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		if i+1 == len(quoted) {
			return append(dst, '\\')
		}
		switch c := quoted[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(quoted, i+2)
			if r < 0 {
				dst = append(dst, '\\', 'u')
				break
			}
			i += 4
			if utf16.IsSurrogate(r) {
				if r = utf16.DecodeRune(r, escaped(quoted, i+2)); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
		i += 2
	}
	return dst
}

// firstRune is the character that b starts with, for an error's text.
func firstRune(b []byte) string {
	_, size := utf8.DecodeRune(b)
	return string(b[:size])
}
