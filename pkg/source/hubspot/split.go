package hubspot

import (
	"iter"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Split implements source.Webhook: HubSpot posts an array of events, of several
// types and portals.
func (hubspot) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	return source.Parts(d, maxEvents)
}

// List implements source.Lister: HubSpot's API gives its lists as `results`,
// beside `paging` or `total`. An event, which has a subscription type, is no list.
// Source: developers.hubspot.com, "CRM search" and the webhooks journal API.
func (hubspot) List(page rawjson.Value) (rawjson.Value, bool) {
	results := page.Get("results")
	return results, results.Kind() == rawjson.Array && !page.Get("subscriptionType").Exists() && !page.Get("eventType").Exists()
}
