package event

import (
	"fmt"
	"strings"
)

const (
	// maxLetterBytes bounds a dead letter with some room below what its topic
	// takes in one batch (4 MiB).
	maxLetterBytes = 3 << 20
	// maxLetterKey bounds a key that is kept: it travels twice, in the letter
	// and as the record's own.
	maxLetterKey = 64 << 10
	// maxLetterError bounds the sentence.
	maxLetterError = 1000
)

// Bound makes l something that its topic and Postgres take, whatever a third
// party published: the sentence is cut and made clean text, and what is too
// large is left out, of which the sentence then tells; those bytes remain where
// the letter says. Both stages that write dead letters call it last. It gives
// the key for the letter's record.
func (l *DeadLetter) Bound() (key []byte) {
	var left []string
	if n := len(l.Key); n > maxLetterKey {
		l.Key, left = nil, append(left, fmt.Sprintf("a key of %d bytes", n))
	}
	headers := 0
	for _, h := range l.Headers {
		headers += len(h.Key) + len(h.Value)
	}
	if headers > maxLetterBytes/2 {
		l.Headers, left = []Header{}, append(left, fmt.Sprintf("headers of %d bytes", headers))
		headers = 0
	}
	if n := len(l.Value); n+headers > maxLetterBytes {
		l.Value, left = nil, append(left, fmt.Sprintf("a value of %d bytes", n))
	}
	note := ""
	if len(left) > 0 {
		element := ""
		if l.RawIndex >= 0 {
			element = fmt.Sprintf(" element %d", l.RawIndex)
		}
		note = fmt.Sprintf("; left out of the dead letter as too large, and to be found at %s/%d offset %d%s: %s",
			l.Topic, l.Partition, l.Offset, element, strings.Join(left, ", "))
	}
	l.Error = cleanText(l.Error, maxLetterError-len(note)) + note
	return l.Key
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
