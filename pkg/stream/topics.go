package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// The topics that carry events onward. Raw topics are RawTopic(name).
const (
	AccountEvents  = "account-events"
	DeadLetters    = "account-events.dlq"
	AccountChanges = "account-changes"
)

const rawPrefix = "raw."

// What the topics take in one record batch. The broker counts the batch and not
// the record, so clients must not build larger ones (see batchBytes). A raw
// record may be a page that somebody else published. A dead letter holds a whole
// raw record of up to 3 MiB, which a release publishes again.
const (
	rawMaxMessageBytes        = rawjson.MaxPageBytes + 64<<10
	normalizedMaxMessageBytes = 4 << 20
)

// RawTopic is the raw topic of a source.
func RawTopic(sourceName string) string { return rawPrefix + sourceName }

// SourceOfTopic gives the source whose raw topic this is.
func SourceOfTopic(topic string) (string, bool) { return strings.CutPrefix(topic, rawPrefix) }

// TopicOptions is what an operator decides about the topics.
type TopicOptions struct {
	Partitions        int32         `name:"partitions" default:"6" help:"Partitions of each topic that does not exist yet."`
	ReplicationFactor int16         `name:"replication-factor" default:"-1" help:"Replicas of each topic that does not exist yet; -1 leaves it to the brokers."`
	RawRetention      time.Duration `name:"raw-retention" default:"336h" help:"How long raw topics keep what vendors sent."`
	EventRetention    time.Duration `name:"event-retention" default:"720h" help:"How long account-events, its dead letters and account-changes are kept."`
}

// TopicChange says what ApplyTopics did to one topic.
type TopicChange struct {
	Topic  string `json:"topic"`
	Change string `json:"change"` // created, configured, unchanged
}

// ApplyTopics creates the topics that are missing for these sources and brings
// the settings of all to what the contracts need. It never deletes a topic and
// never changes a partition count, which would break the order of keys. Errors
// are Transient unless the brokers refuse for good.
func ApplyTopics(ctx context.Context, cl *kgo.Client, sources []string, o TopicOptions) ([]TopicChange, error) {
	adm := kadm.NewClient(cl)
	var changes []TopicChange
	for _, spec := range topicSpecs(sources, o) {
		_, err := adm.CreateTopic(ctx, o.Partitions, o.ReplicationFactor, spec.config, spec.name)
		switch {
		case err == nil:
			changes = append(changes, TopicChange{spec.name, "created"})
			continue
		case !errors.Is(err, kerr.TopicAlreadyExists):
			return changes, Classify(fmt.Errorf("creating topic %s: %w", spec.name, err))
		}
		changed, err := configure(ctx, adm, spec)
		if err != nil {
			return changes, err
		}
		change := "unchanged"
		if changed {
			change = "configured"
		}
		changes = append(changes, TopicChange{spec.name, change})
	}
	return changes, nil
}

// CheckTopics asks the brokers whether these topics can be used, and names those
// that cannot: they are missing, or this client has no right to see them. Errors
// are Transient and say what a person can do.
func CheckTopics(ctx context.Context, cl *kgo.Client, topics ...string) error {
	have, err := kadm.NewClient(cl).ListTopics(ctx, topics...)
	if err != nil {
		return Classify(fmt.Errorf("asking for the topics: %w", err))
	}
	var problems []error
	for _, name := range topics {
		if err := have[name].Err; err != nil {
			problems = append(problems, fmt.Errorf("topic %s: %w", name, err))
		}
	}
	return Classify(errors.Join(problems...))
}

type topicSpec struct {
	name   string
	config map[string]*string
}

func topicSpecs(sources []string, o TopicOptions) []topicSpec {
	millis := func(d time.Duration) *string { return kadm.StringPtr(strconv.FormatInt(d.Milliseconds(), 10)) }
	var specs []topicSpec
	for _, s := range sources {
		specs = append(specs, topicSpec{RawTopic(s), map[string]*string{
			// A three-year-old backfill must not be deleted by retention on arrival.
			"message.timestamp.type": kadm.StringPtr("LogAppendTime"),
			"max.message.bytes":      kadm.StringPtr(strconv.Itoa(rawMaxMessageBytes)),
			"retention.ms":           millis(o.RawRetention),
		}})
	}
	for _, name := range []string{AccountEvents, DeadLetters, AccountChanges} {
		specs = append(specs, topicSpec{name, map[string]*string{
			"max.message.bytes": kadm.StringPtr(strconv.Itoa(normalizedMaxMessageBytes)),
			"retention.ms":      millis(o.EventRetention),
		}})
	}
	return specs
}

// configure alters what differs from spec, and says whether anything did.
func configure(ctx context.Context, adm *kadm.Client, spec topicSpec) (bool, error) {
	have, err := adm.DescribeTopicConfigs(ctx, spec.name)
	if err != nil {
		return false, Classify(fmt.Errorf("reading the settings of topic %s: %w", spec.name, err))
	}
	current := map[string]string{}
	for _, resource := range have {
		for _, c := range resource.Configs {
			current[c.Key] = c.MaybeValue()
		}
	}
	var alter []kadm.AlterConfig
	for key, value := range spec.config {
		if current[key] != *value {
			alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: value})
		}
	}
	if len(alter) == 0 {
		return false, nil
	}
	answers, err := adm.AlterTopicConfigs(ctx, alter, spec.name)
	if err == nil {
		for _, a := range answers {
			err = errors.Join(err, a.Err)
		}
	}
	if err != nil {
		return false, Classify(fmt.Errorf("setting up topic %s: %w", spec.name, err))
	}
	return true, nil
}
