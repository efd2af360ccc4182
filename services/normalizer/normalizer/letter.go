package normalizer

import (
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// deadLetter makes the record of the dead letter topic. Its key is the raw
// record's, so that what belongs together stays in order there too.
func (n *Normalizer) deadLetter(it *item, into *kgo.Record) error {
	letter := event.DeadLetter{
		Value: it.rec.Value, Topic: it.rec.Topic, Partition: it.rec.Partition, Offset: it.rec.Offset, Key: it.rec.Key,
		Headers: headersOf(it), Reason: string(fault.DeadLetterReason(it.err)), Error: it.err.Error(),
		References: it.event.References, FirstSeen: firstSeen(it), Attempts: it.raw.Attempts,
		Source: it.raw.Source, Tenant: it.raw.Tenant, Type: it.event.Type, SourceEventID: it.event.ID, RawIndex: -1,
	}
	if it.event.Tenant != "" {
		letter.Tenant = it.event.Tenant
	}
	if letter.Attempts < math.MaxInt32 {
		letter.Attempts++
	}
	key := letter.Bound()
	value, err := n.encoder.DeadLetter(&letter)
	if err != nil {
		return fault.Transient(fault.Unavailable, err)
	}
	into.Topic, into.Key, into.Value = stream.DeadLetters, key, value
	return nil
}

// firstSeen is when the event first came to be dead-lettered. The record's own
// time stands in for now, so that a batch that comes again says the same.
func firstSeen(it *item) time.Time {
	switch {
	case !it.raw.FirstSeen.IsZero():
		return it.raw.FirstSeen
	case !it.rec.Timestamp.IsZero():
		return it.rec.Timestamp
	}
	return time.Now()
}

// headersOf gives the record's headers, and the receipt where they lack it: a
// release writes the record anew, which would move it.
func headersOf(it *item) []event.Header {
	headers := make([]event.Header, 0, len(it.rec.Headers)+1)
	hasReceipt := false
	for _, h := range it.rec.Headers {
		headers = append(headers, event.Header{Key: h.Key, Value: h.Value})
		hasReceipt = hasReceipt || h.Key == stream.HeaderReceivedAt
	}
	if !hasReceipt {
		headers = append(headers, event.Header{Key: stream.HeaderReceivedAt, Value: it.raw.ReceivedAt.AppendFormat(nil, time.RFC3339Nano)})
	}
	return headers
}
