package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// ErrUnsafeTopic says that a topic's settings make the brokers delete events that
// they have acknowledged. Nobody should write to it, or commit what was read of it.
var ErrUnsafeTopic = errors.New("the brokers delete acknowledged events of a topic")

const applyTopics = "run `throughline topics apply`"

// Unsafe gives, by topic, an error that is ErrUnsafeTopic and says what to do. A
// topic that is missing has no settings, and those that this user may not read are
// taken for right (see Doubts). The second error is Transient: nothing is known.
func (c *TopicCheck) Unsafe(ctx context.Context) (map[string]error, error) {
	all, err := settingsOf(ctx, kadm.NewClient(c.client), c.topics...)
	if all == nil && err != nil {
		return nil, Classify(fmt.Errorf("asking for the topics' settings: %w", err))
	}
	unsafe := map[string]error{}
	for _, topic := range c.topics {
		if policy := all[topic][cleanupPolicy]; strings.Contains(policy, "compact") {
			unsafe[topic] = fault.Advise(fault.Transient(fault.Unsupported, fmt.Errorf("%w: topic %s has %s=%s, wanted is %[3]s=delete", ErrUnsafeTopic, topic, cleanupPolicy, policy)), applyTopics)
		}
	}
	return unsafe, nil
}

// Safe is Unsafe as one error: nil when no topic is unsafe.
func (c *TopicCheck) Safe(ctx context.Context) error {
	unsafe, err := c.Unsafe(ctx)
	if err != nil {
		return err
	}
	return together(slices.Collect(maps.Values(unsafe)))
}

// together joins errors, with what a person can do about each.
func together(problems []error) error {
	var advices []string
	for _, err := range problems {
		if advice := fault.Advice(err); advice != "" && !slices.Contains(advices, advice) {
			advices = append(advices, advice)
		}
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	slices.Sort(advices)
	return fault.Advise(errors.Join(problems...), strings.Join(advices, "; "))
}

// Doubts gives a line for each setting that differs from what the contracts need
// and that can lose events only with a further failure, and for the topics whose
// settings this user may not read. Somebody may want them so: it is no error.
func (c *TopicCheck) Doubts(ctx context.Context) ([]string, error) {
	admin := kadm.NewClient(c.client)
	details, err := admin.ListTopics(ctx, c.topics...)
	if err != nil {
		return nil, Classify(fmt.Errorf("asking for the topics: %w", err))
	}
	all, err := settingsOf(ctx, admin, c.topics...)
	if all == nil && err != nil {
		return nil, Classify(fmt.Errorf("asking for the topics' settings: %w", err))
	}
	var lines []string
	for _, topic := range c.topics {
		settings, known := all[topic]
		if !known {
			if details[topic].Err == nil {
				lines = append(lines, fmt.Sprintf("the settings of topic %s cannot be read, so nobody checks that it is not compacted: %s", topic, grant(c.user, "DESCRIBE_CONFIGS", "topic", topic)))
			}
			continue
		}
		wanted := map[string]string{timestampType: "LogAppendTime"}
		if n := leastReplicas(details[topic]); n > 1 && settings[inSyncReplicas] == "1" {
			wanted[inSyncReplicas] = fmt.Sprint(minInSync(n))
		}
		for _, name := range []string{timestampType, inSyncReplicas} {
			if want, have := wanted[name], settings[name]; want != "" && have != want {
				lines = append(lines, fmt.Sprintf("topic %s has %s=%s, wanted is %[2]s=%[4]s: %s", topic, name, have, want, applyTopics))
			}
		}
	}
	return lines, nil
}

// usable asks whether the topics are there and this user has the rights.
func (c *TopicCheck) usable(ctx context.Context) error {
	have, err := describeTopics(ctx, c.client, c.topics)
	if err != nil {
		return err
	}
	var problems []error
	for i, topic := range c.topics {
		operation, needed := kmsg.ACLOperationWrite, "WRITE"
		if i < len(c.inputs) {
			operation, needed = kmsg.ACLOperationRead, "READ"
		}
		t := have[topic]
		err := kerr.ErrorForCode(t.ErrorCode)
		if err == nil && t.AuthorizedOperations != math.MinInt32 && t.AuthorizedOperations&(1<<operation) == 0 {
			err = kerr.TopicAuthorizationFailed
		}
		if err != nil {
			problems = append(problems, c.problem(topic, needed, err))
		}
	}
	return together(problems)
}

func (c *TopicCheck) problem(topic, operation string, err error) error {
	return denied(Classify(fmt.Errorf("topic %s: %w", topic, err)), kerr.TopicAuthorizationFailed, c.user, operation, "topic", topic)
}

// describeTopics gives the topics as the brokers, not the client's cache, have them.
func describeTopics(ctx context.Context, client *kgo.Client, topics []string) (map[string]kmsg.MetadataResponseTopic, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.AllowAutoTopicCreation, request.IncludeTopicAuthorizedOperations = false, true
	for _, topic := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &topic
		request.Topics = append(request.Topics, t)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, Classify(fmt.Errorf("asking for the topics: %w", err))
	}
	have := map[string]kmsg.MetadataResponseTopic{}
	for _, t := range response.Topics {
		if t.Topic != nil {
			have[*t.Topic] = t
		}
	}
	for _, topic := range topics {
		if _, ok := have[topic]; !ok {
			have[topic] = kmsg.MetadataResponseTopic{ErrorCode: kerr.UnknownTopicOrPartition.Code}
		}
	}
	return have, nil
}
