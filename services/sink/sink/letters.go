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

// deadLetter publishes dead letters and returns when all are acknowledged.
func (s *Sink) deadLetter(ctx context.Context, dead []failed) error {
	var records []*kgo.Record
	waiting := 0
	for i := range dead {
		record, err := deadletter.Make(s.encoder, dead[i].rec, dead[i].described(), dead[i].err)
		if err != nil {
			return err
		}
		records = append(records, record)
		waiting += len(record.Value) + len(record.Key)
		if waiting < lettersInFlight && i < len(dead)-1 {
			continue
		}
		first := i + 1 - len(records)
		for n, err := range s.letters.PublishEach(ctx, records) {
			if fault.IsPermanent(err) {
				err = s.deadLetterAlone(ctx, records[n], &dead[first+n])
			}
			if err != nil {
				return fault.Transient(fault.Unavailable, fmt.Errorf("dead-lettering %d records: %w", len(records), err))
			}
		}
		records, waiting = nil, 0
	}
	return nil
}

// deadLetterAlone publishes a letter that was refused together with others, and where
// it is refused again the one without the record's bytes.
func (s *Sink) deadLetterAlone(ctx context.Context, letter *kgo.Record, f *failed) error {
	err := s.letters.Publish(ctx, letter)
	if !fault.IsPermanent(err) {
		return err
	}
	bare, err := deadletter.MakeBare(s.encoder, f.rec, f.described(), f.err, err)
	if err != nil {
		return err
	}
	if err = s.letters.Publish(ctx, bare); fault.IsPermanent(err) {
		return deadletter.Hopeless(err)
	}
	return err
}

func (f *failed) described() deadletter.Described {
	return deadletter.Described{Source: f.event.Source, Tenant: f.event.Tenant, Type: f.event.Type, SourceEventID: f.event.SourceEventID}
}
