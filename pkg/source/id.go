package source

import "strings"

// ID makes a source_event_id of what is unique within one tenant: the tenant,
// unless it is unknown (""), and the parts, joined with colons. A colon in one of
// them is written %3A and a percent sign %25, so that 7:1 and 2 never make the id
// of 7 and 1:2. A source's kinds of event differ in their first or in the number
// of parts.
func ID(tenant string, parts ...string) string {
	size := len(tenant) + len(parts)
	for _, part := range parts {
		size += len(part)
	}
	out := make([]byte, 0, size)
	if tenant != "" {
		out = append(appendIDPart(out, tenant), ':')
	}
	for i, part := range parts {
		if i > 0 {
			out = append(out, ':')
		}
		out = appendIDPart(out, part)
	}
	return string(out)
}

func appendIDPart(out []byte, part string) []byte {
	for {
		at := strings.IndexAny(part, ":%")
		if at < 0 {
			return append(out, part...)
		}
		out = append(out, part[:at]...)
		if part[at] == ':' {
			out = append(out, "%3A"...)
		} else {
			out = append(out, "%25"...)
		}
		part = part[at+1:]
	}
}
