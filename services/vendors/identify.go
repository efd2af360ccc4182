package vendors

import (
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Identified is an event of a delivery, as its source reads it.
type Identified struct {
	source.Event
	Value []byte // the vendor's bytes of it
}

// Identify gives what the source says of a delivery's events: what they will be
// on a timeline, or in quarantine. A delivery that the source cannot read whole
// is an error.
func (s *Sender) Identify(d Delivery, received time.Time) ([]source.Event, error) {
	parts, err := s.IdentifyParts(d, received)
	var events []source.Event
	for _, part := range parts {
		events = append(events, part.Event)
	}
	return events, err
}

// IdentifyParts is Identify with the bytes of each event.
func (s *Sender) IdentifyParts(d Delivery, received time.Time) ([]Identified, error) {
	found, _ := s.Sources.Find(d.Source)
	src, ok := found.(source.Webhook)
	if !ok {
		return nil, fmt.Errorf("%q is not a source with a webhook", d.Source)
	}
	var events []Identified
	for part, err := range src.Split(&source.Delivery{Body: d.Body, Header: usualHeaders(d), ReceivedAt: received}) {
		var event source.Event
		if err == nil {
			tenant := orText(part.Tenant, s.Tenants[d.Source])
			_, event, err = source.Keyed(src, source.Record{Value: part.Value, Object: part.Object, Tenant: tenant, ReceivedAt: received})
		}
		if err != nil {
			return nil, fmt.Errorf("reading an event of %s: %w", d.Source, err)
		}
		events = append(events, Identified{event, part.Value})
	}
	return events, nil
}
