package source

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

// String is the text form of a reference for people, which accounts.ParseReference reads back: like Key, but an
// e-mail address or a domain of no source in particular is "email:kim@acme.example" and an account's id "account_uuid:…",
// and the tenant is escaped where it holds what separates the parts.
func (r Reference) String() string {
	if (r.Source == KindEmail || r.Source == KindDomain) && r.Kind == r.Source && r.Tenant == "" {
		return r.Source + ":" + r.ID
	}
	if r.Source == "" && r.Kind == KindAccountUUID && r.Tenant == "" {
		return r.Kind + ":" + r.ID
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

// ParseKey reads what Key writes. A tenant or an id may hold colons, and then the text can be read in more ways than
// one: it gives each, the likeliest (no colon in the tenant) first, and none for what is no key.
func ParseKey(key string) []Reference {
	head, rest, ok := strings.Cut(key, ":")
	if !ok {
		return nil
	}
	name, tenant, scoped := strings.Cut(head, "/")
	var refs []Reference
	for {
		kind, id, ok := strings.Cut(rest, ":")
		if !ok {
			return refs
		}
		refs = append(refs, Reference{Source: name, Tenant: tenant, Kind: kind, ID: id})
		if !scoped {
			return refs
		}
		tenant, rest = tenant+":"+kind, id
	}
}
