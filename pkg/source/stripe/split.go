package stripe

import (
	"bytes"
	"errors"
	"iter"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Split implements source.Source: Stripe posts one event at a time.
func (s stripe) Split(d *source.Delivery) iter.Seq2[source.Record, error] {
	return func(yield func(source.Record, error) bool) {
		if !bytes.HasPrefix(bytes.TrimLeft(d.Body, " \t\r\n"), []byte("{")) {
			yield(source.Record{}, fault.Permanent(fault.Malformed, errors.New("the body is not a JSON object: Stripe sends one event at a time")))
			return
		}
		for value, err := range source.Elements(d.Body, 1) {
			if err != nil {
				yield(source.Record{}, err)
				return
			}
			record := source.Record{Value: value, Mode: source.Webhook, ReceivedAt: d.ReceivedAt}
			// What cannot be described has no key; the normalizer says why.
			if event, err := s.Describe(record); err == nil {
				record.Key, record.Tenant = source.RecordKey(event.References, event.ID), event.Tenant
			}
			if !yield(record, nil) {
				return
			}
		}
	}
}
