package marketo

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe reads a call or an activity (see the package comment for the shapes
// and their identities).
func (marketo) Describe(r source.Record) (source.Event, error) {
	b := r.Object
	kind := b.Get("activityTypeId").Literal()
	isActivity := kind != "" || b.Get("marketoGUID").Exists()
	if success := b.Get("success"); !isActivity && success.Kind() == rawjson.Bool && !success.Bool() {
		return source.Event{}, apiError(b)
	}
	tenant := cmp.Or(b.Get("munchkinId").Literal(), r.Tenant)
	var event source.Event
	var err error
	switch {
	case isActivity:
		event, err = activity(b, kind, tenant)
	case b.Get("leadId").Exists() || b.Get("campaignId").Exists() || b.Get("systemDate").Exists():
		event, err = call(b, tenant, r.ReceivedAt)
	default:
		err = source.Malformed("this is neither an activity (marketoGUID, activityTypeId) nor a call made by the template (leadId, campaignId, systemDate)")
	}
	if err == nil && !r.Brief {
		event.References = references(b, tenant)
	}
	return event, err
}

// activity describes one element of an activities page.
func activity(b rawjson.Value, kind, tenant string) (source.Event, error) {
	guid := cmp.Or(b.Get("marketoGUID").Literal(), b.Get("id").Literal())
	switch {
	case guid == "":
		return source.Event{}, source.Malformed("the activity has neither marketoGUID nor id")
	case kind == "":
		return source.Event{}, source.Malformed("the activity has no activityTypeId")
	}
	at, err := source.ParseTime(b.Get("activityDate").Literal())
	if err != nil {
		return source.Event{ID: source.ID(tenant, guid), Type: activityType(kind), Tenant: tenant}, fmt.Errorf("reading activityDate: %w", err)
	}
	return source.Event{ID: source.ID(tenant, guid), Type: activityType(kind), OccurredAt: at, Tenant: tenant}, nil
}

// call describes the body of a flow step's webhook.
func call(b rawjson.Value, tenant string, receivedAt time.Time) (source.Event, error) {
	parts := []string{"call", b.Get("leadId").Literal(), b.Get("campaignId").Literal(), b.Get("systemDate").Literal()}
	for i, field := range []string{"leadId", "campaignId", "systemDate"} {
		if parts[i+1] == "" {
			return source.Event{}, source.Malformed("the call has no %s, without which it has no identity: add it to the webhook's template", field)
		}
	}
	date, trigger := parts[3], b.Get("triggerName").Text()
	asset, link := b.Get("triggerAsset").Literal(), b.Get("triggerLink").Literal()
	linked := asset != "" || link != ""
	switch {
	case trigger != "":
		parts = append(parts, source.TypeName(trigger))
	case linked:
		parts = append(parts, "")
	}
	if linked {
		// A digest, because a link may be longer than an id.
		sum := sha256.Sum256([]byte(asset + "\x00" + link))
		parts = append(parts, hex.EncodeToString(sum[:8]))
	}
	at, err := calledAt(date, b.Get("systemTime").Text(), receivedAt)
	if err != nil {
		return source.Event{ID: source.ID(tenant, parts...), Type: callType(b.Get("type").Text(), trigger), Tenant: tenant}, fmt.Errorf("reading systemDate: %w", err)
	}
	return source.Event{ID: source.ID(tenant, parts...), Type: callType(b.Get("type").Text(), trigger), OccurredAt: at, Tenant: tenant}, nil
}

// calledAt is the time of a call: the system date in its own zone or in that of
// the system time; without a zone, the receipt.
func calledAt(date, clock string, receivedAt time.Time) (time.Time, error) {
	at, zoned, err := source.ParseZonedTime(date)
	if err != nil || zoned {
		return at, err
	}
	// {{system.time}} renders as 04:34 PM (GMT -0700), {{system.dateTime}} as
	// 2013-08-08 16:36:13: "System Tokens Glossary".
	there, err := time.Parse("03:04 PM (GMT -0700)", clock)
	if err != nil {
		return receivedAt, nil
	}
	_, east := there.Zone()
	return at.Add(-time.Duration(east) * time.Second), nil
}
