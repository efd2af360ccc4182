package resolve

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/rawjson"
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
	// host is what can stand behind an address's @.
	host = regexp.MustCompile(`^[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`)
	// spelled is what plain reads.
	spelled = regexp.MustCompile(`(?i)(` + strings.TrimPrefix(SpelledAt, "@|") + `)|(` + SpelledPlus + `)|` + SpelledGap)
)

const (
	// mostAddresses is how many places with an @ Addresses looks at.
	mostAddresses = 500
	// mostLocal bounds the letters before an @ (RFC 5321, 4.5.3.1.1: 64 octets).
	mostLocal = 64
	// mostAmbiguous bounds the letters before an @ at which an address may begin or go on.
	mostAmbiguous = 8
	// mostNested is how often a text's escapes are read: of an event, of JSON in a string of it, and once more.
	mostNested = 3
)

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

// Addresses gives the e-mail addresses that stand in a text, such as an event's bytes, in any spelling of SpelledAt, and
// in the strings of JSON, also of JSON within them: of the first 500 places with an @, each once. Where it cannot be known
// where an address begins (o'hara@x.example may be hara@x.example behind a quote) it gives each of both. They are no
// evidence of whose an event is, since anybody writes texts; they are what may have been erased.
func Addresses(text []byte) (refs []source.Reference) {
	seen := map[string]bool{}
	add := func(found []byte) {
		if one, ok := source.Email(string(found)); ok && !seen[one] && source.IsText(one) {
			seen[one] = true
			refs = append(refs, source.Reference{Source: source.KindEmail, Kind: source.KindEmail, ID: one})
		}
	}
	inText(plain(text), add)
	for level := 0; level < mostNested && bytes.IndexByte(text, '\\') >= 0; level++ {
		text = rawjson.Unescape(text)
		inText(plain(text), add)
	}
	return refs
}

// inText gives what may be an address in a text.
func inText(text []byte, add func([]byte)) {
	from := 0
	for range mostAddresses {
		at := bytes.IndexByte(text[from:], '@')
		if at < 0 {
			return
		}
		at += from
		from = at + 1
		end := from + len(host.Find(text[from:]))
		if end == from {
			continue
		}
		begin, ambiguous := at, 0
		for range mostLocal {
			r, size := utf8.DecodeLastRune(text[:begin])
			if !isLocal(r) {
				break
			}
			if !isWord(r) && ambiguous < mostAmbiguous {
				ambiguous++
				add(text[begin:end])
			}
			begin -= size
		}
		add(text[begin:end])
		if begin > 0 && begin < at && text[begin-1] == '\\' { // the letter of an escape, as in "\n"
			add(text[begin+1 : end])
		}
		if bytes.HasPrefix(text[end:], []byte("_")) { // Markdown's
			add(bytes.TrimLeft(text[begin:end], "_"))
		}
	}
}

// isWord says whether a letter is of an address wherever it stands.
func isWord(r rune) bool {
	return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._%+-", r))
}

// isLocal says whether a letter may be of an address's local part (RFC 5322, 3.2.3, and RFC 6532).
func isLocal(r rune) bool {
	return r != utf8.RuneError && (isWord(r) || strings.ContainsRune("!#$&'*/=?^`{|}~", r) || r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)))
}
