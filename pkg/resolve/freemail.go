package resolve

import (
	_ "embed"
	"strings"

	"github.com/throughline-dev/throughline/pkg/source"
)

//go:embed freemail.txt
var freemailText string

// domains is a set of domains in the form that source.Domain gives.
type domains map[string]struct{}

func builtinFreemail() domains {
	list := domains{}
	list.add(freemailText) // a test holds every line to be a domain
	return list
}

// add reads one domain a line ('#' begins a comment) and gives the lines that are none.
func (d domains) add(text string) (bad []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		domain, ok := source.Domain(line)
		if !ok {
			bad = append(bad, line)
			continue
		}
		d[domain] = struct{}{}
	}
	return bad
}

func (d domains) has(domain string) bool {
	_, ok := d[domain]
	return ok
}

// emailDomain gives an address's domain, or "".
func emailDomain(address string) string {
	if !strings.Contains(address, "@") {
		return ""
	}
	domain, _ := source.Domain(address)
	return domain
}
