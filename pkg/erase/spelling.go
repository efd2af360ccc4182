package erase

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/throughline-dev/throughline/pkg/resolve"
)

// escapeGap is, in JSON, an escape of what is neither a letter or digit nor one of . _ % + - , as programs escape < and '.
const escapeGap = `\\u(?:00(?:[01][0-9a-f]|2[0-46-9acf]|3[a-f]|5[b-e]|60|7[b-f]|[89a-f][0-9a-f])|0[1-9a-f][0-9a-f]{2}|[1-9a-f][0-9a-f]{3})`

// addressPattern matches an e-mail address, in any spelling, where none that is longer stands, for ~*. Before it there may be
// an escape, as in JSON's "\n", in a URL and in what encode makes of bytes, and around it Markdown's underscores.
func addressPattern(address string) string {
	user, host, _ := strings.Cut(address, "@")
	var hosts []string
	dot := `(?:\.|` + strings.Join(slices.Concat(spellings('\u3002'), spellings('\uff0e'), spellings('\uff61')), "|") + `)` // as IDNA has it
	for i, h := range hostNames(host) {
		h = spelling(h)
		if i > 0 { // other dots go with other letters, and make the reading more than twice as slow
			h = strings.ReplaceAll(h, `\.`, dot)
		}
		hosts = append(hosts, h)
	}
	written := spelling(user) + `(?:` + resolve.SpelledAt + `|\\+u0040)(?:` + strings.Join(hosts, "|") + `)`
	return `(((?<![a-z0-9._%+-])|(?<=\\[nrtbf])|(?<=\\[0-7]{3})|(?<=` + resolve.SpelledGap + `)|(?<=%(?:25){0,3}[89a-f][0-9a-f])|(?<=` + escapeGap + `))` + written + `(?![a-z0-9-]|\.[a-z0-9])|(?<![a-z0-9._%+-])_+` + written + `_)`
}

// addressLikes find all that addressPattern may match, and more, for ILIKE.
func addressLikes(address string) (likes []string) {
	user, host, _ := strings.Cut(address, "@")
	for i, h := range hostNames(host) {
		h = plainLike(h)
		if i > 0 { // other dots go with other letters
			h = strings.ReplaceAll(h, ".", "%")
		}
		likes = append(likes, "%"+plainLike(user)+"%"+h+"%")
	}
	return likes
}

// hostNames gives a host as references have it, in ASCII, and as people write it.
func hostNames(host string) []string {
	names := []string{host}
	if international, err := idna.ToUnicode(host); err == nil && international != host {
		names = append(names, international)
	}
	return names
}

// plainLike is a text for LIKE in which anything may stand for what is spelled in more than one way.
func plainLike(text string) string {
	return strings.Map(func(r rune) rune {
		if isPlain(r) {
			return r
		}
		return '%'
	}, text)
}

// isPlain says whether a letter is spelled as it is wherever it stands.
func isPlain(r rune) bool {
	return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '.' || r == '-')
}

// spelling matches a text in every spelling of its letters.
func spelling(text string) string {
	var pattern strings.Builder
	for _, r := range norm.NFC.String(text) {
		switch {
		case r == '+':
			pattern.WriteString(`(?:\+|` + resolve.SpelledPlus + `|\\+u002b)`)
		case r == '_':
			pattern.WriteRune(r)
		case isPlain(r):
			pattern.WriteString(regexp.QuoteMeta(string(r)))
		default:
			pattern.WriteString(`(?:` + strings.Join(spellings(r), "|") + `)`)
		}
	}
	return pattern.String()
}

// spellings of what is neither a letter nor a digit of ASCII: as it is, composed or not, in capitals or not, and each of these in
// JSON (in the text of jsonb its backslash is doubled), in a URL, in HTML, and as encode writes the bytes of what cannot be
// read. Postgres folds case by the collation of the database, which may know ASCII only.
func spellings(r rune) (patterns []string) {
	forms := []string{string(r)}
	if r >= utf8.RuneSelf {
		for _, c := range []rune{unicode.ToLower(r), unicode.ToUpper(r)} {
			forms = append(forms, string(c), norm.NFD.String(string(c)))
		}
	}
	for _, form := range forms {
		var escaped, url, html, octal strings.Builder
		for _, unit := range utf16.Encode([]rune(form)) {
			fmt.Fprintf(&escaped, `\\+u%04x`, unit)
		}
		for _, b := range []byte(form) {
			fmt.Fprintf(&url, `%%(?:25){0,3}%02x`, b)
			if b >= utf8.RuneSelf {
				fmt.Fprintf(&octal, `\\%03o`, b)
			} else {
				octal.WriteString(regexp.QuoteMeta(string(rune(b))))
			}
		}
		for _, c := range form {
			fmt.Fprintf(&html, `&(?:amp;){0,2}#(?:0{0,6}%d|x0{0,6}%x);`, c, c)
		}
		for _, p := range []string{regexp.QuoteMeta(form), escaped.String(), url.String(), html.String(), octal.String()} {
			if !slices.Contains(patterns, p) {
				patterns = append(patterns, p)
			}
		}
	}
	return patterns
}
