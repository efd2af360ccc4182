package vendors

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"regexp"
	"strings"
)

var betweenTags = regexp.MustCompile(`>\s+(<|\{\{)|(\}\})\s+<`)

// compactXML takes the white space between elements away, as vendors do.
func compactXML(text string) string {
	return strings.TrimSpace(betweenTags.ReplaceAllStringFunc(text, func(s string) string { return strings.Join(strings.Fields(s), "") }))
}

// inXML makes a writer of JSON one of an element's text: null is none.
func inXML(write writer) writer {
	return func(dst []byte, r *rendering) []byte {
		start := len(dst)
		dst = write(dst, r)
		text := string(dst[start:])
		if !strings.ContainsAny(text, "\"\\<>&'") && text != "null" {
			return dst
		}
		return appendXML(dst[:start], text)
	}
}

// appendXML appends what a JSON value, or the inside of a JSON text, says.
func appendXML(dst []byte, value string) []byte {
	var text *string
	if !strings.HasPrefix(value, `"`) && value != "null" {
		value = `"` + value + `"`
	}
	if err := json.Unmarshal([]byte(value), &text); err != nil || text == nil {
		return dst
	}
	var out bytes.Buffer
	_ = xml.EscapeText(&out, []byte(*text)) // a buffer takes everything
	return append(dst, out.Bytes()...)
}

// withMembers puts an event's further members, which are JSON, behind its record's
// fields, each as a field.
func withMembers(event []byte, members string) []byte {
	const end = "</sObject>"
	at := bytes.LastIndex(event, []byte(end))
	var further map[string]json.RawMessage
	if err := json.Unmarshal([]byte("{"+members+"}"), &further); err != nil || at < 0 {
		return event
	}
	fields := bytes.Clone(event[:at])
	for name, value := range further {
		fields = append(fields, "<sf:"+name+">"...)
		fields = append(appendXML(fields, string(value)), "</sf:"+name+">"...)
	}
	return append(fields, event[at:]...)
}
