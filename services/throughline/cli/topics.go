package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
)

type topicsCommand struct {
	Apply topicsApplyCommand `cmd:"" help:"Create the topics that are missing and bring the settings of all to what the contracts need."`
}

type topicsApplyCommand struct {
	Options stream.TopicOptions `embed:""`
	Sources []sourceName        `name:"sources" placeholder:"NAME,…" help:"Only the raw topics of these sources; all otherwise. The normalized topic and its dead letters always."`
	Timeout time.Duration       `name:"timeout" default:"1m" help:"Longest time to take."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*topicsApplyCommand) Help() string {
	return "Never deletes a topic, and never changes a partition count, which would break the order of an object's events. Can be run again at any time."
}

func (*topicsApplyCommand) needs() need { return needsKafka }

// Validate is kong's.
func (c *topicsApplyCommand) Validate() error {
	var problems []error
	for _, chosen := range c.Sources {
		if err := chosen.Validate(); err != nil {
			problems = append(problems, fmt.Errorf("--sources: %w", err))
		}
	}
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
	changes, err := stream.ApplyTopics(bounded, cl, c.names(), c.Options)
	// What was done before a failure was done: it is shown too.
	return errors.Join(list(s, c.JSON, api.NewTopicChanges(changes), []column[api.TopicChange]{
		{title: "topic", text: func(t api.TopicChange) string { return t.Topic }},
		{title: "change", text: func(t api.TopicChange) string { return t.Change }},
	}), err)
}

func (c *topicsApplyCommand) names() []string {
	var names []string
	for _, chosen := range c.Sources {
		names = append(names, string(chosen))
	}
	if len(names) == 0 {
		return sourceNames()
	}
	return names
}

// sourceName is the name of a source in the catalog.
type sourceName string

// Validate is kong's.
func (n sourceName) Validate() error {
	if n == "" {
		return nil // not given
	}
	if _, ok := catalog.Find(string(n)); !ok {
		return fmt.Errorf("there is no source %q: the sources are %s", string(n), strings.Join(sourceNames(), ", "))
	}
	return nil
}

func sourceNames() []string {
	var names []string
	for _, src := range catalog.Sources() {
		names = append(names, src.Name())
	}
	return names
}
