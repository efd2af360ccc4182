package stripe

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/fault"
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
	e := readEnvelope(string(r.Value))
	id, occurred, err := e.identity()
	if err != nil {
		return source.Event{}, err
	}
	tenant := e.tenant()
	if tenant == "" {
		tenant = r.Tenant
	}
	return source.Event{
		ID: id, Type: typeName(e.kind), OccurredAt: occurred, Tenant: tenant, References: e.references(tenant),
	}, nil
}

// identity gives the event's id and time, or why it is none of Stripe's.
func (e *envelope) identity() (id string, occurred time.Time, err error) {
	if e.object != objectSnapshot && e.object != objectThin {
		return "", occurred, malformed("the top is not a Stripe event: its object is neither %q nor %q", objectSnapshot, objectThin)
	}
	id = e.snapshotEvent
	if id == "" {
		id = e.id
	}
	if id == "" || e.kind == "" {
		return "", occurred, malformed("the event has no id or no type")
	}
	occurred, err = source.ParseTime(e.created)
	if err != nil {
		return "", occurred, fmt.Errorf("reading created: %w", err)
	}
	return id, occurred, nil
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

// envelope is what both forms of event have around their object.
type envelope struct {
	id, object, kind, created string
	snapshotEvent             string       // thin: the same fact's snapshot event
	account                   string       // snapshot, Connect: acct_…
	context                   string       // thin, Connect: acct_…, or a path that ends in it
	data                      string       // snapshot: data.object, JSON
	previous                  gjson.Result // snapshot: data.previous_attributes
	related                   gjson.Result // thin: {id, type, url}
}

func readEnvelope(raw string) (e envelope) {
	source.Members(raw, func(key, value string) {
		switch key {
		case "id":
			e.id = textOf(value)
		case "object":
			e.object = textOf(value)
		case "type":
			e.kind = textOf(value)
		case "created":
			e.created = gjson.Parse(value).String()
		case "snapshot_event":
			e.snapshotEvent = textOf(value)
		case "account":
			e.account = textOf(value)
		case "context":
			e.context = textOf(value)
		case "data":
			e.readData(value)
		case "related_object":
			e.related = gjson.Parse(value)
		}
	})
	return e
}

func (e *envelope) readData(raw string) {
	e.data, e.previous = "", gjson.Result{}
	source.Members(raw, func(key, value string) {
		switch key {
		case "object":
			e.data = value
		case "previous_attributes":
			e.previous = gjson.Parse(value)
		}
	})
}

// tenant is the connected account that the event happened on, or "".
func (e *envelope) tenant() string {
	if e.account != "" {
		return e.account
	}
	last := e.context[strings.LastIndexByte(e.context, '/')+1:]
	if strings.HasPrefix(last, accountPrefix) {
		return last
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

// textOf is text of a value's JSON.
func textOf(raw string) string { return text(gjson.Parse(raw)) }

// textAt gives the text at path in an object, and "" for anything else. Most
// fields that may hold an expanded object do not, and then nothing is searched.
func textAt(v gjson.Result, path string) string {
	if !v.IsObject() {
		return ""
	}
	return text(v.Get(path))
}

func malformed(format string, args ...any) error {
	return fault.Permanent(fault.Malformed, fmt.Errorf(format, args...))
}
