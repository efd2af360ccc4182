package resolve

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

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

// spelled is what plain reads at a place: an @, a +, what a URL or HTML has in place of another sign or letter, and a gap. It
// begins with one of spelledBy: to look for those first is ten times as fast.
var spelled = regexp.MustCompile(`(?i)^(?:(` + strings.TrimPrefix(SpelledAt, "@|") + `)|(` + SpelledPlus + `)` +
	`|((?:%(?:25){0,3}[89a-f][0-9a-f])+)|%(?:25){0,3}(2[13467af]|3[df]|5e|60|7[b-e])|` + SpelledGap +
	`|&(?:amp;){0,2}#(?:0{0,6}([0-9]{2,7})|x0{0,6}([0-9a-f]{2,6}));|(&(?:amp;){0,2}apos;)|(&(?:amp;)+))`)

const spelledBy = `%&\`

// The groups of spelled.
const (
	spelledAt = iota + 1
	spelledPlus
	spelledBytes
	spelledSign
	spelledDecimal
	spelledHex
	spelledApostrophe
	spelledAmpersand
)

const (
	// mostAddresses is how many places with an @ Addresses looks at.
	mostAddresses = 500
	// mostHost bounds the bytes of a host: 253 in ASCII (RFC 1035, 2.3.4), which in another alphabet may be more.
	mostHost = 4 * 253
	// mostLocal bounds the letters before an @ (RFC 5321, 4.5.3.1.1: 64 octets).
	mostLocal = 64
	// mostAmbiguous bounds the letters before an @ at which an address may begin or go on.
	mostAmbiguous = 8
	// mostNested is how often a text's escapes are read: of an event, of JSON in a string of it, and once more.
	mostNested = 3
)

// plain gives a text with addresses as they are.
func plain(text []byte) []byte {
	var out []byte
	from := 0 // what is before it is in out
	for next := 0; ; {
		at := bytes.IndexAny(text[next:], spelledBy)
		if at < 0 {
			break
		}
		at += next
		next = at + 1
		if found := spelled.FindSubmatchIndex(text[at:]); found != nil {
			out = append(append(out, text[from:at]...), meant(text[at:], found)...)
			from = at + found[1]
			next = from
		}
	}
	if from == 0 {
		return text
	}
	return append(out, text[from:]...)
}

// meant is what stands for a match of spelled: a blank for what no address holds.
func meant(text []byte, at []int) []byte {
	group := func(n int) []byte {
		if at[2*n] < 0 {
			return nil
		}
		return text[at[2*n]:at[2*n+1]]
	}
	number := func(digits []byte, base int) []byte {
		// At most seven digits: it fits, and what is no letter becomes U+FFFD.
		n, _ := strconv.ParseInt(string(digits), base, 32)
		if r := rune(n); isLocal(r) {
			return utf8.AppendRune(nil, r)
		}
		return []byte(" ")
	}
	switch {
	case group(spelledAt) != nil:
		return []byte("@")
	case group(spelledPlus) != nil:
		return []byte("+")
	case group(spelledBytes) != nil:
		letters := make([]byte, 0, len(group(spelledBytes))/3)
		for part := range bytes.SplitSeq(group(spelledBytes)[1:], []byte("%")) {
			n, _ := strconv.ParseUint(string(part[len(part)-2:]), 16, 8) // as the pattern has it
			letters = append(letters, byte(n))
		}
		return letters
	case group(spelledSign) != nil:
		return number(group(spelledSign), 16)
	case group(spelledDecimal) != nil:
		return number(group(spelledDecimal), 10)
	case group(spelledHex) != nil:
		return number(group(spelledHex), 16)
	case group(spelledApostrophe) != nil:
		return []byte("'")
	case group(spelledAmpersand) != nil:
		return []byte("&")
	}
	return []byte(" ")
}

// Addresses gives the e-mail addresses that stand in a text, such as an event's bytes, in any spelling of SpelledAt, and
// in the strings of JSON, also of JSON within them: of the first 500 places with an @, each once. Where it cannot be known
// where an address begins (o'hara@x.example may be hara@x.example behind a quote) it gives each of both. They are no
// evidence of whose an event is, since anybody writes texts; they are what may have been erased.
func Addresses(text []byte) (refs []source.Reference) {
	seen := map[string]bool{}
	add := func(user []byte, host string) {
		if one, ok := source.Email(norm.NFC.String(string(user)) + "@" + host); ok && !seen[one] && source.IsText(one) {
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
func inText(text []byte, add func(user []byte, host string)) {
	from := 0
	for range mostAddresses {
		at := bytes.IndexByte(text[from:], '@')
		if at < 0 {
			return
		}
		at += from
		from = at + 1
		hosts := hostsOf(text[from:])
		if len(hosts) == 0 {
			continue
		}
		found := func(begin int) {
			for _, host := range hosts {
				add(text[begin:at], host)
			}
		}
		begin, ambiguous := at, 0
		for range mostLocal {
			r, size := utf8.DecodeLastRune(text[:begin])
			if !isLocal(r) {
				break
			}
			if !isWord(r) && ambiguous < mostAmbiguous {
				ambiguous++
				found(begin)
			}
			begin -= size
		}
		found(begin)
		if begin > 0 && begin < at && text[begin-1] == '\\' { // the letter of an escape, as in "\n"
			found(begin + 1)
		}
		if user := bytes.TrimLeft(text[begin:at], "_"); bytes.HasPrefix(text[from+hostLength(text[from:], false):], []byte("_")) { // Markdown's
			add(user, hosts[0])
		}
	}
}

// hostsOf gives the names of hosts, in the form of references, that may stand at the beginning of a text: of ASCII alone, and
// with other letters, since in many alphabets no blank follows.
func hostsOf(text []byte) (hosts []string) {
	last := 0
	for _, beyond := range []bool{false, true} {
		length := hostLength(text, beyond)
		if length == last {
			continue
		}
		last = length
		// Once for a host: to bring it into this form costs more than all else.
		if one, ok := source.Email("a@" + norm.NFC.String(string(text[:length]))); ok {
			hosts = append(hosts, one[2:])
		}
	}
	return hosts
}

// hostLength is how long the name of a host is at the beginning of a text, 0: there is none. Without beyond it is of ASCII.
func hostLength(text []byte, beyond bool) (length int) {
	labels, inLabel := 0, false
	for at := 0; at < len(text) && at < mostHost; {
		r, size := utf8.DecodeRune(text[at:])
		switch {
		case r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-'),
			beyond && r >= utf8.RuneSelf && r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)):
			if !inLabel {
				labels, inLabel = labels+1, true
			}
			if labels > 1 {
				length = at + size
			}
		case inLabel && (r == '.' || beyond && strings.ContainsRune("\u3002\uff0e\uff61", r)): // IDNA's dots
			inLabel = false
		default:
			return length
		}
		at += size
	}
	return length
}

// isWord says whether a letter is of an address wherever it stands.
func isWord(r rune) bool {
	return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._%+-", r))
}

// isLocal says whether a letter may be of an address's local part (RFC 5322, 3.2.3, and RFC 6532).
func isLocal(r rune) bool {
	return r != utf8.RuneError && (isWord(r) || strings.ContainsRune("!#$&'*/=?^`{|}~", r) || r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)))
}
