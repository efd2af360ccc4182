package sink

import (
	"errors"
	"fmt"
	"sync"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// errBreakerOpen is in the chain of what check gives.
var errBreakerOpen = errors.New("the breaker is open")

// breaker tells a bad record from a bad deployment: when Postgres refuses limit
// records of a partition in a row, without a good one between them, no more of
// that partition are dead-lettered until one is stored again. What is no event
// does not count: it says nothing about the database. It is safe for concurrent
// use by writers that share no partition.
type breaker struct {
	limit int // 0: never opens

	mu      sync.Mutex
	refused map[int32]int  // in a row, by partition, in batches that went through
	open    map[int32]bool // the partitions that are held
}

func newBreaker(limit int) *breaker {
	return &breaker{limit: limit, refused: map[int32]int{}, open: map[int32]bool{}}
}

// tally counts a batch's records by partition: those that Postgres refused, and
// (at best) those that it stores.
type tally map[int32]struct{ stored, refused int }

// tallyOf counts all entries as stored.
func tallyOf(entries []entry) tally {
	t := tally{}
	for i := range entries {
		n := t[entries[i].rec.Partition]
		n.stored++
		t[entries[i].rec.Partition] = n
	}
	return t
}

func (t tally) refuse(partition int32) {
	n := t[partition]
	n.stored--
	n.refused++
	t[partition] = n
}

// check gives a Transient error when a partition's breaker is open.
func (b *breaker) check(t tally) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for partition, n := range t {
		if b.limit == 0 || n.refused <= n.stored {
			continue
		}
		inARow := n.refused
		if n.stored == 0 {
			inARow += b.refused[partition]
		}
		if inARow >= b.limit {
			b.open[partition] = true
			return fault.Transient(fault.Unavailable, fmt.Errorf(
				"%w: Postgres refused %d records of partition %d in a row, so none is dead-lettered; look for a migration or a deployment that went wrong (or set THROUGHLINE_SINK_BREAKER_ROWS=0 to dead-letter them)",
				errBreakerOpen, inARow, partition))
		}
	}
	return nil
}

// note counts a batch that went through.
func (b *breaker) note(t tally) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for partition, n := range t {
		delete(b.open, partition)
		if n.stored > 0 {
			delete(b.refused, partition)
		} else {
			b.refused[partition] += n.refused
		}
	}
}

// holds reports whether any partition is held.
func (b *breaker) holds() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open) > 0
}
