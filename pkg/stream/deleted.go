package stream

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// reading is what a member knows of where it reads on in its partitions. It tells of what the brokers deleted before it
// was read: the client goes on behind it and keeps quiet.
type reading struct {
	mu   sync.Mutex
	next map[topicPartition]int64
	told map[topicPartition]int64 // up to where a loss was told, or it would be told with each transaction that is aborted
	// committed gives what the group has committed, when the member began with a partition. It is nil between sessions.
	committed func() map[string]map[int32]kgo.EpochOffset
}

// deletedUnread is a part of a partition that was deleted before it was read.
type deletedUnread struct {
	topic     string
	partition int32
	from, to  int64 // to is the first offset that is there
}

// begin begins with a client of whose partitions nothing is known yet.
func (r *reading) begin(committed func() map[string]map[int32]kgo.EpochOffset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next, r.told, r.committed = map[topicPartition]int64{}, map[topicPartition]int64{}, committed
}

// fetched takes in what a poll brought of a partition. Of one where the group has committed nothing, nothing is known to
// have been there before.
func (r *reading) fetched(p kgo.FetchTopicPartition) (gone deletedUnread, some bool) {
	if len(p.Records) == 0 {
		return gone, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := topicPartition{p.Topic, p.Partition}
	from, known := r.next[at]
	if !known && r.committed != nil {
		if c, has := r.committed()[p.Topic][p.Partition]; has && c.Offset > 0 { // 0: nothing is committed
			from, known = c.Offset, true
		}
	}
	first := p.Records[0].Offset
	r.next[at] = p.Records[len(p.Records)-1].Offset + 1
	// What is missing before the first record may be of transactions that were aborted; what lies before the partition's
	// start is deleted. The start may have moved on since the fetch's first record was read.
	to := min(p.LogStartOffset, first)
	from = max(from, r.told[at])
	if !known || from >= to {
		return gone, false
	}
	r.told[at] = to
	return deletedUnread{topic: p.Topic, partition: p.Partition, from: from, to: to}, true
}

// set says where a partition is read on.
func (r *reading) set(at topicPartition, offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next[at] = offset
}

// forget forgets partitions that the member no longer has.
func (r *reading) forget(lost map[string][]int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for topic, partitions := range lost {
		for _, p := range partitions {
			delete(r.next, topicPartition{topic, p})
			delete(r.told, topicPartition{topic, p})
		}
	}
}

// again: all partitions are read again from where the group has committed.
func (r *reading) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.next)
}

// fetched takes in what a poll brought of a partition.
func (l *loop) fetched(p kgo.FetchTopicPartition) {
	l.lag.fetched(p)
	gone, some := l.reading.fetched(p)
	if !some {
		return
	}
	l.Metrics.deleted.WithLabelValues(gone.topic).Add(float64(gone.to - gone.from))
	l.Deps.Log.Error("the brokers deleted records before they were read: retention is shorter than this stage was behind, or somebody deleted them",
		zap.String("group", l.Group), zap.String("topic", gone.topic), zap.Int32("partition", gone.partition),
		zap.Int64("from_offset", gone.from), zap.Int64("to_offset", gone.to-1),
		zap.String("advice", "what vendors sent then has to be sent again by them (throughline reconcile, throughline backfill); keep topics longer: throughline topics apply --raw-retention, --event-retention"))
}
