package rawjson

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// problem is what a strict reading refuses in a document that has JSON's grammar.
type problem uint8

const (
	duplicateName problem = iota
	badUTF8
	loneSurrogate
	nul
	longNumber
	longNumbers
)

var tooDeep = fmt.Sprintf("the JSON is nested more than %d deep", MaxDepth)

// note is a problem and its place in the document.
type note struct {
	what problem
	at   uint32
}

// maxNotes is more than a page's elements that an attentive sender gets wrong.
const maxNotes = 256

// note keeps a problem. When there are too many, the first duplicate name still
// takes the last place, because it alone makes a record Malformed.
func (d *Doc) note(what problem, at int) {
	if len(d.notes) < maxNotes {
		d.notes = append(d.notes, note{what, uint32(at)})
		return
	}
	d.overflow = true
	if last := &d.notes[maxNotes-1]; what == duplicateName && last.what != duplicateName {
		*last = note{what, uint32(at)}
	}
}

// verdict is what a strict reading of the value in src[start:end] says: the
// first duplicate name, or else the first of the other problems; nil without.
func (d *Doc) verdict(start, end int) error {
	var first *note
	for i := range d.notes {
		n := &d.notes[i]
		if int(n.at) < start || int(n.at) >= end {
			continue
		}
		if n.what == duplicateName {
			return fault.Permanent(fault.Malformed, errors.New(d.describe(*n, start)))
		}
		if first == nil {
			first = n
		}
	}
	if first == nil {
		return nil
	}
	return fault.Permanent(fault.Unstorable, errors.New(d.describe(*first, start)))
}

// describe says what a note means, with places counted from start.
func (d *Doc) describe(n note, start int) string {
	where := fmt.Sprintf("at byte %d (%s)", int(n.at)-start, d.place(start, n.at))
	switch n.what {
	case duplicateName:
		return "not valid JSON: duplicate name " + where
	case badUTF8:
		return "a text that is not valid UTF-8 " + where
	case loneSurrogate:
		return "a text with a lone surrogate, which Postgres refuses, " + where
	case nul:
		return "a text that holds NUL, which Postgres refuses, " + where
	case longNumber:
		return fmt.Sprintf("a number of more than %d digits, written out, %s", MaxNumberDigits, where)
	default:
		return fmt.Sprintf("numbers that grow by more than %d bytes, written out, %s", MaxGrowth, where)
	}
}

// place is the JSON pointer, from the value that starts at or after start, of
// the innermost noted value that at is in. It is cut and clean, so that a
// hostile name cannot fill or break a log.
func (d *Doc) place(start int, at uint32) string {
	const most = 120
	var pointer strings.Builder
	for v := d.value(0); pointer.Len() < most; {
		var in member
		index := -1
		v.each(func(m member) bool {
			index++
			if m.start() <= at && at < m.value.end {
				in = m
			}
			return !in.value.Exists()
		})
		if !in.value.Exists() {
			break
		}
		if int(v.start) >= start {
			pointer.WriteString("/" + in.token(index))
		}
		v = in.value
	}
	if pointer.Len() == 0 {
		return "the top"
	}
	return clip(strings.Map(visible, pointer.String()), most)
}

func visible(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return utf8.RuneError
}

// clip cuts a text after most bytes, and not within a character.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
