package stream

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TopicRetention is how long a topic may hold a record.
type TopicRetention struct {
	Topic string
	// Setting is what retention.ms says; negative: for ever.
	Setting time.Duration
	// Longest is how long after it was written a record may still be there: a segment is deleted as a whole, and its
	// newest record may be that much younger. 0: there is no end.
	Longest time.Duration
	// Bytes is what retention.bytes says, of a partition; negative: no bound.
	Bytes int64
	// Compacted: cleanup.policy is compact, so that the newest record of each key has no end.
	Compacted bool
}

// Retentions gives how long the topics of an installation with these sources keep what they have, by their settings in
// force, in the order of their names. Topics that do not exist are left out. Errors are Transient.
func Retentions(ctx context.Context, client *kgo.Client, names Names, sources []string) ([]TopicRetention, error) {
	admin := kadm.NewClient(client)
	there, err := admin.ListTopics(ctx, names.All(sources)...)
	if err != nil {
		return nil, Classify(err)
	}
	var topics []string
	for _, t := range there {
		if t.Err == nil {
			topics = append(topics, t.Topic)
		}
	}
	if len(topics) == 0 {
		return nil, nil
	}
	settings, err := settingsOf(ctx, admin, topics...)
	if err != nil {
		return nil, Classify(err)
	}
	var all []TopicRetention
	for topic, s := range settings {
		all = append(all, retentionOf(topic, s))
	}
	slices.SortFunc(all, func(a, b TopicRetention) int { return cmp.Compare(a.Topic, b.Topic) })
	return all, nil
}

func retentionOf(topic string, settings map[string]string) TopicRetention {
	milliseconds := func(name string) time.Duration {
		n, err := strconv.ParseInt(settings[name], 10, 64)
		if err != nil || n < 0 || n > int64(1<<62)/int64(time.Millisecond) {
			return -1
		}
		return time.Duration(n) * time.Millisecond
	}
	bytes, err := strconv.ParseInt(settings["retention.bytes"], 10, 64)
	if err != nil {
		bytes = -1
	}
	r := TopicRetention{Topic: topic, Setting: milliseconds("retention.ms"), Bytes: bytes, Compacted: strings.Contains(settings[cleanupPolicy], "compact")}
	if segment := milliseconds("segment.ms"); r.Setting >= 0 && segment >= 0 && strings.Contains(settings[cleanupPolicy], "delete") {
		r.Longest = r.Setting + segment
	}
	return r
}

// Oldest gives when the brokers got the oldest record that each topic still has, by its partitions' first records; a topic
// without a record is left out. Errors are Transient.
func Oldest(ctx context.Context, client *kgo.Client, topics ...string) (map[string]time.Time, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	first, err := kadm.NewClient(client).ListOffsetsAfterMilli(ctx, 0, topics...) // with their times, which the earliest offsets come without
	if err != nil {
		return nil, Classify(err)
	}
	oldest := map[string]time.Time{}
	var problem error
	first.Each(func(o kadm.ListedOffset) {
		switch at := time.UnixMilli(o.Timestamp).UTC(); {
		case o.Err != nil:
			problem = Classify(o.Err)
		case o.Timestamp < 0: // it has none
		case oldest[o.Topic].IsZero() || at.Before(oldest[o.Topic]):
			oldest[o.Topic] = at
		}
	})
	return oldest, problem
}
