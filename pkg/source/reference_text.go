package source

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

// String is the text form of a reference for people, which accounts.ParseReference reads back: like Key, but an
// e-mail address or a domain of no source in particular is "email:kim@acme.example", and the tenant is escaped where
// it holds what separates the parts.
func (r Reference) String() string {
	if (r.Source == KindEmail || r.Source == KindDomain) && r.Kind == r.Source && r.Tenant == "" {
		return r.Source + ":" + r.ID
	}
	r.Tenant = escapeTenant(r.Tenant)
	return r.Key()
}

func escapeTenant(tenant string) string {
	var b strings.Builder
	for _, r := range tenant {
		if r != '%' && r != '/' && r != ':' && !unicode.IsSpace(r) {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(string(r)) {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// UnescapeTenant reads a tenant as String writes it. The error is for the person who typed it.
func UnescapeTenant(text string) (string, error) {
	tenant, err := url.PathUnescape(text)
	if err != nil {
		return "", fmt.Errorf("the tenant %q has a %% that escapes nothing: write %%25 for it", text)
	}
	return tenant, nil
}

// ParseKey reads what Key writes. A tenant that holds a colon cannot be told from what follows it: then the parts
// are others than they were, and so is the key of the result.
func ParseKey(key string) (Reference, bool) {
	head, rest, ok := strings.Cut(key, ":")
	if !ok {
		return Reference{}, false
	}
	var r Reference
	r.Source, r.Tenant, _ = strings.Cut(head, "/")
	r.Kind, r.ID, ok = strings.Cut(rest, ":")
	return r, ok
}
