package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// ErrRecordGone is Permanent, NotFound: the topic does not have the record any more, or not yet.
var ErrRecordGone = fault.Permanent(fault.NotFound, errors.New("the topic does not have this record any more: its retention has passed it"))

// ReadAt reads one committed record. It makes a connection of its own for that, so it is for what a person asks now and
// then; patience bounds it. Errors are ErrRecordGone, Permanent(Oversized) where the record's batch decompresses to more
// than anybody reads, or Transient.
func ReadAt(ctx context.Context, c Config, topic string, partition int32, offset int64, patience time.Duration) (*kgo.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := NewClient(c, Deps{Name: "reader"}, kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(offset)}}),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond), kgo.FetchMaxBytes(8<<20), kgo.FetchMaxPartitionBytes(1<<20))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		for r := range fetches.RecordsAll() {
			switch {
			case r.Offset == offset && !isMarker(r):
				return r, nil
			case r.Offset >= offset: // compacted away, or aborted
				return nil, ErrRecordGone
			}
		}
		unread, err := FetchErrors(fetches)
		switch {
		case len(unread) > 0:
			return nil, Unreadable(unread[0])
		case errors.Is(err, kerr.OffsetOutOfRange):
			return nil, ErrRecordGone
		case ctx.Err() != nil:
			return nil, fault.Transient(fault.Unavailable, fmt.Errorf("reading a record of %s: the brokers did not answer in time", topic))
		case err != nil:
			return nil, fault.Transient(fault.Unavailable, fmt.Errorf("reading a record of %s: %w", topic, err))
		}
	}
}
