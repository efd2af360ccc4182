package stream

import (
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// stoppedAfter is how long no poll may tell of a batch that could not be
	// decompressed until another client takes over, …
	stoppedAfter = 10 * time.Second
	// … and how many polls must have been made since: one batch may be worked at for
	// longer than that.
	stoppedPolls = 3
	// maxLengths bounds what somebody who publishes such batches can make a client keep.
	maxLengths = 10_000
)

// errDropped ends a session whose client may stand still at a batch of which it keeps quiet.
var errDropped = errors.New("a batch that cannot be read was dropped with the fetch it was in; its partition is fetched anew")

// stopped are the partitions at which the client stands still, or will, because a
// batch decompresses to too much and no poll has told of it yet. The client drops
// what it has fetched, and the error with it, whenever it stops fetching for a
// rebalance, a leader that moves or a SetOffsets of any partition; it does not fetch
// the batch's partition again after that (franz-go 1.22, cursor.fatal).
//
// It errs on one side: a batch that came behind others is fetched again by itself, and
// another one of the same length may be taken for it.
type stopped struct {
	mu      sync.Mutex
	at      map[topicPartition]*stop
	lengths map[int]bool // of what was refused, compressed: a decompressor is not told of which partition it is
}

type stop struct {
	since time.Time
	polls int
}

// refused takes note of a batch that decompresses to too much.
func (s *stopped) refused(length int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lengths) >= maxLengths {
		clear(s.lengths) // the client has long asked for the others
	}
	s.lengths[length] = true
}

// OnFetchBatchRead is called for each batch of a fetch, before a poll tells of it.
func (s *stopped) OnFetchBatchRead(_ kgo.BrokerMetadata, topic string, partition int32, batch kgo.FetchBatchMetrics) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tp := topicPartition{topic, partition}
	if batch.CompressionType == 0 || batch.NumRecords > 0 {
		delete(s.at, tp) // what stands still is not fetched
	} else if s.lengths[batch.CompressedBytes] && s.at[tp] == nil {
		s.at[tp] = &stop{since: time.Now()}
	}
}

// forget forgets a partition of which a poll has told, or that is set to an offset.
func (s *stopped) forget(topic string, partition int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, topicPartition{topic, partition})
}

// forgetAll is for another client.
func (s *stopped) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.lengths = map[topicPartition]*stop{}, map[int]bool{}
}

// any reports whether there is such a partition.
func (s *stopped) any() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.at) > 0
}

// polled takes note of a poll, and gives errDropped when polls should have told of a partition by now.
func (s *stopped) polled(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stop := range s.at {
		if stop.polls++; stop.polls >= stoppedPolls && now.Sub(stop.since) >= stoppedAfter {
			return errDropped
		}
	}
	return nil
}
