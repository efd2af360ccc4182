package stripe

import (
	"errors"
	"fmt"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	subscriptionPrefix = "customer.subscription."
	thinPrefix         = "v1."

	objectSnapshot = "event"
	objectThin     = "v2.core.event"
)

// Describe implements source.Source.
func (stripe) Describe(r source.Record) (source.Event, error) {
	e := r.Object
	if object := e.Get("object"); !object.Is(objectSnapshot) && !object.Is(objectThin) {
		return source.Event{}, malformed(fmt.Errorf("the top is not a Stripe event: its object is neither %q nor %q", objectSnapshot, objectThin))
	}
	id := e.Get("snapshot_event").Text() // thin: the same fact's snapshot event
	if id == "" {
		id = e.Get("id").Text()
	}
	vendor := e.Get("type").Text()
	if id == "" || vendor == "" {
		return source.Event{}, malformed(errors.New("the event has no id or no type"))
	}
	account := accountOf(e)
	tenant := account
	if tenant == "" {
		tenant = r.Tenant
	}
	event := source.Event{ID: id, Type: typeName(vendor), Tenant: tenant}
	var err error
	if event.OccurredAt, err = source.ParseTime(e.Get("created").Literal()); err != nil {
		return event, fmt.Errorf("reading created: %w", err)
	}
	livemode := e.Get("livemode")
	if !r.Brief {
		event.References = references(e, account, tenant)
	}
	event.Test = livemode.Kind() == rawjson.Bool && !livemode.Bool()
	return event, nil
}

// TypeOf implements source.Typer, for snapshots of the types that Stripe documents.
func (stripe) TypeOf(r source.Record) (string, bool) {
	e := r.Object
	eventType, known := typeNames()[string(e.Get("type").TextBytes())]
	if !known || !e.Get("object").Is(objectSnapshot) || !source.Certain(e.Get("id").TextBytes(), source.MaxIDBytes) {
		return "", false
	}
	tenant := e.Get("account").TextBytes()
	if len(tenant) == 0 {
		tenant = []byte(r.Tenant)
	}
	switch livemode := e.Get("livemode"); {
	case e.Get("snapshot_event").Exists(), e.Get("context").Kind() == rawjson.String: // a thin event has them
	case livemode.Kind() == rawjson.Bool && !livemode.Bool():
	case len(tenant) > 0 && !source.Certain(tenant, source.MaxTenantBytes):
	default:
		return eventType, source.CertainTime(e.Get("created"), r.ReceivedAt)
	}
	return "", false
}

// typeName keeps Stripe's own type, which reads as thing.happened, but for two
// prefixes that say nothing on a timeline: a thin event's "v1." and
// "customer." before "subscription.".
func typeName(vendor string) string {
	vendor = strings.TrimPrefix(vendor, thinPrefix)
	if rest, ok := strings.CutPrefix(vendor, subscriptionPrefix); ok {
		vendor = "subscription." + rest
	}
	return source.TypeName(vendor)
}

// accountOf is the connected account that the event happened on, or "". A thin
// event names it in context, by itself or at the end of a path.
func accountOf(event rawjson.Value) string {
	if account := event.Get("account").Text(); account != "" {
		return account
	}
	context := event.Get("context").Text()
	if last := context[strings.LastIndexByte(context, '/')+1:]; strings.HasPrefix(last, accountPrefix) {
		return last
	}
	return ""
}

func malformed(err error) error { return fault.Permanent(fault.Malformed, err) }
