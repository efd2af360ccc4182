package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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

// Passed reports whether a group has done with everything before the marks. What a
// topic no longer holds, because it was deleted or made anew, counts as done. Errors
// are Transient. The group has to be one of a loop of ours, which commits the markers
// of transactions too; DESCRIBE on it and on its topics is needed.
func Passed(ctx context.Context, client *kgo.Client, group string, marks Marks) (bool, error) {
	admin := kadm.NewClient(client)
	committed, err := admin.FetchOffsets(ctx, group)
	if err == nil {
		err = committed.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // then it has done nothing yet
		return false, Classify(fmt.Errorf("asking how far %s is: %w", group, err))
	}
	starts, err := admin.ListStartOffsets(ctx, slices.Collect(maps.Keys(marks))...)
	if err != nil {
		return false, Classify(fmt.Errorf("asking where the topics begin: %w", err))
	}
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
			if at < mark {
				return false, nil
			}
		}
	}
	return true, nil
}
