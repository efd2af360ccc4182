package stream

import (
	"strconv"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// What the topics take in one record batch. The broker counts the batch and not
// the record, so clients must not build larger ones (see batchBytes). A raw
// record may be a page that somebody else published. A dead letter holds a whole
// raw record of up to 3 MiB, which a release publishes again.
const (
	rawMaxMessageBytes        = rawjson.MaxPageBytes + 64<<10
	normalizedMaxMessageBytes = 4 << 20
)

// TopicOptions is what an operator decides about the topics.
type TopicOptions struct {
	Partitions        int32         `name:"partitions" default:"6" help:"Partitions of each topic that does not exist yet."`
	ReplicationFactor int16         `name:"replication-factor" default:"-1" help:"Replicas of each topic that does not exist yet; -1 leaves it to the brokers."`
	RawRetention      time.Duration `name:"raw-retention" default:"336h" help:"How long raw topics keep what vendors sent."`
	EventRetention    time.Duration `name:"event-retention" default:"720h" help:"How long account-events, its dead letters and account-changes are kept."`
}

// RetentionOf gives how long the options keep a topic of an installation, whatever its prefix.
func (o TopicOptions) RetentionOf(topic string) time.Duration {
	if _, raw := SourceOfTopic(topic); raw {
		return o.RawRetention
	}
	return o.EventRetention
}

// topicSpec is what the contracts need of a topic.
type topicSpec struct {
	name   string
	config map[string]string
}

// contract are the settings that every topic of ours needs, whatever the brokers'
// defaults are.
func contract(maxMessageBytes int, retention time.Duration) map[string]string {
	return map[string]string{
		// Keys are accounts and references: compaction would keep one event of each.
		cleanupPolicy: "delete",
		// Time alone ends a record, never the size of its partition.
		"retention.ms":    strconv.FormatInt(retention.Milliseconds(), 10),
		"retention.bytes": "-1",
		// A three-year-old backfill must not be deleted by retention on arrival, and
		// no producer's clock makes its records invalid.
		timestampType:       "LogAppendTime",
		"max.message.bytes": strconv.Itoa(maxMessageBytes),
		// Another compression would make other sizes of what max.message.bytes bounds.
		"compression.type": "producer",
	}
}

// The settings without which acknowledged events can be lost.
const (
	cleanupPolicy  = "cleanup.policy"
	timestampType  = "message.timestamp.type"
	inSyncReplicas = "min.insync.replicas"
)

// minInSync is how many replicas must have a record before it counts as
// acknowledged: with one, whoever dies next takes it along. A topic with one
// replica can have no more.
func minInSync(replicas int) int { return min(2, replicas) }

// All gives the topics of an installation with these sources.
func (n Names) All(sources []string) (names []string) {
	for _, spec := range topicSpecs(n, sources, TopicOptions{}) {
		names = append(names, spec.name)
	}
	return names
}

func topicSpecs(names Names, sources []string, o TopicOptions) []topicSpec {
	var specs []topicSpec
	for _, s := range sources {
		specs = append(specs, topicSpec{names.Raw(s), contract(rawMaxMessageBytes, o.RawRetention)})
	}
	for _, name := range []string{names.AccountEvents(), names.DeadLetters(), names.AccountChanges()} {
		specs = append(specs, topicSpec{name, contract(normalizedMaxMessageBytes, o.EventRetention)})
	}
	return specs
}
