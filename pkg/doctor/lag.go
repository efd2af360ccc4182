package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/stream"
)

const (
	// lateAfter is a lag that a person wants to know of.
	lateAfter = time.Minute
	// measureTimeout bounds the reading of the first records.
	measureTimeout = 5 * time.Second
)

// stages gives the services that consume, in the order in which events pass them.
func stages() []string { return []string{stream.Normalizer, stream.Sink, stream.Quarantine} }

func lagChecks() []Check {
	var checks []Check
	for _, service := range append(stages(), stream.Drift) {
		checks = append(checks, onKafka("lag."+service, "the "+service+" runs and keeps up: how much it has not done, and how old that is",
			func(e *examination, _ context.Context, _ *kadm.Client) Finding { return e.lagOf(service) }))
	}
	return append(checks, onKafka("lag.slowest", "which stage is the slowest",
		func(e *examination, _ context.Context, _ *kadm.Client) Finding { return e.slowest() }))
}

// stageLag is how far a consumer group is behind.
type stageLag struct {
	members int
	begun   bool // it has committed an offset
	records int64
	behind  time.Duration // age of the oldest record that it has not done
	at      partition     // where that is
	lost    int64         // records that were deleted before it read them
	lostAt  partition
}

type partition struct {
	topic  string
	number int32
}

// String is the partition as Kafka's tools print it: topic/number.
func (p partition) String() string { return fmt.Sprintf("%s/%d", p.topic, p.number) }

// measureLags gives, for each stage, what measures it when first asked.
func (e *examination) measureLags(ctx context.Context) map[string]func() (stageLag, error) {
	lags := map[string]func() (stageLag, error){}
	for _, service := range append(stages(), stream.Drift) {
		lags[service] = sync.OnceValues(func() (stageLag, error) {
			client, err := e.kafka()
			if err != nil {
				return stageLag{}, err
			}
			bounded, cancel := context.WithTimeout(ctx, measureTimeout)
			defer cancel()
			return e.measure(bounded, kadm.NewClient(client), service)
		})
	}
	return lags
}

// inputs are the topics that a service consumes.
func (e *examination) inputs(service string) (topics []string) {
	switch names := e.Kafka.Names(); service {
	case stream.Sink:
		return []string{names.AccountEvents()}
	case stream.Quarantine:
		return []string{names.DeadLetters()}
	default:
		for _, source := range e.Sources {
			topics = append(topics, names.Raw(source))
		}
		return topics
	}
}

func (e *examination) measure(ctx context.Context, admin *kadm.Client, service string) (stageLag, error) {
	var lag stageLag
	group, topics := e.Kafka.Names().Group(service), e.inputs(service)
	groups, err := admin.DescribeGroups(ctx, group)
	if err == nil {
		err = groups.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // nobody has been a member yet
		return lag, err
	}
	lag.members = len(groups[group].Members)
	committed, err := admin.FetchOffsetsForTopics(ctx, group, topics...)
	if err != nil {
		return lag, err
	}
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return lag, err
	}
	ends, err := admin.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return lag, err
	}
	from, until := map[string]map[int32]kgo.Offset{}, map[partition]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		at := partition{end.Topic, end.Partition}
		start, there := starts.Lookup(end.Topic, end.Partition)
		if end.Err != nil || !there || start.Err != nil {
			return
		}
		next := start.Offset
		if c, is := committed.Lookup(end.Topic, end.Partition); is && c.At >= 0 {
			lag.begun = true
			if c.At < start.Offset && lag.lost < start.Offset-c.At {
				lag.lost, lag.lostAt = start.Offset-c.At, at
			}
			next = max(next, c.At)
		}
		if next >= end.Offset {
			return
		}
		lag.records += end.Offset - next
		until[at] = end.Offset
		if from[at.topic] == nil {
			from[at.topic] = map[int32]kgo.Offset{}
		}
		from[at.topic][at.number] = kgo.NewOffset().At(next)
	})
	if len(until) == 0 {
		return lag, nil
	}
	first, err := e.firstRecords(ctx, from, until)
	if err != nil {
		return lag, err
	}
	for at, written := range first {
		if age := e.Now().Sub(written); age > lag.behind || lag.at.topic == "" {
			lag.behind, lag.at = max(age, 0), at
		}
	}
	if len(first) == 0 {
		lag.records = 0 // transactions' markers alone
	}
	return lag, nil
}

