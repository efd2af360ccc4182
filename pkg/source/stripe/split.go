package stripe

import (
	"errors"
	"iter"
	"strings"
	"unsafe"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Split implements source.Source: Stripe posts one event at a time.
func (stripe) Split(d *source.Delivery) iter.Seq2[source.Record, error] {
	return func(yield func(source.Record, error) bool) {
		value := source.Object(d.Body)
		if value == nil {
			yield(source.Record{}, fault.Permanent(fault.Malformed, errors.New("the body is not a JSON object: Stripe sends one event at a time")))
			return
		}
		record := source.Record{Value: value, Mode: source.Webhook, ReceivedAt: d.ReceivedAt}
		record.Key, record.Tenant = keyOf(value)
		yield(record, nil)
	}
}

// keyOf gives what Describe and RecordKey would give, without what they find
// beyond it. What cannot be described has no key; the normalizer says why.
func keyOf(value []byte) (key []byte, tenant string) {
	// Safe: nobody writes to value before this returns, and what is returned of
	// the text is copied.
	e := readEnvelope(unsafe.String(unsafe.SliceData(value), len(value))) //nolint:gosec // see above
	id, _, err := e.identity()
	if err != nil {
		return nil, ""
	}
	tenant = strings.Clone(e.tenant())
	c := source.References{Source: name, Tenant: tenant, FirstOnly: true}
	e.addReferences(&c)
	return source.RecordKey(c.List(), id), tenant
}
