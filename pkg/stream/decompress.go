package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// What a producer may make a consumer hold: a kilobyte of gzip is a megabyte, one of
// zstd forty. A page fits into a batch twice.
const (
	// maxBatchDecompressed bounds what one record batch decompresses to.
	maxBatchDecompressed = 16 << 20
	// maxFetchHeld bounds what all batches of one fetch decompress to together, with
	// what the client holds for each record and header, which may be of two bytes;
	// those beyond it are fetched again. One batch alone may not go beyond it either.
	maxFetchHeld = 32 << 20
	recordBytes  = 192 // a kgo.Record and a pointer to it
	headerBytes  = 40  // a kgo.RecordHeader
)

// errFetchFull ends the reading of a fetch; what is left of it is fetched again.
var errFetchFull = fmt.Errorf("the batches of the fetch hold more than %d bytes", maxFetchHeld)

// decompressor decompresses the batches of one client's fetches within the bounds.
// It is a hook, too, because it must know where a fetch begins. With several
// brokers fetches overlap and share what one may have; whoever gets nothing of it
// comes again.
type decompressor struct {
	inner   kgo.Decompressor
	left    atomic.Int64
	stopped *stopped // nil: nobody asks
}

// decompression gives the options of a client that keeps to the bounds; s may be nil.
func decompression(s *stopped) ([]kgo.Opt, error) {
	// A client makes a decompressor with its bound; there is no other way to one.
	bounded := kgo.MaxDecompressBatchBytes(maxBatchDecompressed)
	maker, err := kgo.NewClient(bounded)
	if err != nil {
		return nil, err
	}
	defer maker.Close()
	inner, ok := maker.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	if !ok {
		return nil, errors.New("the Kafka client gives no decompressor")
	}
	d := &decompressor{inner: inner, stopped: s}
	d.left.Store(maxFetchHeld)
	opts := []kgo.Opt{bounded, kgo.WithDecompressor(d), kgo.WithHooks(d)}
	if s != nil {
		opts = append(opts, kgo.WithHooks(s))
	}
	return opts, nil
}

// OnBrokerRead is called when a response has been read.
func (d *decompressor) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == int16(kmsg.Fetch) {
		d.left.Store(maxFetchHeld)
	}
}

// Decompress is called for each batch of a fetch, in order.
func (d *decompressor) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if d.left.Load() <= 0 {
		return nil, errFetchFull
	}
	out, err := d.inner.Decompress(src, codec)
	weight := weigh(out)
	if weight > maxFetchHeld {
		err = kgo.ErrMaxDecompress
	}
	if err != nil {
		if d.stopped != nil && errors.Is(err, kgo.ErrMaxDecompress) {
			d.stopped.refused(len(src))
		}
		return nil, err
	}
	if d.left.Add(-weight) < 0 { // never of a fetch's first batch
		return nil, errFetchFull
	}
	return out, nil
}

// weigh gives what the client will hold for the records of a batch, without holding
// it. Of a batch that is no such thing the client says so.
func weigh(records []byte) int64 {
	weight := int64(len(records))
	for len(records) > 0 {
		record, rest, ok := prefixed(records)
		if !ok {
			return weight
		}
		weight += recordBytes + headerBytes*headerCount(record)
		records = rest
	}
	return weight
}

// headerCount reads how many headers a record says it has, but no more than fit.
func headerCount(record []byte) int64 {
	if len(record) == 0 {
		return 0
	}
	rest := record[1:] // attributes
	for range 2 {      // the deltas of time and offset
		_, n := binary.Varint(rest)
		if n <= 0 {
			return 0
		}
		rest = rest[n:]
	}
	for range 2 { // key and value
		var ok bool
		if _, rest, ok = prefixed(rest); !ok {
			return 0
		}
	}
	count, n := binary.Varint(rest)
	return max(0, min(count, int64(len(rest)-n)/2))
}

