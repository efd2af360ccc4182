package resolve

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/throughline-dev/throughline/pkg/source"
)

// How an e-mail address is spelled in texts, as patterns that Go and Postgres read alike, upper and lower case being the
// same: as it is, in a URL, in HTML and in JSON, and in a URL within a URL. The functions spelled_at, spelled_plus and
// spelled_gap of the database have the same (migration 00031).
const (
	// SpelledAt is the @.
	SpelledAt = `@|%(?:25){0,3}40|&(?:amp;){0,2}(?:#0{0,6}64|#x0{0,6}40|commat);|\\u0040`
	// SpelledPlus is a + in another spelling.
	SpelledPlus = `%(?:25){0,3}2b|&(?:amp;){0,2}(?:#0{0,6}43|#x0{0,6}2b|plus);|\\u002b`
	// SpelledGap ends a word in a URL: an escape of what is neither a letter or digit nor one of . _ % + -
	SpelledGap = `%(?:25){0,3}(?:[01][0-9a-f]|2[0-46-9acf]|3[a-f]|5[b-e]|60|7[b-f])`
)

var (
	// address is what can be an e-mail address in a text.
	address = regexp.MustCompile(`[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`)
	// spelled is what plain reads.
	spelled = regexp.MustCompile(`(?i)(` + strings.TrimPrefix(SpelledAt, "@|") + `)|(` + SpelledPlus + `)|` + SpelledGap)
)

// mostAddresses bounds what Addresses gives of one text.
const mostAddresses = 500

// plain gives a text with addresses as they are.
func plain(text []byte) []byte {
	if !bytes.ContainsAny(text, `%&\`) {
		return text
	}
	found := spelled.FindAllSubmatchIndex(text, -1)
	if len(found) == 0 {
		return text
	}
	out, from := make([]byte, 0, len(text)), 0
	for _, at := range found {
		out = append(out, text[from:at[0]]...)
		switch {
		case at[2] >= 0:
			out = append(out, '@')
		case at[4] >= 0:
			out = append(out, '+')
		default:
			out = append(out, ' ')
		}
		from = at[1]
	}
	return append(out, text[from:]...)
}

// Addresses gives the e-mail addresses that stand in a text, such as an event's bytes, in any spelling of SpelledAt: the
// first 500, each once. They are no evidence of whose an event is, since anybody writes texts; they are what may have been
// erased.
func Addresses(text []byte) (refs []source.Reference) {
	if text = plain(text); !bytes.ContainsRune(text, '@') {
		return nil
	}
	seen := map[string]bool{}
	add := func(found string) {
		if one, ok := source.Email(found); ok && !seen[one] && source.IsText(one) {
			seen[one] = true
			refs = append(refs, source.Reference{Source: source.KindEmail, Kind: source.KindEmail, ID: one})
		}
	}
	for _, at := range address.FindAllIndex(text, mostAddresses) {
		found := string(text[at[0]:at[1]])
		add(found)
		if at[0] > 0 && text[at[0]-1] == '\\' { // the letter of an escape, as in "\n"
			add(found[1:])
		}
		if bytes.HasPrefix(text[at[1]:], []byte("_")) { // Markdown's
			add(strings.TrimLeft(found, "_"))
		}
	}
	return refs[:min(len(refs), mostAddresses)]
}
