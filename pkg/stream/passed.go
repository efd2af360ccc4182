package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Marks are offsets by topic and partition.
type Marks map[string]map[int32]int64

// Ends gives where these topics end now. A partition that is missing is left out.
// Errors are Transient.
func Ends(ctx context.Context, client *kgo.Client, topics ...string) (Marks, error) {
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, Classify(fmt.Errorf("asking where the topics end: %w", err))
	}
	marks := Marks{}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err != nil {
			return
		}
		if marks[o.Topic] == nil {
			marks[o.Topic] = map[int32]int64{}
		}
		marks[o.Topic][o.Partition] = o.Offset
	})
	return marks, nil
}

// probeFor bounds the look at what lies between a group's offsets and the marks.
const probeFor = 5 * time.Second

// Passed reports whether a group has done with everything before the marks. What a
// topic no longer holds, because it was deleted or made anew, counts as done. Errors
// are Transient; the group's and its topics' rights are needed (DESCRIBE and READ).
func Passed(ctx context.Context, c Config, client *kgo.Client, group string, marks Marks) (bool, error) {
	admin := kadm.NewClient(client)
	committed, err := admin.FetchOffsets(ctx, group)
	if err == nil {
		err = committed.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // then it has done nothing yet
		return false, Classify(fmt.Errorf("asking how far %s is: %w", group, err))
	}
	var topics []string
	for topic := range marks {
		topics = append(topics, topic)
	}
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return false, Classify(fmt.Errorf("asking where the topics begin: %w", err))
	}
	left := map[string]map[int32]kgo.Offset{}
	for topic, partitions := range marks {
		for partition, mark := range partitions {
			start, ok := starts.Lookup(topic, partition)
			if !ok || start.Err != nil {
				continue // it is gone
			}
			at := start.Offset
			if o, ok := committed.Lookup(topic, partition); ok {
				at = max(at, o.At)
			}
			if at >= mark {
				continue
			}
			if left[topic] == nil {
				left[topic] = map[int32]kgo.Offset{}
			}
			left[topic][partition] = kgo.NewOffset().At(at)
		}
	}
	return onlyMarkers(ctx, c, left, marks)
}

// onlyMarkers reports whether nothing but the markers of transactions, which no
// consumer commits, and what was aborted lies from these offsets to the marks.
func onlyMarkers(ctx context.Context, c Config, from map[string]map[int32]kgo.Offset, marks Marks) (bool, error) {
	left := 0
	for _, partitions := range from {
		left += len(partitions)
	}
	if left == 0 {
		return true, nil
	}
	client, err := NewClient(c, Deps{Name: "probe"}, kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return false, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, probeFor)
	defer cancel()
	done := map[topicPartition]bool{}
	for len(done) < left {
		fetches := client.PollRecords(ctx, 1000)
		if ctx.Err() != nil {
			return false, nil // a transaction is open, or the brokers are slow: not yet
		}
		if err := fetches.Err(); err != nil {
			return false, Classify(fmt.Errorf("looking at what is left of a topic: %w", err))
		}
		for _, r := range fetches.Records() {
			mark := marks[r.Topic][r.Partition]
			if !r.Attrs.IsControl() && r.Offset < mark {
				return false, nil
			}
			if r.Offset >= mark-1 {
				done[topicPartition{r.Topic, r.Partition}] = true
			}
		}
	}
	return true, nil
}
