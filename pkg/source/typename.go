package source

import "strings"

// TypeName makes an event_type of a vendor type that has no name of its own
// here: lower case, and every run of other characters than a-z, 0-9 and _ is a
// dot ("Deal / Won!" is deal.won). Text with nothing to keep gives "unknown".
func TypeName(vendor string) string {
	if isTypeName(vendor) {
		return vendor
	}
	var b strings.Builder
	dot := false
	for _, r := range strings.ToLower(vendor) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			if dot && b.Len() > 0 {
				b.WriteByte('.')
			}
			dot = false
			b.WriteRune(r)
			continue
		}
		dot = true
	}
	if b.Len() == 0 {
		return "unknown"
	}
	return clip(b.String(), MaxTypeBytes-len("…"))
}

// isTypeName reports that TypeName has nothing to change, as is usual.
func isTypeName(s string) bool {
	if s == "" || len(s) > MaxTypeBytes-len("…") {
		return false
	}
	dot := true // one here would stand at the start, the end or beside another
	for i := range len(s) {
		c := s[i]
		if c == '.' && dot || c != '.' && c != '_' && (c < 'a' || c > 'z') && !isDigit(c) {
			return false
		}
		dot = c == '.'
	}
	return !dot
}
