package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/stream"
)

const (
	applyTopics = "run `throughline topics apply`"
	// openMost is how long a transaction may be silent: ours end after ten seconds at most.
	openMost = time.Minute
	// brokerTimeout bounds one broker's answer, so that another can be asked within checkTimeout.
	brokerTimeout = 3 * time.Second
)

func kafkaChecks() []Check {
	return []Check{
		{"kafka.reachable", "a broker answers with these settings", (*examination).kafkaReachable},
		onKafka("kafka.brokers", "every broker of the cluster answers", (*examination).brokers),
		onKafka("kafka.topics", "every topic is there", (*examination).topicsThere),
		onKafka("kafka.topic-settings", "no topic's settings lose events", (*examination).topicSettings),
		onKafka("kafka.partitions", "every partition has a leader and enough replicas in sync to be written", (*examination).partitions),
		onKafka("kafka.transactions", "no transaction is left open that readers wait for", (*examination).transactions),
		onKafka("kafka.clock", "no record of the topics is from the future of this machine's clock", (*examination).kafkaClock),
	}
}

// topics are all topics of the installation.
func (e *examination) topics() []string {
	names := e.Kafka.Names()
	topics := []string{names.AccountEvents(), names.DeadLetters(), names.AccountChanges()}
	for _, source := range e.Sources {
		topics = append(topics, names.Raw(source))
	}
	return topics
}

func (e *examination) kafkaReachable(context.Context, string) Finding {
	if e.Kafka == nil {
		return unset("THROUGHLINE_KAFKA_BROKERS")
	}
	at := strings.Join(e.Kafka.Brokers, ",")
	if _, err := e.kafka(); err != nil {
		return failed(cmp.Or(fault.Advice(err), "check THROUGHLINE_KAFKA_BROKERS (and _TLS, _SASL_MECHANISM, _USER), and that the brokers run"),
			"Kafka at %s does not answer: %v", at, err)
	}
	as := ""
	if e.Kafka.User != "" {
		as = " as " + e.Kafka.User
	}
	return ok("Kafka at %s answers%s", at, as)
}

// brokers asks every broker, every address of the settings, and those that only the partitions still name.
func (e *examination) brokers(ctx context.Context, admin *kadm.Client) Finding {
	meta, err := admin.Metadata(ctx, e.topics()...)
	if err != nil {
		return kafkaFailed(err)
	}
	client, err := e.client()
	if err != nil {
		return kafkaFailed(err)
	}
	e.later(client.Close)
	addresses := map[int32]string{}
	asked := map[string]*kgo.Broker{}
	for i, seed := range client.SeedBrokers() {
		asked[e.Kafka.Brokers[i]] = seed
	}
	known, err := e.kafka()
	if err != nil {
		return kafkaFailed(err)
	}
	for _, b := range meta.Brokers {
		at := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		addresses[b.NodeID] = fmt.Sprintf("%d (%s)", b.NodeID, at)
		delete(asked, at) // it is one of the cluster
		asked[addresses[b.NodeID]] = known.Broker(int(b.NodeID))
	}
	var mu sync.Mutex
	var silent []string
	var group sync.WaitGroup
	for address, broker := range asked {
		group.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, brokerTimeout)
			defer cancel()
			if _, err := broker.Request(bounded, kmsg.NewPtrApiVersionsRequest()); err != nil {
				mu.Lock()
				defer mu.Unlock()
				silent = append(silent, address)
			}
		})
	}
	group.Wait()
	for _, topic := range meta.Topics {
		for _, p := range topic.Partitions {
			for _, id := range p.Replicas {
				if _, known := addresses[id]; !known {
					silent = append(silent, strconv.Itoa(int(id)))
				}
			}
		}
	}
	if len(silent) > 0 {
		return failed("start the broker again, or look at its log and at the network to it", "brokers that do not answer: %s", some(silent))
	}
	return ok("%d of %d brokers answer", len(addresses), len(addresses))
}

func (e *examination) topicsThere(ctx context.Context, admin *kadm.Client) Finding {
	details, err := admin.ListTopics(ctx, e.topics()...)
	if err != nil {
		return kafkaFailed(err)
	}
	var missing []string
	for _, topic := range e.topics() {
		if d, there := details[topic]; !there || d.Err != nil {
			missing = append(missing, topic)
		}
	}
	if len(missing) > 0 {
		return failed(applyTopics+"; if they are there, grant this user DESCRIBE on them", "missing, or this user may not see them: %s", some(missing))
	}
	return ok("all %d topics are there", len(details))
}

func (e *examination) topicSettings(ctx context.Context, _ *kadm.Client) Finding {
	client, err := e.kafka()
	if err != nil {
		return kafkaFailed(err)
	}
	check := stream.NewTopicCheck(*e.Kafka, client, nil, e.topics())
	unsafe, err := check.Unsafe(ctx)
	if err != nil {
		return kafkaFailed(err)
	}
	var lines []string
	for _, problem := range unsafe {
		lines = append(lines, problem.Error())
	}
	if len(lines) > 0 {
		return failed(applyTopics, "%s", some(lines))
	}
	doubts, err := check.Doubts(ctx)
	if err != nil {
		return kafkaFailed(err)
	}
	if len(doubts) > 0 {
		first, do, _ := strings.Cut(doubts[0], ": ")
		if more := len(doubts) - 1; more > 0 {
			first += fmt.Sprintf(" (and %d more)", more)
		}
		return warning(do, "%s", first)
	}
	return ok("the settings of all topics are safe")
}

