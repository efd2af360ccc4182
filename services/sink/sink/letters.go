package sink

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// lettersInFlight bounds the bytes of the dead letters that wait for their
// acknowledgement together: well below what the client buffers, beyond which it
// would refuse all of them, for ever.
const lettersInFlight = 16 << 20

// bury publishes dead letters and returns when all are acknowledged.
func (s *Sink) bury(ctx context.Context, dead []failed) error {
	var records []*kgo.Record
	waiting := 0
	for i := range dead {
		record, err := s.letter(&dead[i])
		if err != nil {
			return err
		}
		records = append(records, record)
		waiting += len(record.Value) + len(record.Key)
		if waiting < lettersInFlight && i < len(dead)-1 {
			continue
		}
		if err := s.letters.Publish(ctx, records...); err != nil {
			return fault.Transient(fault.Unavailable, fmt.Errorf("dead-lettering %d records: %w", len(records), err))
		}
		records, waiting = nil, 0
	}
	return nil
}

// letter makes the record of the dead letter topic. It says the same when the
// batch comes again.
func (s *Sink) letter(f *failed) (*kgo.Record, error) {
	letter := event.DeadLetter{
		Value: f.rec.Value, Topic: f.rec.Topic, Partition: f.rec.Partition, Offset: f.rec.Offset, Key: f.rec.Key,
		Headers: make([]event.Header, 0, len(f.rec.Headers)),
		Reason:  string(fault.DeadLetterReason(f.err)), Error: f.err.Error(), References: []source.Reference{},
		FirstSeen: firstSeen(f.rec), Attempts: attempts(f.rec),
		Source: f.event.Source, Tenant: f.event.Tenant, Type: f.event.Type, SourceEventID: f.event.SourceEventID, RawIndex: -1,
	}
	for _, h := range f.rec.Headers {
		letter.Headers = append(letter.Headers, event.Header{Key: h.Key, Value: h.Value})
	}
	key := letter.Bound()
	value, err := s.encoder.DeadLetter(&letter)
	if err != nil {
		return nil, fault.Transient(fault.Unavailable, err)
	}
	return &kgo.Record{Topic: stream.DeadLetters, Key: key, Value: value}, nil
}

// firstSeen is when the event first came to be dead-lettered: as a release
// says, else the time of its record.
func firstSeen(rec *kgo.Record) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, string(stream.Header(rec, stream.HeaderFirstSeen))); err == nil {
		return t
	}
	return rec.Timestamp
}

// attempts counts this one on top of what a release says.
func attempts(rec *kgo.Record) int32 {
	before, err := strconv.ParseInt(string(stream.Header(rec, stream.HeaderAttempts)), 10, 32)
	if err != nil || before < 0 {
		return 1
	}
	return int32(min(before+1, math.MaxInt32))
}
