package marketo

import (
	"strings"

	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/source"
)

// pointer is a value of an event that may point at a customer.
type pointer struct{ kind, id string }

// references: the lead first, as it is on every activity and so keeps a lead's
// events in order; then what names the company. A campaign is nobody's.
func (b *body) references() []source.Reference {
	refs := source.References{Source: name, Tenant: b.tenant}
	refs.Add(kindLead, b.lead)
	for _, kind := range []string{kindCompany, source.KindAccountUUID, source.KindEmail, source.KindDomain} {
		for _, p := range b.pointers {
			if p.kind == kind {
				refs.Add(kind, p.id)
			}
		}
	}
	return refs.List()
}

// attributes reads an activity's attributes: an array of name and value (REST),
// an object, or the text of an object (bulk export).
func (b *body) attributes(v gjson.Result) {
	if v.Type == gjson.String && gjson.Valid(v.Str) {
		v = gjson.Parse(v.Str)
	}
	switch {
	case v.IsArray():
		v.ForEach(func(_, a gjson.Result) bool {
			b.point(a.Get("name").Str, a.Get("value"))
			return true
		})
	case v.IsObject():
		v.ForEach(func(key, value gjson.Result) bool {
			b.point(key.Str, value)
			return true
		})
	}
}

// changes reads a leadchanges element's fields. The old value points at the
// company that the lead has left.
func (b *body) changes(v gjson.Result) {
	if !v.IsArray() {
		return
	}
	v.ForEach(func(_, change gjson.Result) bool {
		b.point(change.Get("name").Str, change.Get("newValue"))
		return true
	})
}

// point keeps value when the field's name, spelt in any way ("Account UUID",
// accountUuid, account_uuid), says that it points at a customer.
func (b *body) point(field string, value gjson.Result) {
	id := text(value)
	if id == "" {
		return
	}
	if kind := pointerKind(field); kind != "" {
		b.pointers = append(b.pointers, pointer{kind, id})
	}
}

// pointerKind is the table of field names that point at a customer.
func pointerKind(field string) string {
	if len(field) > 64 { // longer than any name below, however spelt
		return ""
	}
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(field))
	switch plain {
	case "externalcompanyid":
		return kindCompany
	case "accountuuid", "accountid", "throughlineaccountuuid", "throughlineaccountid":
		return source.KindAccountUUID // References.Add takes UUIDs only
	case "email", "emailaddress":
		return source.KindEmail
	case "website", "domain", "companydomain", "companywebsite":
		return source.KindDomain
	}
	return ""
}