// firstRecords gives when the first record was written that a consumer would get of each partition from an offset on; until
// is where reading ends. A partition of which nothing but transactions' markers is left is not in the result.
func (e *examination) firstRecords(ctx context.Context, from map[string]map[int32]kgo.Offset, until map[partition]int64) (map[partition]time.Time, error) {
	client, err := e.client(kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(250*time.Millisecond), kgo.FetchMaxPartitionBytes(64<<10))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	first := map[partition]time.Time{}
	for len(until) > 0 {
		fetches := client.PollFetches(ctx)
		unread, err := stream.FetchErrors(fetches)
		if err := cmp.Or(ctx.Err(), err); err != nil {
			return nil, fmt.Errorf("reading the first records that wait: %w", err)
		}
		for _, r := range unread { // its time is unknown
			at := partition{r.Topic, r.Partition}
			first[at] = r.Timestamp
			delete(until, at)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			at := partition{p.Topic, p.Partition}
			for _, r := range p.Records {
				end, wanted := until[at]
				if wanted && !r.Attrs.IsControl() {
					first[at] = r.Timestamp
				}
				if wanted && (!r.Attrs.IsControl() || r.Offset >= end-1) {
					delete(until, at)
				}
			}
		})
	}
	return first, nil
}

// lagOf words a stage's lag.
func (e *examination) lagOf(service string) Finding {
	lag, err := e.lags[service]()
	switch {
	case err != nil:
		return kafkaFailed(err)
	case service == stream.Drift && lag.members == 0 && !lag.begun:
		return notChecked("", "no drift has run here yet: it is optional (docs/operations/drift.md)")
	case lag.lost > 0 && service == stream.Drift:
		return warning("keep topics longer: throughline topics apply --raw-retention", "the brokers deleted %d records of %s before drift had seen them", lag.lost, lag.lostAt)
	case lag.lost > 0:
		return failed("what vendors sent meanwhile has to be sent again by them; keep topics longer: throughline topics apply --raw-retention, --event-retention",
			"the brokers deleted %d records of %s before the %s had read them", lag.lost, lag.lostAt, service)
	case lag.members == 0:
		return failed("start the "+service+"; if it runs, look at its log and /readyz?verbose", "no %s is a member of its consumer group %s, and %s", service, e.Kafka.Names().Group(service), lag.words())
	case lag.behind > lateAfter:
		return warning(lateAdvice(service), "the %s is behind: %s", service, lag.words())
	}
	members := "1 member"
	if lag.members > 1 {
		members = fmt.Sprintf("%d members", lag.members)
	}
	return ok("%s, %s", members, lag.words())
}

func (l stageLag) words() string {
	if l.records == 0 {
		return "nothing waits"
	}
	return fmt.Sprintf("%d records wait, the oldest for %v on %s", l.records, rounded(l.behind), l.at)
}

func lateAdvice(service string) string {
	switch service {
	case stream.Sink:
		return "look at the sink's /readyz?verbose for a held partition, and at postgres.transactions and postgres.keeper; else Postgres is the limit (docs/operations/sizing.md)"
	case stream.Quarantine:
		return "look at the quarantine service's /readyz?verbose"
	case stream.Drift:
		return "look at drift's /readyz?verbose; else give it more CPU or replicas"
	default:
		return "look at the normalizer's /readyz?verbose and at kafka.transactions; else give it more CPU or replicas (docs/operations/sizing.md)"
	}
}

// slowest compares the stages.
func (e *examination) slowest() Finding {
	type stage struct {
		name string
		stageLag
	}
	var all []stage
	for _, service := range stages() {
		lag, err := e.lags[service]()
		if err != nil {
			return notChecked("", "lag.%s is not known", service)
		}
		all = append(all, stage{service, lag})
	}
	slices.SortStableFunc(all, func(a, b stage) int { return cmp.Compare(b.behind, a.behind) })
	var others []string
	for _, s := range all[1:] {
		others = append(others, fmt.Sprintf("%s %v", s.name, rounded(s.behind)))
	}
	switch first := all[0]; {
	case first.behind > lateAfter:
		return warning(lateAdvice(first.name), "the slowest stage is the %s, %v behind (%s)", first.name, rounded(first.behind), strings.Join(others, ", "))
	case first.records == 0:
		return ok("no stage is behind")
	default:
		return ok("the %s, %v behind (%s)", first.name, rounded(first.behind), strings.Join(others, ", "))
	}
}
