package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// knownWithin is how long a topic that was made is asked for until it is known.
const knownWithin = 10 * time.Second

// TopicChange says what ApplyTopics did to one topic.
type TopicChange struct {
	Topic   string `json:"topic"`
	Change  string `json:"change"`            // created, configured, unchanged
	Warning string `json:"warning,omitempty"` // what was asked for and is not done, and what does it
}

// ApplyTopics creates the topics that are missing for these sources and brings
// the settings of all to what the contracts need. It never deletes a topic, never
// changes a partition count, which would break the order of keys, and never moves
// replicas. Errors are Transient unless the brokers refuse for good.
func ApplyTopics(ctx context.Context, cl *kgo.Client, names Names, sources []string, o TopicOptions) ([]TopicChange, error) {
	adm := kadm.NewClient(cl)
	var changes []TopicChange
	for _, spec := range topicSpecs(names, sources, o) {
		change, err := applyTopic(ctx, adm, spec, o)
		if err != nil {
			return changes, err
		}
		changes = append(changes, change)
	}
	return changes, nil
}

func applyTopic(ctx context.Context, adm *kadm.Client, spec topicSpec, o TopicOptions) (TopicChange, error) {
	config := make(map[string]*string, len(spec.config))
	for name, value := range spec.config {
		config[name] = &value
	}
	made, err := adm.CreateTopic(ctx, o.Partitions, o.ReplicationFactor, config, spec.name)
	change := TopicChange{Topic: spec.name, Change: "created"}
	switch {
	case err == nil:
		// How many replicas the brokers' default gave is known only now.
		current := map[string]string{}
		for name, c := range made.Configs {
			current[name] = c.MaybeValue()
		}
		if _, err = configure(ctx, adm, spec, current, int(made.ReplicationFactor)); err != nil {
			return change, err
		}
		// Who goes on with the topic at once is not to hear from a slow broker that there is none.
		known, cancel := context.WithTimeout(ctx, knownWithin)
		defer cancel()
		_, _ = replicasOf(known, adm, spec.name)
		return change, nil
	case !errors.Is(err, kerr.TopicAlreadyExists):
		return change, Classify(fmt.Errorf("creating topic %s: %w", spec.name, err))
	}
	replicas, err := replicasOf(ctx, adm, spec.name)
	if err != nil {
		return change, err
	}
	if wanted := int(o.ReplicationFactor); wanted > 0 && replicas != wanted {
		change.Warning = fmt.Sprintf("its replication factor is %d, not %d: kafka-reassign-partitions.sh changes that; then run this command again", replicas, wanted)
	}
	current, err := settingsOf(ctx, adm, spec.name)
	if err != nil {
		return change, Classify(fmt.Errorf("reading the settings of topic %s: %w", spec.name, err))
	}
	changed, err := configure(ctx, adm, spec, current[spec.name], replicas)
	if change.Change = "unchanged"; changed {
		change.Change = "configured"
	}
	return change, err
}

// replicasOf gives the smallest number of replicas that a partition has of a topic
// that exists.
func replicasOf(ctx context.Context, adm *kadm.Client, topic string) (int, error) {
	details, err := adm.ListTopics(ctx, topic)
	if err == nil {
		err = details[topic].Err
	}
	if unknownTopic(err) && ctx.Err() == nil {
		// It was created a moment ago, and this broker has not heard of it yet.
		sleep(ctx, 100*time.Millisecond)
		return replicasOf(ctx, adm, topic)
	}
	if err != nil {
		return 0, Classify(fmt.Errorf("reading the replicas of topic %s: %w", topic, err))
	}
	return leastReplicas(details[topic]), nil
}

func leastReplicas(d kadm.TopicDetail) int {
	var counts []int
	for _, p := range d.Partitions {
		counts = append(counts, len(p.Replicas))
	}
	if len(counts) == 0 {
		return 0
	}
	return slices.Min(counts)
}

// settingsOf gives the settings in force by topic. One that cannot be read is
// left out, with its error.
func settingsOf(ctx context.Context, adm *kadm.Client, topics ...string) (map[string]map[string]string, error) {
	have, err := adm.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return nil, err
	}
	all := map[string]map[string]string{}
	for _, resource := range have {
		if resource.Err != nil {
			err = errors.Join(err, fmt.Errorf("topic %s: %w", resource.Name, resource.Err))
			continue
		}
		all[resource.Name] = map[string]string{}
		for _, c := range resource.Configs {
			all[resource.Name][c.Key] = c.MaybeValue()
		}
	}
	return all, err
}

// configure alters what differs from spec, and says whether anything did.
func configure(ctx context.Context, adm *kadm.Client, spec topicSpec, current map[string]string, replicas int) (bool, error) {
	var alter []kadm.AlterConfig
	set := func(name, value string) {
		alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
	}
	for name, value := range spec.config {
		if current[name] != value {
			set(name, value)
		}
	}
	// Somebody may want more of them, but never more than there are.
	if n, err := strconv.Atoi(current[inSyncReplicas]); replicas > 0 && (err != nil || n < minInSync(replicas) || n > replicas) {
		set(inSyncReplicas, strconv.Itoa(minInSync(replicas)))
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
