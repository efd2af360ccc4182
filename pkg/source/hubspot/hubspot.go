package hubspot

import (
	"cmp"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// name is the source's name: topic raw.hubspot, path /webhooks/hubspot.
const name = "hubspot"

const (
	// window is HubSpot's bound on a signature's age.
	window = 5 * time.Minute
	// maxEvents is ten times the batch of 100 that HubSpot documents.
	maxEvents = 1000
	// maxBody holds a batch of 100 property values of HubSpot's largest (65,536 characters).
	maxBody = 8 << 20
)

// New gives the HubSpot source, as it is without a setting. It holds no state.
func New() source.Webhook { return hubspot{} }

// Configured gives the HubSpot source with what a person set.
func Configured(o Options) source.Webhook { return hubspot{o} }

type hubspot struct{ o Options }

var (
	_ source.Signer = hubspot{}
	_ source.Lister = hubspot{}
	_ source.Typer  = hubspot{}
)

// Name implements source.Source.
func (hubspot) Name() string { return name }

// Profile implements source.Source.
func (hubspot) Profile() source.Profile {
	kinds := make([]source.Kind, 0, len(referenceKinds))
	for _, kind := range referenceKinds {
		kinds = append(kinds, source.Kind{Name: kind, Scoped: true})
	}
	return source.Profile{
		Title:           "HubSpot",
		Limits:          source.Limits{BodyBytes: maxBody, Events: maxEvents},
		Kinds:           kinds,
		Types:           types(),
		NeedsPublicURL:  true,
		SignatureWindow: window,
		Volatile:        []string{"/attemptNumber"},
	}
}

// Form implements source.Former: a classic subscription and a newer one tell one
// fact in members of their own, and so does what the API's past was made into, with
// an object as it was when it was asked for.
func (hubspot) Form(e rawjson.Value) source.Form {
	name := cmp.Or(e.Get("subscriptionType").Text(), e.Get("eventType").Text())
	if api := e.Get("api").Text(); api != "" {
		name += " of the API's " + api
	}
	return source.Form{
		Name:    name,
		Ignored: []string{"/eventId", "/subscriptionId", "/appId", "/sourceId", "/object", "/companies"}, // two apps tell one fact
	}
}

// Reply implements source.Webhook. HubSpot wants a 2xx within five seconds and
// retries a 5xx, so the shared answers serve.
func (hubspot) Reply(_ *source.Delivery, outcome error) source.Response {
	return source.DefaultReply(outcome)
}
