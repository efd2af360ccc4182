package source

import "strings"

// TypeName makes an event_type of a vendor type that has no name of its own
// here: lower case, and every run of other characters than a-z, 0-9 and _ is a
// dot ("Deal / Won!" is deal.won). Text with nothing to keep gives "unknown".
func TypeName(vendor string) string {
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
