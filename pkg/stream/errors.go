package stream

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Classify marks an error of the brokers: what they will always refuse is
// Permanent (Oversized for a record, Unsupported for a setting), all else is
// Transient(Unavailable). Where only a person can help, the error says how
// (fault.Advice). nil gives nil.
func Classify(err error) error {
	switch {
	case err == nil:
		return nil
	case is(err, kerr.MessageTooLarge, kerr.RecordListTooLarge):
		return fault.Permanent(fault.Oversized, err)
	case is(err, kerr.InvalidConfig, kerr.InvalidPartitions, kerr.InvalidReplicationFactor, kerr.PolicyViolation):
		return fault.Permanent(fault.Unsupported, err)
	case fault.Advice(err) != "": // it knows better: whose right to what
		return fault.Transient(fault.Unavailable, err)
	default:
		return fault.Advise(fault.Transient(fault.Unavailable, err), advice(err))
	}
}

// refusal gives a Permanent error when the brokers refuse what a record holds,
// which says nothing about its topic or about other records, although one answer
// is for a whole batch of them; else nil.
func refusal(err error) error {
	switch {
	case is(err, kerr.MessageTooLarge, kerr.RecordListTooLarge):
		return fault.Permanent(fault.Oversized, err)
	case is(err, kerr.InvalidTimestamp, kerr.InvalidRecord):
		return fault.Permanent(fault.Unsupported, err)
	default:
		return nil
	}
}

// advice gives what a person can do about what the brokers refuse; "" when
// waiting is enough.
func advice(err error) string {
	var unverified *tls.CertificateVerificationError
	var network *net.OpError
	switch {
	case errors.As(err, &unverified):
		return "the brokers' certificate has expired, names another host, or is of an authority that is not known here: check THROUGHLINE_KAFKA_CA_FILE and THROUGHLINE_KAFKA_BROKERS"
	case errors.As(err, &network) && network.Op == remoteAlert:
		return "the brokers want a certificate of this client, or refuse the one that it has: check THROUGHLINE_KAFKA_CERT_FILE, until when it is valid, and that the brokers know its authority"
	case is(err, kerr.FencedInstanceID, kerr.UnreleasedInstanceID):
		return "another running instance may use the same THROUGHLINE_KAFKA_INSTANCE_ID: give each its own"
	case is(err, kerr.TopicAuthorizationFailed):
		return "grant this Kafka user READ or WRITE on the topic"
	case is(err, kerr.GroupAuthorizationFailed):
		return "grant this Kafka user READ on the consumer group"
	case is(err, kerr.TransactionalIDAuthorizationFailed):
		return "grant this Kafka user WRITE on its transactional ids"
	case is(err, kerr.ClusterAuthorizationFailed):
		return "grant this Kafka user IDEMPOTENT_WRITE on the cluster"
	case is(err, kerr.SaslAuthenticationFailed):
		return "check THROUGHLINE_KAFKA_USER and THROUGHLINE_KAFKA_PASSWORD"
	case unknownTopic(err):
		return "the topic is missing, was deleted or made anew: run `throughline topics apply`"
	case is(err, kerr.InvalidTransactionTimeout):
		return "the brokers allow only shorter transactions: see transaction.max.timeout.ms"
	default:
		return ""
	}
}

// remoteAlert is the operation of crypto/tls' error for an alert that the peer sent.
const remoteAlert = "remote error"

// denied gives err with the command that grants the right which this user lacks, if
// that is what it says; else err.
func denied(err error, target error, user, operation, kind, name string) error {
	if !errors.Is(err, target) {
		return err
	}
	return fault.Advise(err, grant(user, operation, kind, name))
}

// toTopic is denied for a record that is written.
func toTopic(err error, user, topic string) error {
	return denied(fmt.Errorf("writing to %s: %w", topic, err), kerr.TopicAuthorizationFailed, user, "WRITE", "topic", topic)
}

// grant is the advice to give a user the right to an operation, as kafka-acls.sh
// takes it. user may be "".
func grant(user, operation, kind, name string) string {
	return fmt.Sprintf("grant it: kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:%s --operation %s --%s %s", cmp.Or(user, "NAME"), operation, kind, name)
}

func unknownTopic(err error) bool {
	return is(err, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InconsistentTopicID)
}

func is(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
