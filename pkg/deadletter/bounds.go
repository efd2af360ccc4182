package deadletter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	// maxValueBytes bounds the failed record's value, with some room below what
	// the topic takes in one batch (4 MiB).
	maxValueBytes = 3 << 20
	// maxKeyBytes bounds a key that is kept: it travels twice, in the letter and
	// as the record's own.
	maxKeyBytes = 64 << 10
	// maxErrorBytes bounds the sentence.
	maxErrorBytes = 1000
	// maxSourceBytes bounds a source's name and a reference's kind.
	maxSourceBytes = 200
)

// bound makes l something that its topic and Postgres take: the sentence is cut
// and made clean text, and what is too large is left out, of which the sentence
// then tells; it remains where the letter says. Headers are bounded by how they
// are made.
func bound(l *event.DeadLetter) {
	var left []string
	if n := len(l.Key); n > maxKeyBytes {
		l.Key, left = nil, append(left, fmt.Sprintf("a key of %d bytes", n))
	}
	if n := len(l.Value); n > maxValueBytes {
		l.Value, left = nil, append(left, fmt.Sprintf("a value of %d bytes", n))
	}
	// What is cut of an identity is another one's.
	for _, text := range []struct {
		name string
		of   *string
		most int
	}{
		{"source", &l.Source, maxSourceBytes}, {"tenant", &l.Tenant, source.MaxTenantBytes},
		{"event_type", &l.Type, source.MaxTypeBytes}, {"source_event_id", &l.SourceEventID, source.MaxIDBytes},
	} {
		if n := len(*text.of); n > text.most {
			*text.of, left = "", append(left, fmt.Sprintf("%s of %d bytes", text.name, n))
		}
	}
	references := slices.DeleteFunc(slices.Clone(l.References), func(r source.Reference) bool {
		return len(r.ID) > source.MaxReferenceBytes || len(r.Tenant) > source.MaxTenantBytes || len(r.Source) > maxSourceBytes || len(r.Kind) > maxSourceBytes
	})
	references = references[:min(len(references), source.MaxReferences)]
	if n := len(l.References) - len(references); n > 0 {
		left = append(left, fmt.Sprintf("%d references", n))
	}
	if l.References = references; references == nil {
		l.References = []source.Reference{}
	}
	note := ""
	if len(left) > 0 {
		note = fmt.Sprintf("; left out of the dead letter as too large, and to be found at %s: %s", place(l), strings.Join(left, ", "))
	}
	l.Error = cleanText(l.Error, max(0, maxErrorBytes-len(note))) + note
}

// bare leaves out all that could be the reason why l cannot be written.
func bare(l *event.DeadLetter, why error) {
	note := fmt.Sprintf("; the dead letter is without the record's bytes, to be found at %s: %s", place(l), cleanText(why.Error(), maxErrorBytes/4))
	if len(l.Key) > maxSourceBytes {
		l.Key = nil
	}
	l.Value, l.Headers, l.References = nil, []event.Header{}, []source.Reference{}
	l.Source, l.Tenant, l.Type, l.SourceEventID = "", "", "", ""
	l.Error = cleanText(l.Error, max(0, maxErrorBytes-len(note))) + note
}

// place names where the record, or the element of the page that it is, lies.
func place(l *event.DeadLetter) string {
	where := fmt.Sprintf("%s/%d offset %d", l.Topic, l.Partition, l.Offset)
	if l.RawIndex >= 0 {
		where += fmt.Sprintf(" element %d", l.RawIndex)
	}
	return where
}

// cleanText gives s as UTF-8 without NUL, which Postgres refuses, of at most
// this many bytes.
func cleanText(s string, most int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}
