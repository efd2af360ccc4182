package source

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// subjectKey is the one top-level key that a timeline payload may have beyond
// the vendor's own. A vendor's own key of that name gets refSuffix, and so does
// one that already ends so ("subject_ref"): that keeps the renaming reversible.
const (
	subjectKey = "subject"
	refSuffix  = "_ref"
)

// Payload makes the timeline's payload of a vendor's event: every vendor field
// as it is, a top-level `subject` of the vendor's renamed to `subject_ref`, and,
// when subject says something, a first key `subject` that holds it. All other
// bytes stay. raw must have passed CheckJSON. It returns raw itself when there
// is nothing to change. Original undoes it.
func Payload(raw []byte, subject string) []byte {
	out := rename(raw, func(name string) string { return name + refSuffix })
	subject = SubjectLine(subject)
	if subject == "" {
		return out
	}
	quoted, err := json.Marshal(subject)
	if err != nil {
		return out // cannot happen: every Go string has a JSON form
	}
	open := bytes.IndexByte(out, '{') + 1
	with := make([]byte, 0, len(out)+len(quoted)+len(subjectKey)+4)
	with = append(with, out[:open]...)
	with = append(with, `"`+subjectKey+`":`...)
	with = append(with, quoted...)
	if !bytes.HasPrefix(bytes.TrimLeft(out[open:], " \t\r\n"), []byte("}")) {
		with = append(with, ',')
	}
	return append(with, out[open:]...)
}

// Original gives back the vendor's bytes that Payload was made of, so that an
// event which failed at the sink can re-enter at the front door. payload must
// have come from Payload.
func Original(payload []byte) []byte {
	out := payload
	open := bytes.IndexByte(payload, '{') + 1
	// After Payload, a key `subject` can only be ours, and it stands first.
	if prefix := []byte(`"` + subjectKey + `":`); bytes.HasPrefix(payload[open:], prefix) {
		dec := jsontext.NewDecoder(bytes.NewBuffer(payload[open+len(prefix):]))
		if err := dec.SkipValue(); err != nil {
			return payload
		}
		next := open + len(prefix) + int(dec.InputOffset())
		if payload[next] == ',' {
			next++
		}
		out = append(bytes.Clone(payload[:open]), payload[next:]...)
	}
	return rename(out, func(name string) string { return strings.TrimSuffix(name, refSuffix) })
}

// SubjectLine makes one storable line of a vendor's text: white space folded,
// control characters gone, cut after MaxSubjectRunes.
func SubjectLine(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if utf8.RuneCountInString(s) <= MaxSubjectRunes {
		return s
	}
	return string([]rune(s)[:MaxSubjectRunes]) + "…"
}

// rename gives raw with its top-level keys subject, subject_ref, … renamed by
// to. Without such a key it gives raw itself.
func rename(raw []byte, to func(string) string) []byte {
	// A name can hide behind escapes; anything else shows in plain bytes.
	if !bytes.Contains(raw, []byte(`"`+subjectKey)) && !bytes.Contains(raw, []byte(`\u00`)) {
		return raw
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '{' {
		return raw
	}
	var out []byte
	copied := 0
	for dec.PeekKind() == '"' {
		quoted, err := dec.ReadValue()
		if err != nil {
			return raw
		}
		end := int(dec.InputOffset())
		name, err := jsontext.AppendUnquote(nil, quoted)
		if err == nil && reserved(string(name)) {
			out = append(out, raw[copied:end-len(quoted)]...)
			out = append(out, `"`+to(string(name))+`"`...)
			copied = end
		}
		if err := dec.SkipValue(); err != nil {
			return raw
		}
	}
	if copied == 0 {
		return raw
	}
	return append(out, raw[copied:]...)
}

// reserved: subject, subject_ref, subject_ref_ref, …
func reserved(name string) bool {
	rest, ok := strings.CutPrefix(name, subjectKey)
	for ok && rest != "" {
		rest, ok = strings.CutPrefix(rest, refSuffix)
	}
	return ok
}
