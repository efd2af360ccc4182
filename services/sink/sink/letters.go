package sink

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/deadletter"
	"github.com/throughline-dev/throughline/pkg/fault"
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

// letter makes the record of the dead letter topic.
func (s *Sink) letter(f *failed) (*kgo.Record, error) {
	return deadletter.Make(s.encoder, f.rec, deadletter.Described{
		Source: f.event.Source, Tenant: f.event.Tenant, Type: f.event.Type, SourceEventID: f.event.SourceEventID,
	}, f.err)
}