// partitions looks for what nobody leads, what nobody can write to, and what has lost replicas.
func (e *examination) partitions(ctx context.Context, admin *kadm.Client) Finding {
	details, err := admin.ListTopics(ctx, e.topics()...)
	if err != nil {
		return kafkaFailed(err)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, e.topics()...)
	least := map[string]int{}
	if err == nil {
		for _, topic := range configs {
			for _, c := range topic.Configs {
				if n, parseErr := strconv.Atoi(c.MaybeValue()); c.Key == "min.insync.replicas" && parseErr == nil {
					least[topic.Name] = n
				}
			}
		}
	}
	var leaderless, refused, under []string
	count := 0
	details.EachPartition(func(p kadm.PartitionDetail) {
		count++
		name := fmt.Sprintf("%s/%d", p.Topic, p.Partition)
		switch {
		case p.Leader < 0:
			leaderless = append(leaderless, name)
		case len(p.ISR) < least[p.Topic]:
			refused = append(refused, name)
		case len(p.ISR) < len(p.Replicas):
			under = append(under, name)
		}
	})
	const do = "bring the missing brokers back (see kafka.brokers), or move the replicas with kafka-reassign-partitions.sh"
	switch {
	case len(leaderless) > 0:
		return failed(do, "nobody leads %s, so they can be neither read nor written", some(leaderless))
	case len(refused) > 0:
		return failed(do, "fewer replicas than min.insync.replicas are in sync, so writes are refused: %s", some(refused))
	case len(under) > 0:
		return warning(do, "replicas are missing or behind: %s", some(under))
	}
	return ok("all replicas of %d partitions are in sync", count)
}

func (e *examination) transactions(ctx context.Context, admin *kadm.Client) Finding {
	topics := kadm.TopicsSet{}
	details, err := admin.ListTopics(ctx, e.topics()...)
	if err != nil {
		return kafkaFailed(err)
	}
	details.EachPartition(func(p kadm.PartitionDetail) { topics.Add(p.Topic, p.Partition) })
	if len(topics) == 0 {
		return notChecked("", "kafka.topics failed")
	}
	described, err := admin.DescribeProducers(ctx, topics)
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return notChecked("run the doctor as a user with READ on the topics to see open transactions", "this Kafka user may describe the topics and not read them, so it does not see their producers")
	case err != nil:
		return kafkaFailed(err)
	}
	var open []kadm.DescribedProducer
	described.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset >= 0 && e.Now().Sub(time.UnixMilli(p.LastTimestamp)) > openMost {
			open = append(open, p)
		}
	})
	if len(open) == 0 {
		return ok("no transaction has been open and silent for %v", openMost)
	}
	slices.SortFunc(open, func(a, b kadm.DescribedProducer) int { return cmp.Compare(a.LastTimestamp, b.LastTimestamp) })
	p := open[0]
	return failed(fmt.Sprintf("end it: kafka-transactions.sh --bootstrap-server HOST:PORT abort --topic %s --partition %d --start-offset %d", p.Topic, p.Partition, p.CurrentTxnStartOffset),
		"%d transactions are open and silent; the oldest, on %s/%d, for %v: what was written after it cannot be read", len(open), p.Topic, p.Partition,
		rounded(e.Now().Sub(time.UnixMilli(p.LastTimestamp))))
}

// kafkaClock sees one side only: Kafka does not tell its time, but each record has the time at which a broker appended it.
func (e *examination) kafkaClock(ctx context.Context, admin *kadm.Client) Finding {
	listed, err := admin.ListMaxTimestampOffsets(ctx, e.topics()...)
	if err != nil {
		return kafkaFailed(err)
	}
	var newest kadm.ListedOffset
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err == nil && o.Timestamp > newest.Timestamp {
			newest = o
		}
	})
	if newest.Timestamp <= 0 {
		return notChecked("", "the topics are empty, so no record has a broker's time")
	}
	age := e.Now().Sub(time.UnixMilli(newest.Timestamp))
	if age < -clockMost {
		return clockOff(-age, "behind the brokers'", fmt.Sprintf(" (newest record of %s)", newest.Topic))
	}
	return ok("the newest record is %v old, so this clock is not behind the brokers' (whether it is ahead cannot be seen)", rounded(max(age, 0)))
}

const (
	// clockMost is how far clocks may be apart.
	clockMost = 2 * time.Second
	// clockBroken is where signatures with a time in them begin to be refused, at the strictest vendor half of its tolerance.
	clockBroken = 30 * time.Second
)

// clockOff words a clock that is wrong.
func clockOff(by time.Duration, which, more string) Finding {
	const do = "synchronize the clocks of all machines (timedatectl, chronyc tracking): signatures hold for minutes, and received_at orders events"
	text := fmt.Sprintf("this machine's clock is %v %s%s", rounded(by), which, more)
	if by > clockBroken {
		return failed(do, "%s", text)
	}
	return warning(do, "%s", text)
}
