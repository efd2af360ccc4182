package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

type topicsCommand struct {
	Apply topicsApplyCommand `cmd:"" help:"Create missing topics and update the configuration of existing ones."`
}

type topicsApplyCommand struct {
	Options stream.TopicOptions `embed:""`
	Sources []string            `name:"sources" placeholder:"NAME" help:"Only the raw topics of these sources; all otherwise. The normalized topic and its dead letters always."`
	Timeout time.Duration       `name:"timeout" default:"1m" help:"Timeout."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*topicsApplyCommand) Help() string {
	return "Never deletes a topic, and never changes a partition count, which would break the order of an object's events. Can be run again at any time."
}

func (*topicsApplyCommand) needs() need { return needsKafka | needsSources }

func (c *topicsApplyCommand) checkSources(set source.Set) error {
	var problems []error
	for _, name := range c.Sources {
		if err := checkSource(set, name); err != nil {
			problems = append(problems, fmt.Errorf("--sources: %w", err))
		}
	}
	return errors.Join(problems...)
}

// Validate is kong's.
func (c *topicsApplyCommand) Validate() error {
	var problems []error
	if c.Options.Partitions < 1 {
		problems = append(problems, fmt.Errorf("--partitions should be 1 or more, but is %d", c.Options.Partitions))
	}
	if r := c.Options.ReplicationFactor; r < 1 && r != -1 {
		problems = append(problems, fmt.Errorf("--replication-factor should be 1 or more, or -1 for the brokers' default, but is %d", r))
	}
	return errors.Join(problems...)
}

// Run is kong's.
func (c *topicsApplyCommand) Run(ctx context.Context, s *session) error {
	cl, err := s.kafka(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	bounded, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	names := c.Sources
	if len(names) == 0 {
		names = s.root.Sources.set.Names()
	}
	changes, err := stream.ApplyTopics(bounded, cl, stream.Config(s.root.Kafka).Names(), names, c.Options)
	for _, change := range changes {
		if change.Warning != "" && !c.JSON {
			fmt.Fprintf(s.Err, "warning: topic %s: %s\n", change.Topic, change.Warning)
		}
	}
	// What was done before a failure was done: it is shown too.
	return errors.Join(list(s, c.JSON, api.NewTopicChanges(changes), []column[api.TopicChange]{
		{title: "topic", text: func(t api.TopicChange) string { return t.Topic }},
		{title: "change", text: func(t api.TopicChange) string { return t.Change }},
	}), err)
}
