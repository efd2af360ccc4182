package vendors

import (
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// Identify gives what the source says of a delivery's events: what they will be
// on a timeline, or in quarantine. A delivery that the source cannot read whole
// is an error.
func Identify(d Delivery, received time.Time) ([]source.Event, error) {
	src, ok := catalog.Find(d.Source)
	if !ok {
		return nil, fmt.Errorf("%q is not a source", d.Source)
	}
	if err := source.ValidateBody(d.Body); err != nil {
		return nil, err
	}
	var events []source.Event
	for record, err := range src.Split(&source.Delivery{Body: d.Body, Header: usualHeaders(d), ReceivedAt: received}) {
		if err == nil {
			err = source.CheckJSON(record.Value)
		}
		var event source.Event
		if err == nil {
			event, err = src.Describe(record)
		}
		if err == nil {
			err = source.CheckEvent(event, received)
		}
		if err != nil {
			return nil, fmt.Errorf("reading an event of %s: %w", d.Source, err)
		}
		events = append(events, event)
	}
	return events, nil
}
