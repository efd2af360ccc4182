package source

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/net/idna"
)

// IsText reports whether s is text that Postgres takes and that somebody could
// have typed: valid UTF-8 without NUL and other control characters. An id, a
// tenant, a kind and an account's name are.
func IsText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
		if s[i] >= utf8.RuneSelf {
			return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
		}
	}
	return true
}

// UUID reads the 36-character form of a UUID, in upper or lower case. The other
// forms that uuid.Parse takes (32 digits, braces, urn:) are as likely some
// other id.
func UUID(s string) (uuid.UUID, bool) {
	if len(s) != 36 {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(s)
	return id, err == nil
}

const (
	maxDomainBytes = 253 // DNS's bound on a name
	maxLabelBytes  = 63  // and on what stands between two dots
)

// Domain gives the one form of a company's domain, for whatever a person typed
// or a browser shows: a name, a URL with or without its scheme, an e-mail
// address. Scheme, user, "www.", port, path and last dot go; it is lower case,
// and in ASCII (RFC 5891), so that ways to write one name are one. ok is false
// for what is no such name: one without a dot, an IP address, a list of several
// addresses, any other text.
//
// Accounts, references and lists of free-mail domains all go through it, or
// they would not meet.
func Domain(text string) (domain string, ok bool) {
	s := strings.TrimSpace(text)
	if _, rest, found := strings.Cut(s, "://"); found {
		s = rest
	}
	s = strings.TrimPrefix(s, "//")
	if end := strings.IndexAny(s, "/?#"); end >= 0 {
		s = s[:end]
	}
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		if !isUser(s[:at]) {
			return "", false
		}
		s = s[at+1:]
	}
	if name, port, found := strings.Cut(s, ":"); found {
		if strings.Trim(port, "0123456789") != "" {
			return "", false
		}
		s = name
	}
	if s, ok = hostName(s); !ok {
		return "", false
	}
	if rest, found := strings.CutPrefix(s, "www."); found && strings.Contains(rest, ".") {
		s = rest
	}
	last := strings.LastIndexByte(s, '.')
	if last < 0 || strings.Trim(s[last:], ".0123456789") == "" { // the latter: an IPv4 address
		return "", false
	}
	return s, true
}

// Email gives the one form of an e-mail address: lower case, its host in ASCII.
// ok is false for text without an @, and for a list of addresses: whoever writes
// one would choose whose address counts.
func Email(text string) (address string, ok bool) {
	s := strings.ToLower(strings.TrimSpace(text))
	at := strings.LastIndexByte(s, '@')
	if at < 0 || !isUser(s[:at]) {
		return "", false
	}
	if host, ok := hostName(s[at+1:]); ok && host != s[at+1:] {
		s = s[:at+1] + host
	}
	return s, true
}

// isUser reports whether what stands before the @ of an address, or of a URL's
// host, is one user: no list, and no name beside the address. In quotes it may be
// anything (RFC 5321).
func isUser(s string) bool {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		quoted := strings.NewReplacer(`\\`, "", `\"`, "").Replace(s[1 : len(s)-1])
		return !strings.Contains(quoted, `"`)
	}
	return !strings.ContainsAny(s, "@,;<>()[]\"\\") && strings.IndexFunc(s, unicode.IsSpace) < 0
}

// international maps and checks a host name as browsers do (UTS #46), without
// what they refuse of ASCII names that exist: two hyphens, underscores.
var international = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true),
	idna.StrictDomainName(false), idna.CheckHyphens(false), idna.Transitional(false))

// hostName gives a host's name in ASCII, lower case, without the last dot.
func hostName(s string) (string, bool) {
	if len(s) > 4*maxDomainBytes || !utf8.ValidString(s) {
		return "", false
	}
	if !isASCIIName(strings.TrimSuffix(s, ".")) || strings.Contains(s, "xn--") {
		ascii, err := international.ToASCII(s)
		if err != nil {
			return "", false
		}
		s = ascii
	}
	s = strings.TrimSuffix(s, ".")
	return s, len(s) <= maxDomainBytes && isASCIIName(s)
}

// isASCIIName reports whether s is labels of lower-case letters, digits, hyphens
// and underscores.
func isASCIIName(s string) bool {
	label := 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.':
			if label == 0 || label > maxLabelBytes || s[i-1] == '-' {
				return false
			}
			label = 0
			continue
		case c == '-':
			if label == 0 {
				return false
			}
		case c != '_' && (c < 'a' || c > 'z') && !isDigit(c):
			return false
		}
		label++
	}
	return label > 0 && label <= maxLabelBytes && s[len(s)-1] != '-'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// clip cuts a text for an error.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
