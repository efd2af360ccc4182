package hubspot

import (
	"iter"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Split implements source.Source: HubSpot posts an array of events, of several
// types and portals.
func (h hubspot) Split(d *source.Delivery) iter.Seq2[source.Record, error] {
	return func(yield func(source.Record, error) bool) {
		for value, err := range source.Elements(d.Body, maxEvents) {
			if err != nil {
				yield(source.Record{}, err)
				return
			}
			record := source.Record{Value: value, Mode: source.Webhook, ReceivedAt: d.ReceivedAt}
			// What cannot be described has no key; the normalizer says why.
			if event, err := h.Describe(record); err == nil {
				record.Key, record.Tenant = source.RecordKey(event.References, event.ID), event.Tenant
			}
			if !yield(record, nil) {
				return
			}
		}
	}
}
