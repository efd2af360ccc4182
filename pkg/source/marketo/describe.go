package marketo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe reads a call or an activity (see the package comment for the shapes
// and their identities).
func (marketo) Describe(r source.Record) (source.Event, error) {
	b := read(r.Value)
	switch {
	case b.success.Type == gjson.False && b.activityType == "":
		return source.Event{}, apiError(b.errors.Get("0.code").String(), b.errors.Get("0.message").String())
	case b.result.IsArray() || b.success.IsBool() && b.request != "" && b.activityType == "":
		return source.Event{}, errPage()
	}
	b.tenant = or(b.munchkin, strings.TrimSpace(r.Tenant))
	switch {
	case b.activityType != "" || b.guid != "":
		return activity(b)
	case b.lead != "" || b.campaign != "" || b.systemDate != "":
		return call(b, r.ReceivedAt)
	}
	return source.Event{}, malformed("this is neither an activity (marketoGUID, activityTypeId) nor a call made by the template (leadId, campaignId, systemDate)")
}

// body is what Describe needs of a record, gathered in one pass.
type body struct {
	guid, id, lead, activityDate, activityType string
	campaign, systemDate, systemTime           string
	trigger, asset, link, kind                 string
	munchkin, tenant, request                  string
	result, success, errors                    gjson.Result
	pointers                                   []pointer
}

// read gathers a record's fields; of any other JSON than an object it gathers
// none.
func read(raw []byte) *body {
	b := &body{}
	doc := gjson.ParseBytes(raw)
	if !doc.IsObject() {
		return b
	}
	doc.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "result":
			b.result = value
		case "success":
			b.success = value
		case "errors":
			b.errors = value
		case "attributes":
			b.attributes(value)
		case "fields":
			b.changes(value)
		default:
			if place := b.place(key.Str); place != nil {
				*place = text(value)
			} else {
				b.point(key.Str, value)
			}
		}
		return true
	})
	return b
}

// place is where the text of this key belongs, or nil.
func (b *body) place(key string) *string {
	switch key {
	case "marketoGUID":
		return &b.guid
	case "id":
		return &b.id
	case "leadId":
		return &b.lead
	case "activityDate":
		return &b.activityDate
	case "activityTypeId":
		return &b.activityType
	case "campaignId":
		return &b.campaign
	case "systemDate":
		return &b.systemDate
	case "systemTime":
		return &b.systemTime
	case "triggerName":
		return &b.trigger
	case "triggerAsset":
		return &b.asset
	case "triggerLink":
		return &b.link
	case "type":
		return &b.kind
	case "munchkinId":
		return &b.munchkin
	case "requestId":
		return &b.request
	}
	return nil
}

// activity describes one element of an activities page.
func activity(b *body) (source.Event, error) {
	guid := or(b.guid, b.id)
	switch {
	case guid == "":
		return source.Event{}, malformed("the activity has neither marketoGUID nor id")
	case b.activityType == "":
		return source.Event{}, malformed("the activity has no activityTypeId")
	}
	at, err := source.ParseTime(b.activityDate)
	if err != nil {
		return source.Event{}, fmt.Errorf("reading activityDate: %w", err)
	}
	return source.Event{
		ID: scoped(b.tenant, guid), Type: activityType(b.activityType), OccurredAt: at,
		Tenant: b.tenant, References: b.references(),
	}, nil
}

// call describes the body of a flow step's webhook.
func call(b *body, receivedAt time.Time) (source.Event, error) {
	for _, need := range [][2]string{{"leadId", b.lead}, {"campaignId", b.campaign}, {"systemDate", b.systemDate}} {
		if need[1] == "" {
			return source.Event{}, malformed("the call has no " + need[0] + ", without which it has no identity: add it to the webhook's template")
		}
	}
	id := "call:" + b.lead + ":" + b.campaign + ":" + b.systemDate
	if b.trigger != "" {
		id += ":" + source.TypeName(b.trigger)
	}
	if b.asset != "" || b.link != "" {
		// A digest, because a link may be longer than an id.
		sum := sha256.Sum256([]byte(b.asset + "\x00" + b.link))
		id += ":" + hex.EncodeToString(sum[:8])
	}
	return source.Event{
		ID: scoped(b.tenant, id), Type: callType(b.kind, b.trigger), OccurredAt: calledAt(b.systemDate, b.systemTime, receivedAt),
		Tenant: b.tenant, References: b.references(),
	}, nil
}

// calledAt is the moment of a call: the system date in its own zone or in that
// of the system time; without a zone, the receipt.
func calledAt(date, clock string, receivedAt time.Time) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02 15:04:05-0700", "2006-01-02 15:04:05 -0700"} {
		if at, err := time.Parse(layout, date); err == nil {
			return at.UTC()
		}
	}
	// {{system.time}} renders as 04:34 PM (GMT -0700), {{system.dateTime}} as
	// 2013-08-08 16:36:13: "System Tokens Glossary".
	if zoned, err := time.Parse("03:04 PM (GMT -0700)", clock); err == nil {
		if at, err := time.ParseInLocation(time.DateTime, date, zoned.Location()); err == nil {
			return at.UTC()
		}
	}
	return receivedAt
}

// scoped puts the tenant before an id that is unique within it only.
func scoped(tenant, id string) string {
	if tenant == "" {
		return id
	}
	return tenant + ":" + id
}

// text is a JSON text or number as it stands; Marketo writes ids as either.
func text(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return strings.TrimSpace(v.Str)
	case gjson.Number:
		return v.Raw
	default:
		return ""
	}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func malformed(why string) error { return fault.Permanent(fault.Malformed, errors.New(why)) }
