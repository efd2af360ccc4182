// Package stream is Throughline's use of Kafka: clients, topics, the record
// headers that are a contract, and the loops through which every event passes,
// each written once: publish (Publisher), consume–transform–produce
// (RunTransform) and consume–write (RunBatches). What a stage does with events
// is handed to a loop as a function; whether an event can be lost is decided here.
package stream

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kprom"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/tlsfiles"
)

// Config says how to reach the brokers. It is what an operator sets.
type Config struct {
	Brokers       []string        `name:"kafka-brokers" env:"THROUGHLINE_KAFKA_BROKERS" help:"Kafka brokers to start from, host:port, comma separated." placeholder:"HOST:PORT,…"`
	TLS           bool            `name:"kafka-tls" env:"THROUGHLINE_KAFKA_TLS" help:"Connect with TLS."`
	CAFile        string          `name:"kafka-ca-file" env:"THROUGHLINE_KAFKA_CA_FILE" help:"PEM file of the authorities that sign the brokers' certificates; the system's otherwise. Read again when it changes." placeholder:"FILE"`
	CertFile      string          `name:"kafka-cert-file" env:"THROUGHLINE_KAFKA_CERT_FILE" help:"PEM file of the certificate with which we log in at the brokers (mTLS); read again when it changes. Together with kafka-key-file." placeholder:"FILE"`
	KeyFile       string          `name:"kafka-key-file" env:"THROUGHLINE_KAFKA_KEY_FILE" help:"PEM file of that certificate's key." placeholder:"FILE"`
	SASLMechanism string          `name:"kafka-sasl-mechanism" env:"THROUGHLINE_KAFKA_SASL_MECHANISM" enum:",plain,scram-sha-256,scram-sha-512" default:"" help:"plain, scram-sha-256 or scram-sha-512; empty: no SASL."`
	User          string          `name:"kafka-user" env:"THROUGHLINE_KAFKA_USER" help:"SASL user."`
	Password      settings.Secret `name:"kafka-password" env:"THROUGHLINE_KAFKA_PASSWORD" help:"SASL password."`
	// Prefix keeps several installations on one cluster apart (Names).
	Prefix string `name:"kafka-prefix" env:"THROUGHLINE_KAFKA_PREFIX" help:"What the names of all topics, consumer groups and transactional ids begin with, so that several installations share a cluster: 'eu.' makes eu.raw.stripe. The same for all parts of an installation." placeholder:"TEXT"`
	// InstanceID names this instance across restarts, so that a restarted one
	// takes over its own partitions and its own open transaction at once. Two
	// running instances must not share it: the older one would be fenced.
	InstanceID string `name:"kafka-instance-id" env:"THROUGHLINE_KAFKA_INSTANCE_ID" help:"Stable name of this instance (a pod's name); makes a restart take over at once. Must be unique among running instances."`
}

// Validate reports every problem, naming the variable to change.
func (c Config) Validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("THROUGHLINE_KAFKA_BROKERS (--kafka-brokers) is not set; example: kafka-0:9092,kafka-1:9092"))
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			errs = append(errs, fmt.Errorf("THROUGHLINE_KAFKA_BROKERS (--kafka-brokers): %q is not host:port", b))
		}
	}
	if err := checkPrefix(c.Prefix); err != nil {
		errs = append(errs, fmt.Errorf("THROUGHLINE_KAFKA_PREFIX (--kafka-prefix): %w", err))
	}
	if c.SASLMechanism != "" && (c.User == "" || c.Password == "") {
		errs = append(errs, errors.New("THROUGHLINE_KAFKA_USER and THROUGHLINE_KAFKA_PASSWORD must both be set when THROUGHLINE_KAFKA_SASL_MECHANISM is"))
	}
	if c.SASLMechanism == "" && c.Password != "" {
		errs = append(errs, errors.New("THROUGHLINE_KAFKA_PASSWORD is set but THROUGHLINE_KAFKA_SASL_MECHANISM (--kafka-sasl-mechanism) is not"))
	}
	if c.SASLMechanism == "plain" && !c.TLS {
		errs = append(errs, errors.New("THROUGHLINE_KAFKA_SASL_MECHANISM=plain sends the password in the clear; set THROUGHLINE_KAFKA_TLS=true (--kafka-tls)"))
	}
	errs = append(errs, c.validateTLS())
	return errors.Join(errs...)
}

