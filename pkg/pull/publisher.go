package pull

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/tlsfiles"
)

const (
	dialTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	// mostBatch lets the largest record pass that an answer can hold: the normalizer
	// makes a dead letter of what is too large for an event.
	mostBatch = rawjson.MaxPageBytes + 32<<10
)

// Publisher writes raw records with kafka-go, a client that shares no code with the
// receiver's: what it writes is the same all the same, down to the partition. Close
// it.
type Publisher struct {
	writer *kafka.Writer
	pool   *kafka.Transport
	raw    stream.RawMaker
}

// NewPublisher makes a Publisher for a source's raw topic. It does not connect.
func NewPublisher(c stream.Config, sourceName string, log *zap.Logger) (*Publisher, error) {
	pool := &kafka.Transport{ClientID: "throughline-puller", DialTimeout: dialTimeout, MetadataTopics: []string{c.Names().Raw(sourceName)}}
	if c.TLS {
		dialer, err := tlsfiles.NewDialer(tlsfiles.Files{CA: c.CAFile, Cert: c.CertFile, Key: c.KeyFile}, dialTimeout, log)
		if err != nil {
			return nil, fmt.Errorf("making the Kafka client: %w", err)
		}
		pool.Dial = dialer.DialContext
	}
	var err error
	if pool.SASL, err = mechanism(c); err != nil {
		return nil, fmt.Errorf("making the Kafka client: %w", err)
	}
	return &Publisher{
		raw:  c.Names().RawMaker(sourceName),
		pool: pool,
		writer: &kafka.Writer{
			Addr: kafka.TCP(c.Brokers...), Transport: pool, RequiredAcks: kafka.RequireAll,
			// The partition that Java's and the receiver's client choose.
			Balancer:     kafka.Murmur2Balancer{},
			Compression:  kafka.Snappy,
			BatchBytes:   mostBatch,
			BatchSize:    10_000,
			BatchTimeout: time.Millisecond, // a page is written at once: nothing more comes before its acknowledgement
			WriteTimeout: writeTimeout, ReadTimeout: writeTimeout,
			MaxAttempts: 1, // the loop tries again, and says so
		},
	}, nil
}

func mechanism(c stream.Config) (sasl.Mechanism, error) {
	switch c.SASLMechanism {
	case "plain":
		return plain.Mechanism{Username: c.User, Password: string(c.Password)}, nil
	case "scram-sha-256":
		return scram.Mechanism(scram.SHA256, c.User, string(c.Password))
	case "scram-sha-512":
		return scram.Mechanism(scram.SHA512, c.User, string(c.Password))
	}
	return nil, nil
}

// Publish returns nil once all in-sync replicas have every record. On an error some
// may be written: publish them again, the timeline knows duplicates. It is
// Permanent(Oversized) where a record is larger than the topic takes, else
// Transient(Unavailable), with advice where a person must help.
func (p *Publisher) Publish(ctx context.Context, records []source.Record) error {
	messages := make([]kafka.Message, len(records))
	for i, r := range records {
		made := p.raw.Record(r, "")
		headers := make([]kafka.Header, len(made.Headers))
		for j, h := range made.Headers {
			headers[j] = kafka.Header{Key: h.Key, Value: h.Value}
		}
		messages[i] = kafka.Message{Topic: made.Topic, Key: made.Key, Value: made.Value, Headers: headers}
	}
	if err := p.writer.WriteMessages(ctx, messages...); err != nil {
		return publishing(err)
	}
	return nil
}

func publishing(err error) error {
	var each kafka.WriteErrors
	if errors.As(err, &each) {
		for _, one := range each {
			if one != nil {
				err = one // one answer stands for its whole batch
				break
			}
		}
	}
	var tooLarge kafka.MessageTooLargeError
	if errors.As(err, &tooLarge) {
		return fault.Permanent(fault.Oversized, errors.New("publishing: a record is larger than the raw topic takes"))
	}
	err = fmt.Errorf("publishing: %w", err)
	switch {
	case errors.Is(err, kafka.MessageSizeTooLarge):
		return fault.Permanent(fault.Oversized, fault.Advise(err, "somebody lowered max.message.bytes of the raw topic: run `throughline topics apply`"))
	case errors.Is(err, kafka.TopicAuthorizationFailed):
		return fault.Transient(fault.Unavailable, fault.Advise(err, "give the Kafka user the rights of a backfill: `throughline acls apply --user backfill=User:NAME`"))
	case errors.Is(err, kafka.UnknownTopicOrPartition):
		return fault.Transient(fault.Unavailable, fault.Advise(err, "run `throughline topics apply`"))
	}
	return fault.Transient(fault.Unavailable, err)
}

// Close ends the connections.
func (p *Publisher) Close() error {
	err := p.writer.Close()
	p.pool.CloseIdleConnections()
	return err
}
