package kafka

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// log4jProperties sends Kafka's warnings and errors to its output, which is
// broker.log.
const log4jProperties = `status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
`

// properties gives a broker's server.properties. Names and defaults are those
// of Kafka's own configuration reference for 4.3.
func properties(n *node, all []*node, o Options) string {
	replicas := strconv.Itoa(len(all))
	inSync := strconv.Itoa(min(len(all), 2))
	voters := make([]string, len(all))
	for i, v := range all {
		voters[i] = fmt.Sprintf("%d@127.0.0.1:%d", v.id, v.controller)
	}
	set := map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        strconv.Itoa(n.id),
		"controller.quorum.voters":       strings.Join(voters, ","),
		"listeners":                      fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", n.port, n.controller),
		"advertised.listeners":           fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", n.port),
		"controller.listener.names":      "CONTROLLER",
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                       n.dataDir(),
		"auto.create.topics.enable":      "false",
	}
	maps.Copy(set, replication(replicas, inSync))
	maps.Copy(set, quickness())
	if len(o.Users) > 0 {
		maps.Copy(set, access(n, o.Users))
	}
	if len(o.Proxies) > 0 {
		maps.Copy(set, proxied(n, o.Proxies[n.id-1]))
	}
	if len(o.Between) > 0 {
		between(n, o.Between[n.id-1], set)
	}
	if o.TLS != nil {
		maps.Copy(set, encryption(n, o.TLS))
	}
	maps.Copy(set, o.Properties)

	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(set)) {
		// The format takes a backslash for an escape; no key of ours has one.
		fmt.Fprintf(&text, "%s=%s\n", key, strings.ReplaceAll(set[key], `\`, `\\`))
	}
	return text.String()
}

// access adds the users' listener, and denies them what no ACL allows.
func access(n *node, users map[string]string) map[string]string {
	login := "org.apache.kafka.common.security.plain.PlainLoginModule required"
	for _, name := range slices.Sorted(maps.Keys(users)) {
		login += fmt.Sprintf(" user_%s=%q", name, users[name])
	}
	return map[string]string{
		"listeners":                                   fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,USERS://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", n.port, n.users, n.controller),
		"advertised.listeners":                        fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,USERS://127.0.0.1:%d", n.port, n.users),
		"listener.security.protocol.map":              "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT",
		"inter.broker.listener.name":                  "PLAINTEXT",
		"authorizer.class.name":                       "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                                 "User:ANONYMOUS", // of the other listeners
		"listener.name.users.sasl.enabled.mechanisms": "PLAIN",
		"listener.name.users.plain.sasl.jaas.config":  login + ";",
	}
}

// proxied adds a listener whose clients are sent to a proxy.
func proxied(n *node, proxy string) map[string]string {
	return map[string]string{
		"listeners":                      fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,PROXIED://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", n.port, n.users, n.controller),
		"advertised.listeners":           fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,PROXIED://%s", n.port, proxy),
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
		"inter.broker.listener.name":     "PLAINTEXT",
	}
}

// between adds the listener that the other brokers are sent to by way of a proxy.
func between(n *node, proxy string, set map[string]string) {
	set["listeners"] += fmt.Sprintf(",BETWEEN://127.0.0.1:%d", n.certificates)
	set["advertised.listeners"] += ",BETWEEN://" + proxy
	set["listener.security.protocol.map"] += ",BETWEEN:PLAINTEXT"
	set["inter.broker.listener.name"] = "BETWEEN"
}

// replication is what a single broker needs to work at all (Kafka's own
// topics default to three replicas), and what three need to survive one.
func replication(replicas, inSync string) map[string]string {
	return map[string]string{
		"default.replication.factor":                       replicas,
		"min.insync.replicas":                              inSync,
		"offsets.topic.replication.factor":                 replicas,
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    inSync,
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            inSync,
	}
}

// quickness makes a start cheap and a failure noticed soon, on a machine that
// does other work beside. Defaults in brackets.
func quickness() map[string]string {
	return map[string]string{
		"num.partitions":                               "4",
		"offsets.topic.num.partitions":                 "4",       // [50]
		"transaction.state.log.num.partitions":         "4",       // [50]
		"share.coordinator.state.topic.num.partitions": "1",       // [50]
		"num.io.threads":                               "4",       // [8]
		"num.network.threads":                          "2",       // [3]
		"log.cleaner.dedupe.buffer.size":               "4194304", // [128 MiB, of a 384 MiB heap, taken at once]
		"group.initial.rebalance.delay.ms":             "0",       // [3000]
		"group.min.session.timeout.ms":                 "1000",    // [6000]
		"group.consumer.min.heartbeat.interval.ms":     "200",     // [5000]
		"group.consumer.heartbeat.interval.ms":         "500",     // [5000]
		"group.consumer.min.session.timeout.ms":        "2000",    // [45000]
		"group.consumer.session.timeout.ms":            "6000",    // [45000]
		"broker.heartbeat.interval.ms":                 "500",     // [2000]
		"broker.session.timeout.ms":                    "3000",    // [9000] a killed broker's partitions move after this
		// A transaction that follows another at once waits for the other's markers,
		// and asks for them again after this time.
		"add.partitions.to.txn.retry.backoff.ms": "2", // [20]
		// What lies in the newest segment is not compacted, and all of it is read before a group may join
		// after a restart, again and again when a member writes meanwhile (ADR 0012).
		"offsets.topic.segment.bytes": "1048576", // [100 MiB]
		// A transaction whose producer was killed blocks read_committed
		// consumers until its timeout is noticed. [10000]
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
	}
}
