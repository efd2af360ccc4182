package hubspot

import (
	"iter"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Split implements source.Webhook: HubSpot posts an array of events, of several
// types and portals.
func (hubspot) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	return source.Parts(d, maxEvents)
}
