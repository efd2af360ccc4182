package hubspot

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// identity is made of what the fact is, so that it is the same by every path:
//
//	portal|type|objectTypeId|object|occurredAt|detail…
//
// type is the canonical one, objectTypeId is there for custom objects only,
// object is an id or from>to, occurredAt is in milliseconds. The details keep
// apart what can share all that:
//
//	propertyChange     property        two properties saved at once
//	                   digest of value two values in one millisecond; none where
//	                                   HubSpot redacts it
//	associationChange  association type, removed, primary: an association that
//	                   becomes primary is told twice. Its number only where the
//	                   name is missing or a customer's: classic subscriptions have
//	                   none
//	merge              the ids that went in and came out
//	newMessage         message         two messages of one thread
//	unknown types      eventId, eventTypeName and all of the above that is there
//
// Left out: eventId elsewhere (not unique, and no other path has it),
// attemptNumber, subscriptionId and appId (two apps tell one fact), changeFlag,
// changeSource and sourceId.
func (n *notice) identity(occurred time.Time) string {
	parts := []string{
		n.portal, n.thing + "." + n.action, n.objectType, n.subject(), strconv.FormatInt(occurred.UnixMilli(), 10),
	}
	unknown := !n.known()
	if n.action == actionProperty || unknown {
		parts = append(parts, n.property, n.valueDigest())
	}
	if n.action == actionAssociation || unknown && n.fromID != "" {
		number := n.associationTypeID
		if n.association != "" && (n.associationCategory == "" || n.associationCategory == "HUBSPOT_DEFINED") {
			number = ""
		}
		parts = append(parts, n.association, number, ifSet(n.removed, "removed"), ifSet(n.primarySide, "primary"))
	}
	if n.action == actionMerge || unknown && n.mergePrimary != "" {
		merged := slices.Clone(n.merged)
		slices.Sort(merged)
		parts = append(parts, strings.Join(merged, ","), n.mergeNew)
	}
	if n.action == actionMessage || unknown && n.messageID != "" {
		parts = append(parts, n.messageID)
	}
	if unknown {
		parts = append(parts, n.completed, n.eventID)
	}
	for i, part := range parts {
		parts[i] = separators.Replace(part)
	}
	return strings.TrimRight(strings.Join(parts, "|"), "|")
}

// valueDigest tells a property's values apart without holding one.
func (n *notice) valueDigest() string {
	text := n.value.TextBytes()
	if kind := n.value.Kind(); kind == rawjson.Number || kind == rawjson.Bool {
		text = n.value.Bytes()
	}
	if len(text) == 0 || n.sensitive || string(text) == "REDACTED" {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// separators keep a part's own text from looking like the next part.
var separators = strings.NewReplacer("%", "%25", "|", "%7C")

func ifSet(set bool, word string) string {
	if set {
		return word
	}
	return ""
}
