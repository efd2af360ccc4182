package stream

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/google/uuid"
)

// The topics that carry events onward, without an installation's prefix.
const (
	AccountEvents  = "account-events"
	DeadLetters    = "account-events.dlq"
	AccountChanges = "account-changes"
)

const rawPrefix = "raw."

// RawTopic is the raw topic of a source, without an installation's prefix.
func RawTopic(sourceName string) string { return rawPrefix + sourceName }

// SourceOfTopic gives the source whose raw topic this is, whatever its prefix.
func SourceOfTopic(topic string) (string, bool) {
	at := strings.LastIndex(topic, rawPrefix)
	if at < 0 || at > 0 && !strings.Contains(prefixEnds, topic[at-1:at]) {
		return "", false
	}
	return topic[at+len(rawPrefix):], true
}

// Names are what an installation calls its topics, consumer groups and transactional
// ids, so that several share a cluster. The zero Names have no prefix. Nothing else
// makes such a name.
type Names struct{ prefix string }

const (
	prefixEnds     = "._-"
	maxPrefixBytes = 64
)

// Names gives the installation's names.
func (c Config) Names() Names { return Names{c.Prefix} }

// checkPrefix keeps a prefix apart from what follows it.
func checkPrefix(prefix string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + prefixEnds
	switch {
	case prefix == "":
		return nil
	case strings.Trim(prefix, letters) != "" || len(prefix) > maxPrefixBytes:
		return fmt.Errorf("%q is not of at most %d letters, digits, dots, hyphens and underscores", prefix, maxPrefixBytes)
	case !strings.Contains(prefixEnds, prefix[len(prefix)-1:]):
		return fmt.Errorf("%q should end with a dot, a hyphen or an underscore", prefix)
	case strings.Contains(prefix, rawPrefix):
		return errors.New("a prefix with \"raw.\" in it makes every topic look like a raw one")
	}
	return nil
}

// Raw is the raw topic of a source.
func (n Names) Raw(sourceName string) string { return n.prefix + RawTopic(sourceName) }

// AccountEvents is the topic of the normalized events.
func (n Names) AccountEvents() string { return n.prefix + AccountEvents }

// DeadLetters is the topic of the dead letters.
func (n Names) DeadLetters() string { return n.prefix + DeadLetters }

// AccountChanges is the topic of the changes of accounts.
func (n Names) AccountChanges() string { return n.prefix + AccountChanges }

// Group is a service's consumer group.
func (n Names) Group(service string) string { return n.ours() + service }

// ConsumerGroups is what the names of downstream consumers' groups begin with, where
// their rights are ours to give (Grants).
func (n Names) ConsumerGroups() string { return n.prefix + "consumer-" }

// ours is what all groups and transactional ids of ours begin with.
func (n Names) ours() string { return n.prefix + "throughline-" }

// TransactionalID gives the id for the n-th loop of a service in this process:
// stable when the operator named the instance, else fresh per start, which the
// embedded broker requires (docs/adr/0004).
func TransactionalID(c Config, service string, n int) string {
	ids := c.Names().Group(service) + "-"
	if c.InstanceID != "" {
		return fmt.Sprintf("%s%s-%d", ids, c.InstanceID, n)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	return fmt.Sprintf("%s%s-%s-%d", ids, host, uuid.NewString()[:8], n)
}

// The services that have a consumer group (Names.Group).
const (
	Normalizer = "normalizer"
	Sink       = "sink"
	Quarantine = "quarantine"
	Drift      = "drift"
)
