package resolve

import (
	"github.com/throughline-dev/throughline/pkg/source"
)

// Keys gives the notification keys (see Watch) after which an event with these references may have become
// resolvable: of links of each reference, for its tenant and for any; of an account with the id that it carries;
// of an account with its domain. It is what the quarantine keeps beside such an event.
func Keys(refs []source.Reference) []string {
	var keys []string
	seen := map[string]bool{}
	add := func(key string) {
		if !seen[key] && source.IsText(key) {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	for _, ref := range refs {
		add(ref.Key())
		anyTenant := ref
		anyTenant.Tenant = ""
		add(anyTenant.Key())
		if shared, ok := sharedLink(ref.Kind, ref.ID); ok {
			add(shared.Key())
		}
		switch ref.Kind {
		case source.KindAccountUUID:
			add("uuid:" + ref.ID)
		case source.KindEmail:
			if d := emailDomain(ref.ID); d != "" {
				add("domain:" + d)
				add(domainLink(d).Key())
			}
		case source.KindDomain:
			add("domain:" + ref.ID)
		}
	}
	return keys
}

// DomainOf gives the domain that a reference speaks of (a domain, or an e-mail address), or "".
func DomainOf(ref source.Reference) string {
	switch ref.Kind {
	case source.KindEmail:
		return emailDomain(ref.ID)
	case source.KindDomain:
		return ref.ID
	}
	return ""
}

// Related gives the references whose links decide where this one leads, the most specific first: itself, for any
// tenant, what sources share of it, and its domain.
func Related(ref source.Reference) []source.Reference {
	refs := []source.Reference{ref}
	if ref.Tenant != "" {
		ref.Tenant = ""
		refs = append(refs, ref)
	}
	if shared, ok := sharedLink(ref.Kind, ref.ID); ok && shared != ref {
		refs = append(refs, shared)
	}
	if domain := DomainOf(ref); domain != "" && ref.Kind != source.KindDomain {
		refs = append(refs, domainLink(domain))
	}
	return refs
}
