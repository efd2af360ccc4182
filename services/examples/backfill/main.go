// Command backfill publishes a file of historical vendor events, one JSON
// object a line, into a raw topic, as a third party's job would: with kafka-go
// instead of Throughline's own client, and with nothing but the value. The
// topic names the source; Throughline does the rest.
//
// It can be stopped, or killed, and goes on behind the last acknowledged batch.
// What it publishes twice is on the timeline once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "backfill:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	brokers, topic, file, checkpoint string
	batch                            int
}

func parse(args []string, errs io.Writer) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("backfill", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.Usage = func() {
		fmt.Fprintln(errs, "Usage: backfill [flags] FILE.jsonl")
		flags.PrintDefaults()
	}
	brokers := os.Getenv("THROUGHLINE_KAFKA_BROKERS")
	if brokers == "" {
		brokers = "127.0.0.1:19092"
	}
	flags.StringVar(&o.brokers, "brokers", brokers, "Kafka brokers, comma separated")
	flags.StringVar(&o.topic, "topic", "raw.stripe", "raw topic; its name says whose events these are")
	flags.StringVar(&o.checkpoint, "checkpoint", "", "file that remembers how far it came (default FILE.jsonl.checkpoint)")
	flags.IntVar(&o.batch, "batch", 500, "most events in one batch, which is acknowledged before the next is sent")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() != 1 || o.batch < 1 {
		flags.Usage()
		return o, errors.New("give one file, and a batch of at least 1")
	}
	o.file = flags.Arg(0)
	if o.checkpoint == "" {
		o.checkpoint = o.file + ".checkpoint"
	}
	return o, nil
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	source, err := open(o.file, o.checkpoint)
	if err != nil {
		return err
	}
	defer source.close()
	writer := newWriter(o)
	defer writer.Close() //nolint:errcheck // every message was acknowledged, or its error returned
	show := newProgress(o, source, errs)
	defer show.stop()
	begun, published := time.Now(), source.at.Lines
	for {
		lines, err := source.next(o.batch, maxBatchBytes)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := publish(ctx, writer, lines); err != nil {
			return fmt.Errorf("%w; run it again to go on behind line %d", err, source.at.Lines)
		}
		// After the acknowledgement, never before: a kill in between costs a
		// duplicate, which is a no-op; the other order would cost events.
		if err := source.commit(); err != nil {
			return err
		}
		show.at(source.at.Offset)
	}
	show.stop()
	_, err = fmt.Fprintf(out, "published %d events to %s in %s (%d in all)\n",
		source.at.Lines-published, o.topic, time.Since(begun).Round(time.Millisecond), source.at.Lines)
	return err
}

// maxBatchBytes keeps one request below what a raw topic takes (1 MiB and a
// bit): brokers count a batch, and not its records.
const maxBatchBytes = 1 << 20

func newWriter(o options) *kafka.Writer {
	return &kafka.Writer{
		Addr:  kafka.TCP(strings.Split(o.brokers, ",")...),
		Topic: o.topic,
		// There is no key to send by: any partition will do, because order is
		// by the event's own time.
		Balancer: &kafka.RoundRobin{},
		// The default is not to wait for anybody.
		RequiredAcks: kafka.RequireAll,
		BatchSize:    o.batch,
		BatchBytes:   maxBatchBytes + 64<<10,
		BatchTimeout: time.Millisecond, // batches are full already
		MaxAttempts:  20,
		// A job of its own: no connections are shared, so none are left over.
		Transport: &kafka.Transport{},
	}
}

// publish returns when every line is acknowledged by all in-sync replicas.
func publish(ctx context.Context, w *kafka.Writer, lines [][]byte) error {
	messages := make([]kafka.Message, len(lines))
	for i, line := range lines {
		messages[i].Value = line
	}
	err := w.WriteMessages(ctx, messages...)
	if err == nil {
		return nil
	}
	var each kafka.WriteErrors
	if errors.As(err, &each) {
		for _, err := range each {
			if err != nil {
				return fmt.Errorf("publishing (%d of %d failed): %w", each.Count(), len(lines), err)
			}
		}
	}
	return fmt.Errorf("publishing: %w", err)
}
