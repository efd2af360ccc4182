package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// openMost is how long a transaction may stay open in a topic that we read. Ours
// end after ten seconds at most.
const openMost = time.Minute

// TopicCheck asks the brokers whether topics can be used (they are there, have the
// settings without which events are lost, and this user may read the inputs and
// write the outputs) and whether the inputs can be read to their ends. A lag that
// is known from fetched records does not tell of a partition that gives none: one
// in which anybody has left a transaction open stands still for as long as the
// brokers let it (transaction.max.timeout.ms). It is safe for concurrent use.
type TopicCheck struct {
	client *kgo.Client
	user   string
	inputs []string
	topics []string // inputs and outputs
	most   time.Duration

	mu   sync.Mutex
	open map[place]held
}

type place struct {
	topic     string
	partition int32
}

// held is where a partition's readers have to stop, and since when at least.
type held struct {
	offset int64
	since  time.Time
}

// NewTopicCheck makes the check of a part that reads inputs and writes outputs,
// over a client that NewClient made of c.
func NewTopicCheck(c Config, client *kgo.Client, inputs, outputs []string) *TopicCheck {
	return &TopicCheck{client: client, user: c.User, inputs: inputs, topics: append(append([]string{}, inputs...), outputs...), most: openMost, open: map[place]held{}}
}

// Check names the topics that cannot be used, else those whose settings lose events
// (ErrUnsafeTopic), else the partitions in which a transaction has been open since an
// earlier call, for a minute or more. Errors are Transient and say what a person can do.
func (c *TopicCheck) Check(ctx context.Context) error {
	if err := c.usable(ctx); err != nil {
		return err
	}
	if err := c.Safe(ctx); err != nil {
		return err
	}
	return c.readable(ctx)
}

func (c *TopicCheck) readable(ctx context.Context) error {
	if len(c.inputs) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	admin := kadm.NewClient(c.client)
	stable, err := admin.ListCommittedOffsets(ctx, c.inputs...)
	if err != nil {
		return Classify(fmt.Errorf("asking how far the topics can be read: %w", err))
	}
	ends, err := admin.ListEndOffsets(ctx, c.inputs...)
	if err != nil {
		return Classify(fmt.Errorf("asking where the topics end: %w", err))
	}
	now, open := time.Now(), map[place]held{}
	var problems []error
	stable.Each(func(s kadm.ListedOffset) {
		end, ok := ends.Lookup(s.Topic, s.Partition)
		if !ok || s.Err != nil || end.Err != nil || end.Offset <= s.Offset {
			return
		}
		at := place{s.Topic, s.Partition}
		h := held{s.Offset, now}
		if before, ok := c.open[at]; ok && before.offset == s.Offset {
			h = before
		}
		open[at] = h
		if now.Sub(h.since) >= c.most {
			problems = append(problems, heldUp(at, h, end.Offset-s.Offset, now))
		}
	})
	c.open = open
	return errors.Join(problems...)
}

func heldUp(at place, h held, behind int64, now time.Time) error {
	err := fmt.Errorf("%s/%d: a transaction that began at offset %d has been open for %v or more; %d records from there on cannot be read before it ends",
		at.topic, at.partition, h.offset, now.Sub(h.since).Round(time.Second), behind)
	return fault.Advise(fault.Transient(fault.Unavailable, err), fmt.Sprintf(
		"the brokers end it after its producer's transaction timeout; to end it now: kafka-transactions.sh --bootstrap-server HOST:PORT abort --topic %s --partition %d --start-offset %d",
		at.topic, at.partition, h.offset))
}
