package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// MaxSubjectRunes is where a subject line is cut.
const MaxSubjectRunes = 300

// subjectKey is the one top-level key that a timeline payload may have beyond
// the vendor's own. A vendor's own key of that name gets refSuffix, and so does
// one that already ends so ("subject_ref"): no two of its keys become one.
const (
	subjectKey = "subject"
	refSuffix  = "_ref"
)

// WithSubject makes the timeline's payload of a vendor's event: every vendor
// field as it is, a top-level `subject` of the vendor's renamed to `subject_ref`,
// and, when SubjectLine of subject says something, a first key `subject` that
// holds it. All other bytes stay, but for white space around the object. raw must
// have passed Parse at some time; it is scanned here only if its bytes hint at a
// key to rename. The result aliases raw when there is nothing to change. What is
// no JSON object is Permanent(Malformed).
func WithSubject(raw []byte, subject string) ([]byte, error) {
	raw = bytes.Trim(raw, whiteSpace)
	line := SubjectLine(subject)
	// A name can hide behind escapes; anything else shows in plain bytes.
	if bytes.Contains(raw, []byte(`"`+subjectKey)) || bytes.Contains(raw, []byte(`\u00`)) {
		var d Doc
		v, err := d.ParseBody(raw, 1)
		if err != nil {
			return nil, fmt.Errorf("reading the payload: %w", err)
		}
		if v.Kind() == Object {
			return v.WithSubject(subject), nil
		}
	}
	if len(raw) == 0 || raw[0] != '{' {
		return nil, fault.Permanent(fault.Malformed, errors.New("the payload is not a JSON object"))
	}
	if line == "" {
		return raw, nil
	}
	out := make([]byte, 0, len(raw)+len(line)+len(`"":"",`)+len(subjectKey))
	out = appendSubject(append(out, '{'), line, raw[1:])
	return append(out, raw[1:]...), nil
}

// WithSubject is the function of the same name for an object that is scanned
// already. Anything else than an object gives its Bytes.
func (v Value) WithSubject(subject string) []byte {
	line := SubjectLine(subject)
	if v.Kind() != Object || line == "" && !v.hasReserved() {
		return v.Bytes()
	}
	return v.appendWithSubject(make([]byte, 0, int(v.end-v.start)+len(line)+32), line)
}

// AppendWithSubject appends what WithSubject gives.
func (v Value) AppendWithSubject(out []byte, subject string) []byte {
	if v.Kind() != Object {
		return append(out, v.Bytes()...)
	}
	return v.appendWithSubject(out, SubjectLine(subject))
}

func (v Value) hasReserved() bool {
	found := false
	v.each(func(m member) bool {
		found = reserved(m)
		return !found
	})
	return found
}

func (v Value) appendWithSubject(out []byte, line string) []byte {
	src, copied := v.d.src, v.start+1
	out = append(out, '{')
	if line != "" {
		out = appendSubject(out, line, src[copied:v.end])
	}
	v.each(func(m member) bool {
		if reserved(m) {
			out = append(out, src[copied:m.key]...)
			out = append(append(out, m.name()...), refSuffix...)
			copied = m.keyEnd
		}
		return true
	})
	return append(out, src[copied:v.end]...)
}

// appendSubject appends the member `subject` and, if others follow in rest, a comma.
func appendSubject(out []byte, line string, rest []byte) []byte {
	out = append(out, `"`+subjectKey+`":`...)
	if isLine(line) && !strings.ContainsAny(line, `"\<>&`) {
		out = append(append(append(out, '"'), line...), '"')
	} else if quoted, err := json.Marshal(line); err == nil { // every Go string has a JSON form
		out = append(out, quoted...)
	}
	if i := space(rest, 0); i < len(rest) && rest[i] != '}' {
		out = append(out, ',')
	}
	return out
}

// reserved: subject, subject_ref, subject_ref_ref, …
func reserved(m member) bool {
	if !m.odd && m.keyEnd-m.key < uint32(len(subjectKey)) {
		return false
	}
	rest, ok := bytes.CutPrefix(m.name(), []byte(subjectKey))
	for ok && len(rest) > 0 {
		rest, ok = bytes.CutPrefix(rest, []byte(refSuffix))
	}
	return ok
}

// SubjectLine makes one storable line of a vendor's text: white space folded,
// control characters (C0, C1, DEL) and those that change the direction of text or
// have no width gone, but for the joiners of scripts and emoji; cut after
// MaxSubjectRunes. Strangers write it, and terminals show it.
func SubjectLine(s string) string {
	if isLine(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }), " ")
	if utf8.RuneCountInString(s) <= MaxSubjectRunes {
		return s
	}
	return string([]rune(s)[:MaxSubjectRunes]) + "…"
}

// isLine reports the usual case: short ASCII that needs no folding.
func isLine(s string) bool {
	if len(s) > MaxSubjectRunes {
		return false
	}
	before := byte(' ')
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c >= 0x7f || c == ' ' && before == ' ' {
			return false
		}
		before = c
	}
	return s == "" || before != ' '
}
