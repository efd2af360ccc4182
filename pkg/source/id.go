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
	var id strings.Builder
	id.Grow(size)
	if tenant != "" {
		writeIDPart(&id, tenant)
		id.WriteByte(':')
	}
	for i, part := range parts {
		if i > 0 {
			id.WriteByte(':')
		}
		writeIDPart(&id, part)
	}
	return id.String()
}

func writeIDPart(id *strings.Builder, part string) {
	for {
		at := strings.IndexAny(part, ":%")
		if at < 0 {
			id.WriteString(part)
			return
		}
		id.WriteString(part[:at])
		if part[at] == ':' {
			id.WriteString("%3A")
		} else {
			id.WriteString("%25")
		}
		part = part[at+1:]
	}
}
