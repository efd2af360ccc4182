package source

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/throughline-dev/throughline/pkg/rawjson"
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
// bytes stay. raw must have passed rawjson.Doc.Parse. It returns raw itself when there
// is nothing to change. Original undoes it.
func Payload(raw []byte, subject string) []byte {
	subject = rawjson.SubjectLine(subject)
	if subject == "" {
		return rename(raw, withSuffix)
	}
	quoted, err := json.Marshal(subject)
	if err != nil {
		return rename(raw, withSuffix) // cannot happen: every Go string has a JSON form
	}
	open := bytes.IndexByte(raw, '{') + 1
	out := make([]byte, 0, len(raw)+len(quoted)+len(`"":,`)+len(subjectKey)+len(refSuffix))
	out = append(out, raw[:open]...)
	out = append(out, `"`+subjectKey+`":`...)
	out = append(out, quoted...)
	if !bytes.HasPrefix(bytes.TrimLeft(raw[open:], " \t\r\n"), []byte("}")) {
		out = append(out, ',')
	}
	out, copied := appendRenamed(out, raw, open, withSuffix)
	return append(out, raw[copied:]...)
}

func withSuffix(name string) string { return name + refSuffix }

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

// rename gives raw, valid JSON, with its top-level keys subject, subject_ref, …
// renamed by to. Without such a key it gives raw itself.
func rename(raw []byte, to func(string) string) []byte {
	out, copied := appendRenamed(nil, raw, 0, to)
	if copied == 0 {
		return raw
	}
	return append(out, raw[copied:]...)
}

// appendRenamed appends raw[from:] with such keys renamed, up to the last one's
// end, which it gives (from: there is none, and nothing is appended).
func appendRenamed(out, raw []byte, from int, to func(string) string) ([]byte, int) {
	// A name can hide behind escapes; anything else shows in plain bytes.
	if !bytes.Contains(raw, []byte(`"`+subjectKey)) && !bytes.Contains(raw, []byte(`\u00`)) {
		return out, from
	}
	copied := from
	for start, end := range topNames(raw) {
		name, quoted := "", raw[start:end]
		switch {
		case bytes.IndexByte(quoted, '\\') >= 0:
			plain, err := jsontext.AppendUnquote(nil, quoted)
			if err != nil {
				continue
			}
			name = string(plain)
		case bytes.HasPrefix(quoted, []byte(`"`+subjectKey)):
			name = string(bytes.Trim(quoted, `"`))
		}
		if !reserved(name) {
			continue
		}
		if out == nil {
			out = make([]byte, 0, len(raw)+len(refSuffix))
		}
		out = append(out, raw[copied:start]...)
		out = append(out, `"`+to(name)+`"`...)
		copied = end
	}
	return out, copied
}

// topNames yields where each name of the top object starts and ends, quotes
// included. raw is known to be valid, so looking at its brackets and strings is
// enough, and several times faster than reading its tokens again.
func topNames(raw []byte) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		depth, name := 0, false
		for i := 0; i < len(raw); i++ {
			switch raw[i] {
			case '"':
				end := endOfString(raw, i)
				if name && !yield(i, end) {
					return
				}
				name = false
				i = end - 1
			case '{', '[':
				depth++
				name = depth == 1
			case '}', ']':
				depth--
			case ',':
				name = depth == 1
			}
		}
	}
}

// endOfString gives the place after the quote that ends the string at start.
func endOfString(raw []byte, start int) int {
	for i := start + 1; ; i++ {
		next := bytes.IndexByte(raw[i:], '"')
		if next < 0 {
			return len(raw)
		}
		i += next
		escapes := 0
		for raw[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// reserved: subject, subject_ref, subject_ref_ref, …
func reserved(name string) bool {
	rest, ok := strings.CutPrefix(name, subjectKey)
	for ok && rest != "" {
		rest, ok = strings.CutPrefix(rest, refSuffix)
	}
	return ok
}
