package hubspot

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe implements source.Source.
func (hubspot) Describe(r source.Record) (source.Event, error) {
	n := readNotice(r.Object)
	if n.portal == "" {
		n.portal = r.Tenant
	}
	switch {
	case n.portal == "":
		return source.Event{}, source.Malformed("the event has no portalId")
	case n.vendor == "":
		return source.Event{}, source.Malformed("the event has neither subscriptionType nor eventType")
	}
	n.canonicalise()
	if n.subject() == "" {
		return source.Event{}, source.Malformed("the event names no object")
	}
	occurred, err := source.ParseTime(n.occurredAt)
	if err != nil {
		return source.Event{Type: n.eventType(), Tenant: n.portal}, fmt.Errorf("reading occurredAt: %w", err)
	}
	event := source.Event{ID: n.identity(occurred), Type: n.eventType(), OccurredAt: occurred, Tenant: n.portal}
	if !r.Brief {
		n.readRelated(r.Object)
		event.References = n.references()
	}
	return event, nil
}

// TypeOf implements source.Typer, for what happens most to HubSpot's own objects.
func (hubspot) TypeOf(r source.Record) (string, bool) {
	e := r.Object
	vendor := e.Get("subscriptionType").TextBytes()
	usual, ok := usualTypes()[string(vendor)]
	if !ok || e.Get("fromObjectId").Exists() { // of two objects
		return "", false
	}
	portal, object, property := idBytes(e.Get("portalId")), idBytes(e.Get("objectId")), e.Get("propertyName").TextBytes()
	if len(portal) == 0 {
		portal = []byte(r.Tenant)
	}
	const most = source.MaxIDBytes / 16 // three of them, each three times as long for its escapes, beside a type, a digest and a time
	if !source.Certain(portal, most) || !source.Certain(object, most) || len(property) > 0 && !source.Certain(property, most) {
		return "", false
	}
	eventType := usual.name
	for _, p := range usual.properties {
		if string(property) == p.property {
			eventType = p.name
		}
	}
	return eventType, source.CertainTime(e.Get("occurredAt"), r.ReceivedAt)
}

// notice is one element of a delivery. Ids are kept as text.
type notice struct {
	portal, vendor, occurredAt, eventID string
	objectID, objectType                string
	property, changeSource              string
	value                               rawjson.Value // of any length, so that it is copied where it must be
	sensitive                           bool
	fromID, toID, fromType, toType      string
	association, associationTypeID      string
	removed, primarySide                bool
	mergePrimary, mergeNew              string
	merged                              []string
	messageID, messageType              string
	associationCategory, completed      string
	companies                           []string // those of a contact, deal or ticket (Page)
	email, domain                       string   // of the object itself (Page)

	thing, action string // what canonicalise makes of vendor and objectType
}

func readNotice(event rawjson.Value) notice {
	n := notice{
		portal: id(event.Get("portalId")), vendor: event.Get("subscriptionType").Text(),
		occurredAt: event.Get("occurredAt").Literal(), eventID: id(event.Get("eventId")),
		objectID: id(event.Get("objectId")), objectType: event.Get("objectTypeId").Text(),
		property: event.Get("propertyName").Text(), value: event.Get("propertyValue"),
		changeSource: event.Get("changeSource").Text(), sensitive: event.Get("isSensitive").Bool(),
		messageID: id(event.Get("messageId")), messageType: event.Get("messageType").Text(),
		associationCategory: event.Get("associationCategory").Text(), completed: event.Get("eventTypeName").Text(),
		fromID: id(event.Get("fromObjectId")), toID: id(event.Get("toObjectId")),
		fromType: event.Get("fromObjectTypeId").Text(), toType: event.Get("toObjectTypeId").Text(),
		association: event.Get("associationType").Text(), associationTypeID: id(event.Get("associationTypeId")),
		removed: event.Get("associationRemoved").Bool(), primarySide: event.Get("isPrimaryAssociation").Bool(),
		mergePrimary: id(event.Get("primaryObjectId")), mergeNew: id(event.Get("newObjectId")),
	}
	if n.vendor == "" {
		n.vendor = event.Get("eventType").Text() // the name in HubSpot's table of fields
	}
	for _, merged := range event.Get("mergedObjectIds").Elements() {
		if one := id(merged); one != "" {
			n.merged = append(n.merged, one)
		}
	}
	return n
}

// readRelated reads what only references need.
func (n *notice) readRelated(event rawjson.Value) {
	for _, company := range event.Get("companies").Elements() {
		if one := id(company); one != "" {
			n.companies = append(n.companies, one)
		}
	}
	if properties := event.At("object", "properties"); properties.Exists() {
		n.email, n.domain = properties.Get("email").Text(), properties.Get("domain").Text()
	}
}

// objectTypes are HubSpot's own objects by objectTypeId, with the name that the
// classic subscriptions use.
// Source: developers.hubspot.com, "Understanding the CRM", object type ids.
var objectTypes = map[string]string{
	"0-1": thingContact, "0-2": thingCompany, "0-3": thingDeal, "0-5": thingTicket, "0-7": thingProduct, "0-8": thingLineItem,
}

// canonicalise makes `object.creation` of 0-1 and `contact.creation` the same.
func (n *notice) canonicalise() {
	n.thing, n.action, _ = strings.Cut(n.vendor, ".")
	if n.thing == thingObject {
		kind := n.objectType
		if kind == "" {
			kind = n.fromType
		}
		if thing, ok := objectTypes[kind]; ok {
			n.thing = thing
		}
	}
	if n.thing != thingObject && slices.Contains(referenceKinds, n.thing) {
		n.objectType = "" // said by the thing
	}
}

// subject names the object that the event is of, or, for a type that HubSpot
// has yet to invent, the event.
func (n *notice) subject() string {
	switch {
	case n.fromID != "" && n.toID != "":
		return n.fromID + ">" + n.toID
	case n.objectID != "":
		return n.objectID
	case n.mergePrimary != "":
		return n.mergePrimary
	case !n.known():
		return n.eventID
	}
	return ""
}

// id gives an id's text, whether it is written as a string or as a whole
// number of any size.
func id(v rawjson.Value) string { return string(idBytes(v)) }

// idBytes is id without a copy.
func idBytes(v rawjson.Value) []byte {
	switch v.Kind() {
	case rawjson.String:
		return v.TextBytes()
	case rawjson.Number:
		if digits := v.Bytes(); len(bytes.Trim(digits, "0123456789")) == 0 {
			return digits
		}
	}
	return nil
}
