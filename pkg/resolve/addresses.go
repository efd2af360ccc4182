package resolve

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Ats are the spellings of the @ of an e-mail address in texts: as it is, in a URL, in HTML and in JSON.
func Ats() []string { return []string{"@", "%40", "&#64;", `\u0040`} }

// address is what can be an e-mail address in a text.
var address = regexp.MustCompile(`[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`)

// mostAddresses bounds what Addresses gives of one text.
const mostAddresses = 500

// Addresses gives the e-mail addresses that stand in a text, such as an event's bytes: the first 500, each once. They are
// no evidence of whose an event is, since anybody writes texts; they are what may have been erased.
func Addresses(text []byte) (refs []source.Reference) {
	for _, at := range Ats()[1:] {
		if bytes.Contains(text, []byte(at)) {
			text = bytes.ReplaceAll(text, []byte(at), []byte("@"))
		}
	}
	if !bytes.ContainsRune(text, '@') {
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
