package marketo

import (
	"strings"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// pointer is a value of an event that may point at a customer.
type pointer struct {
	kind  string
	value rawjson.Value
}

// references: the lead first, as it is on every activity and so keeps a lead's
// events in order; then what names the company. A campaign is nobody's.
func references(b rawjson.Value, tenant string) []source.Reference {
	refs := source.References{Source: name, Tenant: tenant}
	refs.Add(kindLead, b.Get("leadId").Literal())
	var pointers []pointer
	point := func(field []byte, value rawjson.Value) bool {
		if kind := pointerKind(field); kind != "" {
			pointers = append(pointers, pointer{kind, value})
		}
		return true
	}
	b.Each(point)
	attributes := attributesOf(b)
	byStranger := writtenByStranger(b, attributes)
	attributes.Each(point)
	for _, a := range attributes.Elements() {
		point(a.Get("name").TextBytes(), a.Get("value"))
	}
	for _, change := range b.Get("fields").Elements() {
		// The old value points at the company that the lead has left.
		point(change.Get("name").TextBytes(), change.Get("newValue"))
	}
	for _, kind := range [...]string{kindCompany, source.KindAccountUUID, source.KindEmail, source.KindDomain} {
		for _, p := range pointers {
			if p.kind == kind && (!byStranger || kind != kindCompany && kind != source.KindAccountUUID) {
				refs.Add(kind, p.value.Literal())
			}
		}
	}
	return refs.List()
}

// writtenByStranger: the activity is what a visitor did (filled out a form, visited
// a page, clicked) or a change that came of it, so that no text in it can say whose
// event it is: a form's hidden field is anybody's.
// Source: Marketo's developer guide, activity 13's attribute "Source".
func writtenByStranger(b, attributes rawjson.Value) bool {
	switch b.Get("activityTypeId").Literal() {
	case "1", "2", "3", "11":
		return true
	}
	from := attributes.Get("Source").Text()
	for _, a := range attributes.Elements() {
		if a.Get("name").Is("Source") {
			from = a.Get("value").Text()
		}
	}
	from = strings.ToLower(from)
	return strings.HasPrefix(from, "web form") || strings.HasPrefix(from, "web page") || strings.HasPrefix(from, "landing page")
}

// attributesOf gives an activity's attributes: an array of name and value (REST)
// or an object, which a bulk export writes as text.
func attributesOf(b rawjson.Value) rawjson.Value {
	attributes := b.Get("attributes")
	if text := attributes.TextBytes(); len(text) > 0 {
		attributes, _ = new(rawjson.Doc).ParseBody(text, 0) // what is no JSON points at nobody
	}
	return attributes
}

// pointerKind gives the kind of reference that a field is, or "", by its name,
// spelt in any way ("Account UUID", accountUuid, account_uuid).
func pointerKind(field []byte) string {
	var plain [len("throughlineaccountuuid")]byte // the longest below
	n := 0
	for _, c := range field {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			continue
		}
		if n == len(plain) {
			return ""
		}
		plain[n] = c
		n++
	}
	switch string(plain[:n]) {
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
