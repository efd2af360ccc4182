package zendesk

import (
	"iter"

	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Split yields the one event of a delivery. A trigger's own JSON is yielded too:
// Describe refuses it, so that it waits in quarantine instead of being lost.
func (s zendesk) Split(d *source.Delivery) iter.Seq2[source.Record, error] {
	return func(yield func(source.Record, error) bool) {
		for value, err := range source.Elements(d.Body, 1) {
			if err != nil {
				yield(source.Record{}, err)
				return
			}
			r := source.Record{
				Value: value, Tenant: text(gjson.GetBytes(value, "account_id")),
				Mode: source.Webhook, ReceivedAt: d.ReceivedAt,
			}
			if event, err := s.Describe(r); err == nil {
				r.Key = source.RecordKey(event.References, event.ID)
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}
