package sink

import (
	"fmt"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// maxOriginBytes bounds the texts of an origin but for the reference, which has
// its own bound: a rule, a delivery, a topic.
const maxOriginBytes = 249

// rowOf makes the timeline's row of an event, with the subject spliced into the
// payload. It believes nothing that others may have written to the topic: what
// is beyond the bounds of an event is Permanent. doc is only scratch memory.
func rowOf(doc *rawjson.Doc, ev *event.AccountEvent) (postgres.Row, error) {
	row := postgres.Row{
		AccountID: ev.AccountID, EventType: ev.Type, Source: ev.Source, SourceEventID: ev.SourceEventID,
		Payload: ev.Payload, OccurredAt: ev.OccurredAt, IngestedAt: ev.IngestedAt,
		Origin: postgres.Origin{
			Reference: ev.Reference, Rule: ev.Rule, Delivery: string(ev.Delivery),
			RawTopic: ev.RawTopic, RawPartition: ev.RawPartition, RawOffset: ev.RawOffset, RawIndex: ev.RawIndex,
		},
	}
	err := source.CheckEvent(source.Event{ID: ev.SourceEventID, Type: ev.Type, OccurredAt: ev.OccurredAt, Tenant: ev.Tenant}, ev.IngestedAt)
	if err != nil {
		return row, err
	}
	for _, text := range []struct {
		name, text string
		most       int
	}{
		{"source", ev.Source, maxOriginBytes}, {"reference", ev.Reference, postgres.MaxReferenceBytes}, {"rule", ev.Rule, maxOriginBytes},
		{"delivery", string(ev.Delivery), maxOriginBytes}, {"raw_topic", ev.RawTopic, maxOriginBytes},
	} {
		if len(text.text) > text.most {
			return row, fault.Permanent(fault.Oversized, fmt.Errorf("%s has %d bytes, the bound is %d", text.name, len(text.text), text.most))
		}
	}
	if ev.Spliced() {
		return row, nil
	}
	payload, err := doc.Parse(ev.Payload)
	if err != nil {
		return row, fmt.Errorf("reading the payload: %w", err)
	}
	row.Payload = payload.WithSubject(ev.Subject)
	return row, nil
}
