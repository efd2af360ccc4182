package resolve

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

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
	// mostAddresses bounds what Addresses gives of one text.
	mostAddresses = 500
	// mostLocal bounds the letters before an @ (RFC 5321, 4.5.3.1.1: 64 octets).
	mostLocal = 64
	// mostNested is how often a text is read as JSON's: an event, JSON in a string of it, and once more.
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
// in the strings of JSON, also of JSON within them: the first 500, each once. Where it cannot be known where an address
// begins (o'hara@x.example may be hara@x.example after a quote) it gives each of both. They are no evidence of whose an
// event is, since anybody writes texts; they are what may have been erased.
func Addresses(text []byte) (refs []source.Reference) {
	seen := map[string]bool{}
	add := func(found []byte) {
		if one, ok := source.Email(string(found)); ok && !seen[one] && source.IsText(one) {
			seen[one] = true
			refs = append(refs, source.Reference{Source: source.KindEmail, Kind: source.KindEmail, ID: one})
		}
	}
	for level := 0; ; level++ {
		inText(plain(text), func(found []byte) bool {
			add(found)
			return len(refs) < mostAddresses
		})
		if level == mostNested || len(refs) >= mostAddresses || bytes.IndexByte(text, '\\') < 0 {
			return refs[:min(len(refs), mostAddresses)]
		}
		text = unescaped(text)
	}
}

// inText gives what may be an address in a text, until found returns false.
func inText(text []byte, found func([]byte) bool) {
	for from := 0; ; {
		at := bytes.IndexByte(text[from:], '@')
		if at < 0 {
			return
		}
		at += from
		from = at + 1
		rest := host.Find(text[from:])
		if rest == nil {
			continue
		}
		end, begin := from+len(rest), at
		for range mostLocal {
			r, size := utf8.DecodeLastRune(text[:begin])
			if !isLocal(r) {
				break
			}
			if !isWord(r) && begin < at && !found(text[begin:end]) {
				return
			}
			begin -= size
		}
		if begin == at {
			continue
		}
		if !found(text[begin:end]) {
			return
		}
		if begin > 0 && text[begin-1] == '\\' && !found(text[begin+1:end]) { // the letter of an escape, as in "\n"
			return
		}
		if bytes.HasPrefix(text[end:], []byte("_")) && !found(bytes.TrimLeft(text[begin:end], "_")) { // Markdown's
			return
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

// unescaped reads the escapes of JSON's strings, one time, wherever they stand.
func unescaped(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		at := bytes.IndexByte(text, '\\')
		if at < 0 || at+1 == len(text) {
			return append(out, text...)
		}
		out = append(out, text[:at]...)
		letter := text[at+1]
		text = text[at+2:]
		switch {
		case strings.IndexByte(`"\/`, letter) >= 0:
			out = append(out, letter)
		case strings.IndexByte("bfnrt", letter) >= 0:
			out = append(out, ' ')
		case letter == 'u':
			r, size := hex4(text)
			if utf16.IsSurrogate(r) && bytes.HasPrefix(text[size:], []byte(`\u`)) {
				if low, more := hex4(text[size+2:]); more > 0 {
					r, size = utf16.DecodeRune(r, low), size+2+more
				}
			}
			if size > 0 {
				out = utf8.AppendRune(out, r)
				text = text[size:]
				continue
			}
			out = append(out, '\\', letter)
		default:
			out = append(out, '\\', letter)
		}
	}
	return out
}

// hex4 reads four hexadecimal digits; a size of 0 says that there are none.
func hex4(text []byte) (r rune, size int) {
	if len(text) < 4 {
		return 0, 0
	}
	n, err := strconv.ParseUint(string(text[:4]), 16, 16)
	if err != nil {
		return 0, 0
	}
	return rune(n), 4
}
