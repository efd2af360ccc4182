package stream

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Who has rights on Kafka beside the services that have a consumer group.
const (
	Receiver = "receiver"
	// Puller publishes what it gets from the vendors' APIs; it has no group.
	Puller = "puller"
	// Console reads single raw records, whose payloads somebody wants to see; it has no group.
	Console = "console"
	// Topics is whoever runs `throughline topics apply`.
	Topics = "topics"
	// Operator looks at lag, settings and rights, and changes nothing.
	Operator = "operator"
	// Consumer reads what Throughline publishes, in groups whose names begin with
	// Names.ConsumerGroups.
	Consumer = "consumer"
	// Backfill publishes events of the past into raw topics.
	Backfill = "backfill"
)

// Grantees gives everybody for whom Grants knows rights, the services first.
func Grantees() []string {
	return []string{Receiver, Normalizer, Sink, Quarantine, Puller, Drift, Console, Topics, Operator, Consumer, Backfill}
}

// Grant is the right to one operation on one resource of Kafka's, or on all
// whose names begin alike. Grants are comparable.
type Grant struct {
	Resource kmsg.ACLResourceType
	Name     string // of the resource, or what its name begins with
	Prefixed bool
	// Operation also allows what it implies: READ and WRITE imply DESCRIBE, and
	// ALTER_CONFIGS implies DESCRIBE_CONFIGS.
	Operation kmsg.ACLOperation
}

// String gives the grant for people: "WRITE on topic raw.stripe".
func (g Grant) String() string {
	kind := map[kmsg.ACLResourceType]string{
		kmsg.ACLResourceTypeTopic: "topic", kmsg.ACLResourceTypeGroup: "group",
		kmsg.ACLResourceTypeTransactionalId: "transactional id", kmsg.ACLResourceTypeCluster: "cluster",
	}[g.Resource]
	name := g.Name
	if g.Prefixed {
		name += "*"
	}
	return fmt.Sprintf("%s on %s %s", g.Operation, kind, name)
}

// clusterName is what Kafka calls the cluster as a resource.
const clusterName = "kafka-cluster"

// Grants gives all that a service, or another grantee, needs on a Kafka that has an
// authorizer, and no more: the one table of it. sources are the sources whose raw
// topics there are, named ones too; the receiver needs only those that it receives.
// nil for a name that is not one of Grantees. The brokers must be 2.8 or later:
// older ones want IDEMPOTENT_WRITE on the cluster of whoever writes.
func Grants(service string, n Names, sources []string) []Grant {
	raw := make([]string, len(sources))
	for i, name := range sources {
		raw[i] = n.Raw(name)
	}
	events, letters, changes := n.AccountEvents(), n.DeadLetters(), n.AccountChanges()
	all := slices.Concat(raw, []string{events, letters, changes})
	var g granting
	switch service {
	case Receiver:
		g.topics(kmsg.ACLOperationWrite, raw...)
		g.settings(raw...)
	case Normalizer:
		g.consumes(n.Group(Normalizer), raw...)
		g.topics(kmsg.ACLOperationWrite, events, letters)
		g.settings(slices.Concat(raw, []string{events, letters})...)
		g.add(kmsg.ACLResourceTypeTransactionalId, n.Group(Normalizer)+"-", true, kmsg.ACLOperationWrite)
	case Sink:
		g.consumes(n.Group(Sink), events)
		g.topics(kmsg.ACLOperationWrite, letters)
		g.settings(events, letters)
	case Quarantine:
		g.consumes(n.Group(Quarantine), letters)
		g.topics(kmsg.ACLOperationWrite, slices.Concat(raw, []string{changes})...)
		g.settings(slices.Concat(raw, []string{letters, changes})...)
		// It follows what it released through the other services.
		g.topics(kmsg.ACLOperationDescribe, events)
		g.groups(kmsg.ACLOperationDescribe, n.Group(Normalizer), n.Group(Sink))
	case Drift:
		g.consumes(n.Group(Drift), raw...)
		g.settings(raw...)
	case Console:
		g.topics(kmsg.ACLOperationRead, raw...)
	case Topics:
		for _, topic := range all {
			g.topics(kmsg.ACLOperationCreate, topic)
			g.topics(kmsg.ACLOperationDescribe, topic)
			g.topics(kmsg.ACLOperationAlterConfigs, topic)
		}
	case Operator:
		g.topics(kmsg.ACLOperationDescribe, all...)
		g.settings(all...)
		g.groups(kmsg.ACLOperationDescribe, n.Group(Normalizer), n.Group(Sink), n.Group(Quarantine), n.Group(Drift))
		g.add(kmsg.ACLResourceTypeCluster, clusterName, false, kmsg.ACLOperationDescribe)
	case Consumer:
		g.topics(kmsg.ACLOperationRead, events, changes)
		g.add(kmsg.ACLResourceTypeGroup, n.ConsumerGroups(), true, kmsg.ACLOperationRead)
	case Puller, Backfill:
		g.topics(kmsg.ACLOperationWrite, raw...)
	}
	return g.all
}

// granting collects grants.
type granting struct{ all []Grant }

func (g *granting) add(resource kmsg.ACLResourceType, name string, prefixed bool, operation kmsg.ACLOperation) {
	g.all = append(g.all, Grant{resource, name, prefixed, operation})
}

func (g *granting) topics(operation kmsg.ACLOperation, names ...string) {
	for _, name := range names {
		g.add(kmsg.ACLResourceTypeTopic, name, false, operation)
	}
}

// settings are read by all who must not work on a topic that loses events (TopicCheck).
func (g *granting) settings(topics ...string) {
	g.topics(kmsg.ACLOperationDescribeConfigs, topics...)
}

func (g *granting) groups(operation kmsg.ACLOperation, names ...string) {
	for _, name := range names {
		g.add(kmsg.ACLResourceTypeGroup, name, false, operation)
	}
}

func (g *granting) consumes(group string, topics ...string) {
	g.topics(kmsg.ACLOperationRead, topics...)
	g.groups(kmsg.ACLOperationRead, group)
}
