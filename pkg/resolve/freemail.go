package resolve

import (
	_ "embed"
	"errors"
	"strings"
)

//go:embed freemail.txt
var freemailText string

// domains is a set of domains in the form that NormalizeDomain gives.
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
		domain, err := NormalizeDomain(line)
		if err != nil {
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

// maxDomainBytes is DNS's bound on a name.
const maxDomainBytes = 253

// NormalizeDomain gives the one form of a domain: lower case, without scheme, "www.", path and last dot. People
// paste what their browser shows.
func NormalizeDomain(text string) (string, error) {
	d := strings.ToLower(strings.TrimSpace(text))
	if _, rest, found := strings.Cut(d, "://"); found {
		d = rest
	}
	d, _, _ = strings.Cut(d, "/")
	d = strings.TrimSuffix(strings.TrimPrefix(d, "www."), ".")
	if d == "" || len(d) > maxDomainBytes || !strings.Contains(d, ".") ||
		strings.ContainsAny(d, " \t\r\n@:;,'\"\\\x00") || strings.Contains(d, "..") || d[0] == '.' || !Linkable(d) {
		return "", errors.New("not a domain like acme.example")
	}
	return d, nil
}

// emailDomain gives what stands after the last @, or "".
func emailDomain(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return ""
	}
	return strings.TrimSuffix(address[at+1:], ".")
}
