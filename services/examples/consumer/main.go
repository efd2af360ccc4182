// Command consumer reads account-events as a downstream team would: one
// consumer group, committed transactions only, schemas from the registry, and
// an offset committed after its record is dealt with, never before.
//
// It uses nothing of Throughline's but its contract: the topic, the Confluent
// wire format and the schema. Even the Avro library is another one.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	brokers, registry, topic, group string
	json                            bool
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("consumer", flag.ContinueOnError)
	flags.StringVar(&o.brokers, "brokers", env("THROUGHLINE_KAFKA_BROKERS", "127.0.0.1:19092"), "Kafka brokers, comma separated")
	flags.StringVar(&o.registry, "registry", env("THROUGHLINE_SCHEMA_REGISTRY_URL", "http://127.0.0.1:18081"), "schema registry")
	flags.StringVar(&o.topic, "topic", "account-events", "topic to read")
	flags.StringVar(&o.group, "group", "consumer-example", "consumer group: a restart under the same name goes on where it stopped")
	flags.BoolVar(&o.json, "json", false, "print one JSON object a line")
	return o, flags.Parse(args)
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// run reads until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	registry, err := sr.NewClient(sr.URLs(o.registry))
	if err != nil {
		return fmt.Errorf("making the registry client: %w", err)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(o.brokers, ",")...),
		kgo.ConsumerGroup(o.group),
		kgo.ConsumeTopics(o.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // a new group begins with the oldest event
		// The topic is written in transactions: without this, events of an
		// aborted one would be read too, and come a second time.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Commit what is printed, and let no partition move away in between.
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(10*time.Second),
	)
	if err != nil {
		return fmt.Errorf("making the Kafka client: %w", err)
	}
	defer client.CloseAllowingRebalance()
	return consume(ctx, client, newDecoder(registry), newPrinter(bufio.NewWriter(out), o.json))
}

// consume prints batches and commits each. Killed between the two, it prints
// that batch again: whoever stores events tells them apart by source and
// source_event_id.
func consume(ctx context.Context, client *kgo.Client, d *decoder, p *printer) error {
	for {
		fetches := client.PollRecords(ctx, 1000)
		if ctx.Err() != nil {
			return nil // nothing is half done: the batch before is committed
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("reading %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		for _, record := range fetches.Records() {
			e, err := d.decode(ctx, record.Value)
			if err != nil {
				// Not skipped: a reader that drops what it does not
				// understand is how data goes missing.
				return fmt.Errorf("decoding %s/%d offset %d: %w", record.Topic, record.Partition, record.Offset, err)
			}
			if err := p.print(e); err != nil {
				return err
			}
		}
		if err := p.flush(); err != nil {
			return err
		}
		// Also when asked to stop meanwhile, so that nothing is printed twice.
		if err := client.CommitRecords(context.WithoutCancel(ctx), fetches.Records()...); err != nil {
			return fmt.Errorf("committing offsets: %w", err)
		}
		client.AllowRebalance()
	}
}
