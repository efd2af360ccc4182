package hubspot

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe implements source.Source.
func (hubspot) Describe(r source.Record) (source.Event, error) {
	n := readNotice(r.Value)
	if n.portal == "" {
		n.portal = r.Tenant
	}
	switch {
	case n.portal == "":
		return source.Event{}, malformed("the event has no portalId")
	case n.vendor == "":
		return source.Event{}, malformed("the event has neither subscriptionType nor eventType")
	}
	n.canonicalise()
	if n.subject() == "" {
		return source.Event{}, malformed("the event names no object")
	}
	occurred, err := source.ParseTime(n.occurredAt)
	if err != nil {
		return source.Event{}, fmt.Errorf("reading occurredAt: %w", err)
	}
	return source.Event{
		ID: n.identity(occurred), Type: n.eventType(), OccurredAt: occurred, Tenant: n.portal, References: n.references(),
	}, nil
}

// notice is one element of a delivery. Ids are kept as text.
type notice struct {
	portal, vendor, occurredAt, eventID string
	objectID, objectType                string
	property, value                     string
	fromID, toID, fromType, toType      string
	association, associationTypeID      string
	removed, primarySide                bool
	mergePrimary, mergeNew              string
	merged                              []string
	messageID                           string

	thing, action string // what canonicalise makes of vendor and objectType
}

func readNotice(raw []byte) (n notice) {
	var alternative string
	gjson.ParseBytes(raw).ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "portalId":
			n.portal = id(v)
		case "subscriptionType":
			n.vendor = text(v)
		case "eventType": // the name in HubSpot's table of fields
			alternative = text(v)
		case "occurredAt":
			n.occurredAt = v.String()
		case "eventId":
			n.eventID = id(v)
		case "objectId":
			n.objectID = id(v)
		case "objectTypeId":
			n.objectType = text(v)
		case "propertyName":
			n.property = text(v)
		case "propertyValue":
			n.value = text(v)
		case "messageId":
			n.messageID = id(v)
		default:
			n.readRelation(key.Str, v)
		}
		return true
	})
	if n.vendor == "" {
		n.vendor = alternative
	}
	return n
}

// readRelation reads the fields of associations and merges.
func (n *notice) readRelation(key string, v gjson.Result) {
	switch key {
	case "fromObjectId":
		n.fromID = id(v)
	case "toObjectId":
		n.toID = id(v)
	case "fromObjectTypeId":
		n.fromType = text(v)
	case "toObjectTypeId":
		n.toType = text(v)
	case "associationType":
		n.association = text(v)
	case "associationTypeId":
		n.associationTypeID = id(v)
	case "associationRemoved":
		n.removed = v.Bool()
	case "isPrimaryAssociation":
		n.primarySide = v.Bool()
	case "primaryObjectId":
		n.mergePrimary = id(v)
	case "newObjectId":
		n.mergeNew = id(v)
	case "mergedObjectIds":
		for _, m := range v.Array() {
			if one := id(m); one != "" {
				n.merged = append(n.merged, one)
			}
		}
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
	if n.thing != thingObject {
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

// text gives a JSON string's text, and "" for anything else.
func text(v gjson.Result) string {
	if v.Type != gjson.String {
		return ""
	}
	return v.Str
}

// id gives an id's text, whether it is written as a string or as a whole
// number of any size.
func id(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return v.Str
	case gjson.Number:
		if strings.Trim(v.Raw, "0123456789") == "" {
			return v.Raw
		}
	}
	return ""
}

func malformed(format string, args ...any) error {
	return fault.Permanent(fault.Malformed, fmt.Errorf(format, args...))
}
