package hubspot

import (
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/source"
)

// references lists the objects that the event is of, the company first, then
// what a changed property says of the account.
func (n *notice) references() []source.Reference {
	c := source.References{Source: name, Tenant: n.portal}
	from, to := n.sides()
	thing := n.thing
	if !slices.Contains(referenceKinds, thing) {
		thing = sideOf(n.objectType) // event.completed says whose it is
	}
	pairs := []struct{ kind, id, objectType string }{
		{thing, n.mergePrimary, n.objectType},
		{thing, n.objectID, n.objectType},
		{from, n.fromID, n.fromType},
		{to, n.toID, n.toType},
		{thing, n.mergeNew, n.objectType},
	}
	for i, merged := range n.merged {
		if i == source.MaxReferences {
			break
		}
		pairs = slices.Insert(pairs, len(pairs)-1, struct{ kind, id, objectType string }{thing, merged, n.objectType})
	}
	for _, company := range n.companies {
		c.Add(thingCompany, company)
	}
	for _, kind := range referenceKinds {
		for _, p := range pairs {
			if p.kind != kind || p.id == "" {
				continue
			}
			if kind == thingObject && p.objectType != "" {
				// A custom object's id is unique only within its type.
				p.id = p.objectType + "/" + p.id
			}
			c.Add(kind, p.id)
		}
	}
	c.Add(source.KindEmail, n.email)
	c.Add(source.KindDomain, n.domain)
	n.addProperty(&c)
	return c.List()
}

// sides says what the two ends of an association are, from their type ids or
// from the classic name: COMPANY_TO_CONTACT.
func (n *notice) sides() (from, to string) {
	from, to = sideOf(n.fromType), sideOf(n.toType)
	left, right, ok := strings.Cut(strings.ToLower(n.association), "_to_")
	if ok && from == "" {
		from = lastThing(left)
	}
	if ok && to == "" {
		to = lastThing(right)
	}
	if from == "" {
		from = n.thing // the event is told by its own side
	}
	return from, to
}

func sideOf(objectType string) string {
	if objectType == "" {
		return ""
	}
	if thing, ok := objectTypes[objectType]; ok {
		return thing
	}
	return thingObject
}

// lastThing finds the thing in one side of an association's name, which may
// say more: parent_company.
func lastThing(side string) string {
	for _, thing := range referenceKinds {
		if side == thing || strings.HasSuffix(side, "_"+thing) {
			return thing
		}
	}
	return ""
}

// addProperty reads the properties that name an account: its id as the
// customer stores it in a property account_uuid, an address, a domain.
func (n *notice) addProperty(c *source.References) {
	if n.action != actionProperty {
		return
	}
	switch n.property {
	case "account_uuid":
		if n.merchantWrote() {
			c.Add(source.KindAccountUUID, n.value.Literal())
		}
	case "email":
		c.Add(source.KindEmail, n.value.Literal())
	case "domain", "website", "hs_email_domain":
		c.Add(source.KindDomain, n.value.Literal())
	}
}

// merchantWrote: the change came from the portal's own people and systems. A
// form, a chat or a tracked page lets a visitor write any property, so none of
// those can say whose event it is. A record that says no source is a job's.
func (n *notice) merchantWrote() bool {
	switch n.changeSource {
	case "", "CRM_UI", "CRM_UI_BULK_ACTION", "API", "INTEGRATION", "INTEGRATIONS_PLATFORM", "IMPORT", "AUTOMATION_PLATFORM",
		"SALESFORCE", "MIGRATION", "DATASET", "DATA_SYNC":
		return true
	}
	return false
}
