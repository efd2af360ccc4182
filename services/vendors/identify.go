package vendors

import (
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Identify gives what the source says of a delivery's events: what they will be
// on a timeline, or in quarantine. A delivery that the source cannot read whole
// is an error.
func (s *Sender) Identify(d Delivery, received time.Time) ([]source.Event, error) {
	found, _ := s.Sources.Find(d.Source)
	src, ok := found.(source.Webhook)
	if !ok {
		return nil, fmt.Errorf("%q is not a source with a webhook", d.Source)
	}
	var events []source.Event
	for part, err := range src.Split(&source.Delivery{Body: d.Body, Header: usualHeaders(d), ReceivedAt: received}) {
		var event source.Event
		if err == nil {
			tenant := orText(part.Tenant, s.Tenants[d.Source])
			_, event, err = source.Keyed(src, source.Record{Value: part.Value, Object: part.Object, Tenant: tenant, ReceivedAt: received})
		}
		if err != nil {
			return nil, fmt.Errorf("reading an event of %s: %w", d.Source, err)
		}
		events = append(events, event)
	}
	return events, nil
}