// prefixed gives bytes with their length before them, -1 for none, and the rest.
func prefixed(from []byte) (bytes, rest []byte, ok bool) {
	length, n := binary.Varint(from)
	if n <= 0 || length < -1 || length > int64(len(from)-n) {
		return nil, nil, false
	}
	end := n + int(max(0, length))
	return from[n:end], from[end:], true
}

// unreadableKey is the context key of a record's error.
type unreadableKey struct{}

// skipped gives the record that stands for a batch which decompresses to more than
// a consumer holds: it has the place of the batch's last record and no bytes.
func skipped(e *kgo.ErrDecompressTooLarge) *kgo.Record {
	last := max(e.Offset, e.NextOffset-1)
	where := fmt.Sprintf("offset %d", last)
	if last > e.Offset {
		where = fmt.Sprintf("offsets %d to %d", e.Offset, last)
	}
	err := fault.Permanent(fault.Oversized, fmt.Errorf("the batch at %s/%d %s decompresses to more than %d bytes, or to too many records and headers",
		e.Topic, e.Partition, where, maxBatchDecompressed))
	return &kgo.Record{
		Topic: e.Topic, Partition: e.Partition, Offset: last, LeaderEpoch: e.Epoch, Timestamp: time.Now(),
		Context: context.WithValue(context.Background(), unreadableKey{}, err),
	}
}

// FetchErrors is for whoever polls without a loop. It gives the first error of a poll that the client does not get over by
// itself, and a record for each batch that nobody can read (Unreadable): the client stands still at one, and another has
// to go on behind it.
func FetchErrors(fetches kgo.Fetches) (unread []*kgo.Record, first error) {
	fetches.EachError(func(_ string, _ int32, err error) {
		var bomb *kgo.ErrDecompressTooLarge
		switch {
		case errors.As(err, &bomb):
			unread = append(unread, skipped(bomb))
		case errors.Is(err, errFetchFull): // it comes again
		case first == nil:
			first = err
		}
	})
	return unread, first
}

// Unreadable gives the Permanent error of a record that stands for a batch which the
// loops could not read, and nil for all others. Such a record has its batch's place
// and no bytes; whoever is handed a batch asks before it takes a nil value for a
// tombstone.
func Unreadable(rec *kgo.Record) error {
	if rec.Context == nil || rec.Value != nil {
		return nil
	}
	err, _ := rec.Context.Value(unreadableKey{}).(error)
	return err
}

// errSkipped ends a session, so that another one begins behind what was skipped.
var errSkipped = errors.New("going on behind a batch that cannot be read")

// skip lets client, whose partitions stand still at what it could not read, go on
// behind the unreadable records of a batch whose offsets are committed. An error
// means that another client must: setting an offset drops what was fetched of other
// partitions, and what nobody was told of them.
func (l *loop) skip(client *kgo.Client, batch []*kgo.Record) error {
	next := map[string]map[int32]kgo.EpochOffset{}
	for _, rec := range unreadable(batch) {
		if next[rec.Topic] == nil {
			next[rec.Topic] = map[int32]kgo.EpochOffset{}
		}
		next[rec.Topic][rec.Partition] = kgo.EpochOffset{Epoch: rec.LeaderEpoch, Offset: rec.Offset + 1}
	}
	if len(next) == 0 {
		return nil
	}
	if l.stopped.any() {
		return errSkipped
	}
	client.SetOffsets(next)
	committed := client.CommittedOffsets()
	for topic, partitions := range next {
		for partition := range partitions {
			// It does not set a partition of which nothing was committed before.
			if _, ok := committed[topic][partition]; !ok {
				return errSkipped
			}
		}
	}
	return nil
}

// unreadable gives those of batch that stand for what could not be read.
func unreadable(batch []*kgo.Record) (list []*kgo.Record) {
	for _, rec := range batch {
		if Unreadable(rec) != nil {
			list = append(list, rec)
		}
	}
	return list
}
