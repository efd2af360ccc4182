package accounts

import (
	"strings"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Normalize gives a reference the form in which events carry it (source.References): e-mail addresses and domains
// in lower case and without a tenant, no white space around ids. What cannot be linked is an error.
func Normalize(ref source.Reference) (source.Reference, error) {
	if _, ok := source.Domain(ref.ID); !ok && ref.Kind == source.KindDomain {
		return source.Reference{}, refuse(fault.Malformed, "%q: not a domain like acme.example", ref.ID)
	}
	if ref.Source == "" && ref.Kind == source.KindAccountUUID {
		return source.Reference{}, refuse(fault.Unsupported, "%s is an account's id: events that carry it belong to that account without a link", ref.ID)
	}
	refs := source.References{Source: ref.Source, Tenant: ref.Tenant}
	refs.Add(ref.Kind, ref.ID)
	if len(refs.List()) != 1 || ref.Source == "" || ref.Kind == "" || len(ref.Tenant) > source.MaxTenantBytes ||
		!source.IsText(ref.Source) || !source.IsText(ref.Tenant) || !source.IsText(ref.Kind) {
		return source.Reference{}, refuse(fault.Malformed, "%q cannot be linked: it is not an id of kind %s", ref.ID, ref.Kind)
	}
	return refs.List()[0], nil
}

// ParseReference reads a reference as a person writes it:
//
//	stripe:cus_1                  a source and an id; the kind is known by the id's prefix, else it is the source's first
//	stripe:customer:cus_1         with the kind
//	hubspot/62515:contact:901     with the tenant; %, / and : in it are written %25, %2F and %3A
//	email:kim@acme.example        an e-mail address, whatever source mentions it
//	domain:acme.example           a domain, likewise
//	account_uuid:7f1c1d0e-…       an account's id; events that carry it need no link, but moves of them name it
//
// It reads what Reference.String writes. The result is in the form of Normalize. A text that can be read in more ways than one is an error.
func ParseReference(text string, kindsOf Kinds) (source.Reference, error) {
	column, id, ok := strings.Cut(strings.TrimSpace(text), ":")
	if account, err := uuid.Parse(id); err == nil && column == source.KindAccountUUID {
		return source.Reference{Kind: source.KindAccountUUID, ID: account.String()}, nil
	}
	if !ok || id == "" {
		return source.Reference{}, refuse(fault.Malformed, "%q is not like stripe:cus_1 or hubspot/62515:contact:901", text)
	}
	p, err := parsePrefix(column, kindsOf)
	if err != nil {
		return source.Reference{}, err
	}
	if p.kind == "" {
		p, id = p.withKind(id)
	} else if p.kinds == nil {
		id = strings.TrimPrefix(id, p.kind+":") // the form of Key: "email:email:kim@acme.example"
	}
	return p.reference(id)
}

// prefix is a reference without its id: a column's name in an import.
type prefix struct {
	source, tenant, kind string // kind may be open ("")
	kinds                []source.Kind
}

// parsePrefix reads "stripe", "stripe:customer", "hubspot/62515:contact", "email" or "domain".
func parsePrefix(text string, kindsOf Kinds) (prefix, error) {
	head, kind, _ := strings.Cut(text, ":")
	var p prefix
	name, tenant, _ := strings.Cut(strings.TrimSpace(head), "/")
	p.source, p.kind = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(kind)
	var err error
	if p.tenant, err = source.UnescapeTenant(tenant); err != nil {
		return prefix{}, refuse(fault.Malformed, "%w", err)
	}
	if p.source == source.KindEmail || p.source == source.KindDomain {
		if p.kind == "" {
			p.kind = p.source
		}
		if p.kind != p.source || p.tenant != "" {
			return prefix{}, refuse(fault.Malformed, "%q: write %s:… without more", text, p.source)
		}
		return p, nil
	}
	if p.kinds = kindsOf(p.source); p.kinds == nil {
		return prefix{}, refuse(fault.Unsupported, "%q is not a source", p.source)
	}
	if p.kind != "" && !p.knows(p.kind) {
		return prefix{}, p.unknown(p.kind)
	}
	return p, nil
}

// knows: the kinds of the source, and those that every source's events may carry.
func (p prefix) knows(kind string) bool {
	for _, k := range p.kinds {
		if k.Name == kind {
			return true
		}
	}
	return kind == source.KindEmail || kind == source.KindDomain || kind == source.KindAccountUUID
}

func (p prefix) unknown(kind string) error {
	names := make([]string, len(p.kinds))
	for i, k := range p.kinds {
		names[i] = k.Name
	}
	return refuse(fault.Unsupported, "%s has no kind %q: its kinds are %s", p.source, kind, strings.Join(names, ", "))
}

// scoped: some of the ids may be of a kind that is unique within one tenant only.
func (p prefix) scoped() bool {
	for _, k := range p.kinds {
		if k.Scoped && (p.kind == "" || p.kind == k.Name) {
			return true
		}
	}
	return false
}

// withKind takes the kind off an id that begins with one.
func (p prefix) withKind(id string) (prefix, string) {
	if kind, rest, ok := strings.Cut(id, ":"); ok && p.knows(kind) {
		p.kind = kind
		return p, rest
	}
	return p, id
}

// reference makes the reference, with the kind that the id shows where it is open.
func (p prefix) reference(id string) (source.Reference, error) {
	id = strings.TrimSpace(id)
	for _, k := range p.kinds {
		if k.Form == nil || p.kind != "" && p.kind != k.Name {
			continue
		}
		if one, ok := k.Form.One(id); ok {
			id = one
		} else if p.kind != "" {
			return source.Reference{}, refuse(fault.Malformed, "%q is none of the ids that %s gives to its kind %s", id, p.source, p.kind)
		}
	}
	if p.kind == "" {
		kind, err := p.kindOf(id)
		if err != nil {
			return source.Reference{}, err
		}
		p.kind = kind
	}
	return Normalize(source.Reference{Source: p.source, Tenant: p.tenant, Kind: p.kind, ID: id})
}

// kindOf knows a bare id's kind by the longest prefix that it has, else takes the source's first kind, unless that
// one's ids have a prefix of their own.
func (p prefix) kindOf(id string) (string, error) {
	if word, _, ok := strings.Cut(id, ":"); ok && looksLikeKind(word) {
		return "", p.unknown(word)
	}
	best, length := "", 0
	for _, k := range p.kinds {
		switch {
		case k.Prefix == "" || !strings.HasPrefix(id, k.Prefix) || len(k.Prefix) < length:
		case len(k.Prefix) == length:
			return "", refuse(fault.Malformed, "%q may be of kind %s or %s: write %s:KIND:%s", id, best, k.Name, p.source, id)
		default:
			best, length = k.Name, len(k.Prefix)
		}
	}
	switch {
	case best != "":
		return best, nil
	case strings.Contains(id, "@"):
		return source.KindEmail, nil
	case len(p.kinds) > 0 && p.kinds[0].Prefix == "":
		return p.kinds[0].Name, nil
	}
	return "", refuse(fault.Malformed, "the kind of %q does not show: write %s:KIND:%s", id, p.source, id)
}

// looksLikeKind: a word such as "customer", which is then a slip and not part of an id.
func looksLikeKind(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}
