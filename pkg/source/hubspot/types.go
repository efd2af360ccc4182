package hubspot

import (
	"slices"

	"github.com/throughline-dev/throughline/pkg/source"
)

// The things that HubSpot tells of, in its own words; each is also a kind of
// reference. thingObject is a custom object.
const (
	thingCompany      = "company"
	thingContact      = "contact"
	thingDeal         = "deal"
	thingTicket       = "ticket"
	thingConversation = "conversation"
	thingLineItem     = "line_item"
	thingProduct      = "product"
	thingObject       = "object"
)

// referenceKinds, the most telling first: a company is what an account is.
var referenceKinds = []string{
	thingCompany, thingContact, thingDeal, thingTicket, thingConversation, thingLineItem, thingProduct, thingObject,
}

// What happens to them, in HubSpot's words.
const (
	actionProperty    = "propertyChange"
	actionAssociation = "associationChange"
	actionMerge       = "merge"
	actionMessage     = "newMessage"
)

// happened gives HubSpot's actions the past tense that a timeline has.
var happened = map[string]string{
	"creation":        "created",
	"deletion":        "deleted",
	"restore":         "restored",
	"privacyDeletion": "privacy.deleted",
	actionMerge:       "merged",
	actionAssociation: "association.changed",
	actionProperty:    "property.changed",
	actionMessage:     "message.received",
}

// properties are those whose change is a chapter of the story.
var properties = []struct{ thing, property, what string }{
	{thingDeal, "dealstage", "stage.changed"},
	{thingTicket, "hs_pipeline_stage", "stage.changed"},
	{thingContact, "lifecyclestage", "lifecyclestage.changed"},
	{thingCompany, "lifecyclestage", "lifecyclestage.changed"},
}

// known reports whether the type is one of those that this package reads.
func (n *notice) known() bool {
	_, ok := happened[n.action]
	return ok && slices.Contains(referenceKinds, n.thing)
}

// eventType is the thing and what happened to it; an unknown type keeps
// HubSpot's words.
func (n *notice) eventType() string {
	if !n.known() {
		return source.TypeName(n.thing + "." + n.action)
	}
	if n.action == actionProperty {
		for _, p := range properties {
			if p.thing == n.thing && p.property == n.property {
				return n.thing + "." + p.what
			}
		}
	}
	return n.thing + "." + happened[n.action]
}

// types lists what HubSpot can subscribe to. `object.*` is listed for custom
// objects; for HubSpot's own it has the classic names.
func types() []source.EventType {
	var out []source.EventType
	add := func(vendor, eventType string) { out = append(out, source.EventType{Vendor: vendor, Type: eventType}) }
	for _, thing := range referenceKinds {
		actions := []string{"creation", "deletion", actionProperty, actionAssociation, actionMerge, "restore"}
		switch thing {
		case thingContact:
			actions = append(actions, "privacyDeletion")
		case thingConversation:
			actions = []string{"creation", "deletion", actionMessage, "privacyDeletion", actionProperty}
		}
		for _, action := range actions {
			add(thing+"."+action, thing+"."+happened[action])
		}
		for _, p := range properties {
			if p.thing == thing {
				add(thing+"."+actionProperty+" ("+p.property+")", thing+"."+p.what)
			}
		}
	}
	return out
}
