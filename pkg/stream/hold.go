package stream

import (
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/retry"
)

// HeldError is what write gives RunBatches when it wrote the whole batch but for the
// records of these partitions: those come again, from the first of them on, after
// a pause that grows while it goes on, and the other partitions do not wait.
type HeldError struct {
	Partitions map[string][]int32 // by topic
	Err        error              // why
}

// Error names the partitions and why they are held.
func (h *HeldError) Error() string {
	return fmt.Sprintf("holding partitions %v: %v", h.Partitions, h.Err)
}

// Unwrap gives why.
func (h *HeldError) Unwrap() error { return h.Err }

const holding = "writing the records of a held partition"

// holds are the partitions that one client holds. Rebalances call forget while a
// batch is under way, so they have a lock.
type holds struct {
	loop   *loop
	client *kgo.Client

	mu   sync.Mutex
	held map[topicPartition]*hold
}

type hold struct {
	pauses *backoff.ExponentialBackOff
	resume *time.Timer
}

// take gives the records of batch that are written. Partitions that held, which
// may be nil, does not name are held no longer.
func (h *holds) take(batch []*kgo.Record, held *HeldError) (written []*kgo.Record) {
	refused := map[topicPartition]bool{}
	if held != nil {
		for topic, partitions := range held.Partitions {
			for _, p := range partitions {
				refused[topicPartition{topic, p}] = true
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if held == nil && len(h.held) == 0 {
		return batch // mostly: nothing is held
	}
	first := map[topicPartition]*kgo.Record{}
	for _, r := range batch {
		tp := topicPartition{r.Topic, r.Partition}
		if !refused[tp] {
			written = append(written, r)
			if !isMarker(r) && h.drop(tp) && len(h.held) == 0 {
				h.loop.told[inHold].Succeeded(holding)
			}
		} else if first[tp] == nil {
			first[tp] = r
		}
	}
	for tp, r := range first {
		h.add(tp, r, held)
	}
	return written
}

// add pauses a partition and sets it back to its first record that is not written.
func (h *holds) add(tp topicPartition, first *kgo.Record, held *HeldError) {
	old := h.held[tp]
	if old == nil {
		old = &hold{pauses: retry.Policy{}.BackOff()}
		h.held[tp] = old
		h.loop.Metrics.held.Inc()
	}
	partition := map[string][]int32{tp.topic: {tp.partition}}
	h.client.PauseFetchPartitions(partition)
	h.loop.stopped.forget(tp.topic, tp.partition)
	h.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{tp.topic: {tp.partition: {Epoch: first.LeaderEpoch, Offset: first.Offset}}})
	h.loop.reading.set(tp, first.Offset)
	pause := old.pauses.NextBackOff()
	old.resume = time.AfterFunc(pause, func() { h.client.ResumeFetchPartitions(partition) })
	h.loop.told[inHold].Failed(holding, held.Err, pause)
}

// drop ends the hold of a partition, if there is one.
func (h *holds) drop(tp topicPartition) bool {
	old := h.held[tp]
	if old == nil {
		return false
	}
	delete(h.held, tp)
	h.loop.Metrics.held.Dec()
	if old.resume.Stop() { // else it is resumed already
		h.client.ResumeFetchPartitions(map[string][]int32{tp.topic: {tp.partition}})
	}
	return true
}

// forget ends the holds of partitions that the client no longer has.
func (h *holds) forget(lost map[string][]int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ended := false
	for topic, partitions := range lost {
		for _, p := range partitions {
			ended = h.drop(topicPartition{topic, p}) || ended
		}
	}
	h.gone(ended)
}

// forgetAll is forget for a client that ends.
func (h *holds) forgetAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	ended := false
	for tp := range h.held {
		ended = h.drop(tp)
	}
	h.gone(ended)
}

// gone: what is somebody else's now is no trouble here, but is not over either.
func (h *holds) gone(ended bool) {
	if ended && len(h.held) == 0 {
		h.loop.report(inHold, nil)
	}
}