// validateTLS reports every problem with TLS and its files.
func (c Config) validateTLS() error {
	var errs []error
	if !c.TLS && (c.CAFile != "" || c.CertFile != "" || c.KeyFile != "") {
		errs = append(errs, errors.New("THROUGHLINE_KAFKA_CA_FILE, _CERT_FILE or _KEY_FILE is set but THROUGHLINE_KAFKA_TLS (--kafka-tls) is not"))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, errors.New("THROUGHLINE_KAFKA_CERT_FILE (--kafka-cert-file) and THROUGHLINE_KAFKA_KEY_FILE (--kafka-key-file) must both be set, or neither"))
	}
	if c.CAFile != "" {
		if _, err := tlsfiles.Roots(c.CAFile); err != nil {
			errs = append(errs, fmt.Errorf("THROUGHLINE_KAFKA_CA_FILE (--kafka-ca-file): %w", err))
		}
	}
	if c.CertFile != "" && c.KeyFile != "" {
		if _, err := tlsfiles.NewCertificate(c.CertFile, c.KeyFile, nil); err != nil {
			errs = append(errs, fmt.Errorf("THROUGHLINE_KAFKA_CERT_FILE (--kafka-cert-file): %w", err))
		}
	}
	return errors.Join(errs...)
}

// Deps is what code gives a client beyond the operator's Config.
type Deps struct {
	Name     string                // client id and metric label: "receiver", "sink"
	Log      *zap.Logger           // nil: silent
	Registry prometheus.Registerer // nil: no client metrics
}

// NewClient makes a Kafka client that produces with acks=all, idempotently, in
// batches no larger than our topics take, and reads committed records, within
// bounds of what they decompress to. It does not connect. opts come last and win.
func NewClient(c Config, d Deps, opts ...kgo.Opt) (*kgo.Client, error) {
	base, err := clientOpts(c, d, nil)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(base, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("making the Kafka client: %w", err)
	}
	return cl, nil
}

// clientOpts gives the options of every client. Who polls in a loop has a stopped.
func clientOpts(c Config, d Deps, s *stopped) ([]kgo.Opt, error) {
	opts, err := decompression(s)
	if err != nil {
		return nil, fmt.Errorf("bounding what fetches decompress to: %w", err)
	}
	opts = append(opts,
		// What was aborted never was; account-events and its dead letters are written in transactions, and whoever
		// publishes raw records may.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID("throughline-"+d.Name),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytesFn(batchBytes),
		// Whoever produces here waits for it; batches form by themselves while
		// earlier ones are in flight.
		kgo.ProducerLinger(0),
		kgo.MaxBufferedBytes(64<<20),
		kgo.RetryBackoffFn(retryBackoff))
	if d.Log != nil {
		opts = append(opts, kgo.WithLogger(kzap.New(d.Log.Named("kafka"), kzap.Level(kgo.LogLevelWarn))))
	}
	if d.Registry != nil {
		metrics := kprom.NewMetrics("throughline_kafka", kprom.Registerer(
			prometheus.WrapRegistererWith(prometheus.Labels{"client": d.Name}, d.Registry)))
		opts = append(opts, kgo.WithHooks(metrics))
	}
	if c.TLS {
		dialer, err := tlsfiles.NewDialer(tlsfiles.Files{CA: c.CAFile, Cert: c.CertFile, Key: c.KeyFile}, dialTimeout, d.Log)
		if err != nil {
			return nil, fmt.Errorf("making the Kafka client: %w", err)
		}
		if d.Registry != nil {
			if err := dialer.Register(d.Registry, "kafka"); err != nil {
				return nil, fmt.Errorf("making the Kafka client: %w", err)
			}
		}
		opts = append(opts, kgo.Dialer(dialer.DialContext))
	} else {
		opts = append(opts, kgo.DialTimeout(dialTimeout))
	}
	switch c.SASLMechanism {
	case "plain":
		opts = append(opts, kgo.SASL(plain.Auth{User: c.User, Pass: string(c.Password)}.AsMechanism()))
	case "scram-sha-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: c.User, Pass: string(c.Password)}.AsSha256Mechanism()))
	case "scram-sha-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: c.User, Pass: string(c.Password)}.AsSha512Mechanism()))
	}
	return opts, nil
}

const dialTimeout = 5 * time.Second

// WholePages are the options of a client that publishes, one by one, what FitsBatch says no to: a page, or a record that
// somebody's producer compressed. What travels is bounded by the topic, and no record that can be read is larger.
func WholePages() []kgo.Opt {
	return []kgo.Opt{
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return maxBatchDecompressed + batchOverhead }),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()),
	}
}

// FitsBatch reports whether a client of NewClient publishes a record.
func FitsBatch(r *kgo.Record) bool {
	size := batchOverhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value) + headerBytes
	}
	return size <= normalizedMaxMessageBytes
}

// batchOverhead is more than what a batch has beside the keys, values and headers of one record.
const batchOverhead = 1 << 10

// batchBytes is the largest batch that our clients build; each of our topics
// takes it, and a raw topic even a whole page.
func batchBytes(string) int32 { return normalizedMaxMessageBytes }

// retryBackoff: quick at first, because a broker that restarts is back soon.
func retryBackoff(tries int) time.Duration {
	return min(50*time.Millisecond<<min(tries, 6), 2*time.Second)
}
