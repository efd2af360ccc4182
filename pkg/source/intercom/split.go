package intercom

import (
	"iter"

	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/source"
)

// ping is the topic of Intercom's test and heartbeat, which every subscription
// gets: it tells nothing, and its id is null.
const ping = "ping"

// Split yields a delivery's one notification; a ping has none.
func (s intercom) Split(d *source.Delivery) iter.Seq2[source.Record, error] {
	return func(yield func(source.Record, error) bool) {
		for value, err := range source.Elements(d.Body, 1) {
			if err != nil {
				yield(source.Record{}, err)
				return
			}
			if text(gjson.GetBytes(value, "topic")) == ping {
				continue
			}
			r := source.Record{
				Value: value, Tenant: text(gjson.GetBytes(value, "app_id")),
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
