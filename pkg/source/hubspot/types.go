package hubspot

import (
	"slices"
	"sync"

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

// standardObjects are HubSpot's own objects that only the newer subscriptions
// tell of. Each keeps its object type in identities and references, as a custom
// object does.
// Source: developers.hubspot.com, "Using object APIs" and "Object definition",
// object type ids.
var standardObjects = map[string]string{
	"0-14": "quote", "0-18": "communication", "0-19": "feedback_submission", "0-27": "task", "0-35": "campaign", "0-46": "note", "0-47": "meeting",
	"0-48": "call", "0-49": "email", "0-53": "invoice", "0-54": "marketing_event", "0-69": "subscription", "0-74": "goal",
	"0-84": "discount", "0-85": "fee", "0-86": "tax", "0-101": "payment", "0-115": "user", "0-116": "postal_mail",
	"0-123": "order", "0-136": "lead", "0-142": "cart", "0-145": "partner_client", "0-162": "service", "0-171": "partner_service",
	"0-410": "course", "0-420": "listing", "0-421": "appointment", "0-970": "project",
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
	thing := n.thing
	if thing == thingObject {
		kind := n.objectType
		if kind == "" {
			kind = n.fromType
		}
		if name, ok := standardObjects[kind]; ok {
			thing = name
		}
	}
	switch {
	case n.action == actionMessage && n.messageType == "COMMENT":
		return thing + ".comment.added" // among teammates
	case n.action == actionProperty:
		for _, p := range properties {
			if p.thing == n.thing && p.property == n.property {
				return n.thing + "." + p.what
			}
		}
	}
	return thing + "." + happened[n.action]
}

// usual is the event_type of one of HubSpot's types, which some properties change.
type usual struct {
	name       string
	properties []struct{ property, name string }
}

// usualTypes has those that are of one object of HubSpot's own, which only the object, the time and
// a property's value tell apart.
var usualTypes = sync.OnceValue(func() map[string]usual {
	all := map[string]usual{}
	for _, thing := range referenceKinds {
		for _, action := range []string{"creation", "deletion", "restore", "privacyDeletion", actionProperty} {
			if thing == thingObject {
				continue
			}
			n := notice{vendor: thing + "." + action}
			n.canonicalise()
			u := usual{name: n.eventType()}
			for _, p := range properties {
				n.property = p.property
				if name := n.eventType(); name != u.name {
					u.properties = append(u.properties, struct{ property, name string }{p.property, name})
				}
			}
			all[n.vendor] = u
		}
	}
	return all
})

// types lists what HubSpot can subscribe to. `object.*` is listed for custom
// objects; for HubSpot's own it has the classic names, or those of standardObjects
// (testdata/objects/standard.golden.txt).
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
		if thing == thingConversation {
			add(thing+"."+actionMessage+" (COMMENT)", thing+".comment.added")
		}
		for _, p := range properties {
			if p.thing == thing {
				add(thing+"."+actionProperty+" ("+p.property+")", thing+"."+p.what)
			}
		}
	}
	return out
}
