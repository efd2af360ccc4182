package stage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/egress"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/stripe"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/traffic"
)

// What the vendor of a pull has: a window of it is 50 pages, as of a busy account.
const (
	pastWindow    = 6 * time.Hour // the stream's own
	pastPerWindow = 5_000
)

func (j Job) past() (*traffic.Past, error) {
	return j.Accounts.Past(time.Unix(j.Began, 0), pastWindow, pastPerWindow)
}

// runVendor serves Stripe's list of events, and answers at once.
func runVendor(ctx context.Context, job Job, ready func(string)) (Result, error) {
	past, err := job.past()
	if err != nil {
		return Result{}, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Result{}, fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		from, err := strconv.ParseInt(q.Get("created[gte]"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		page, err := past.Page(time.Unix(from, 0), q.Get("starting_after"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(page) //nolint:gosec // JSON of our own
	})}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		_ = server.Close()
	}()
	ready("http://" + listener.Addr().String())
	err = server.Serve(listener)
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return Result{}, err
}

// runPull is a backfill of Records events from Address, as the command does it: asked
// by HTTP, read, published with acknowledgements, and a checkpoint kept after each batch.
func runPull(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	pool, err := postgres.Open(ctx, postgres.Config{URL: settings.URL(job.Postgres), MaxConns: 4}, "bench-pull")
	if err != nil {
		return r, err
	}
	defer pool.Close()
	pager := stripe.New().(source.Pager)
	client, err := egress.New(egress.Options{API: pager.API(), Key: "rk_live_0123456789abcdef", Address: job.Address, AllowPrivate: true, Rate: 1e6})
	if err != nil {
		return r, err
	}
	defer client.Close()
	publisher, err := pull.NewPublisher(job.kafka(), pager.Name(), nil)
	if err != nil {
		return r, err
	}
	from := time.Unix(job.Began, 0)
	var done atomic.Int64
	err = until(ctx, func(ctx context.Context) error {
		_, err := pull.Run(ctx, pull.Options{
			Source: pager, API: client, Publish: publisher.Publish, Store: pull.NewStore(pool), From: from,
			To: from.Add(time.Duration(job.Records/pastPerWindow) * pastWindow), By: "bench", Progress: func(p pull.Progress) { done.Store(p.Events) },
		})
		return err
	}, func(ctx context.Context) (err error) {
		r.Samples, err = sample(ctx, job.Records, func() (int, error) { return int(done.Load()), nil })
		return err
	})
	return r, errors.Join(err, publisher.Close())
}

// runBarePull publishes the same records with kafka-go and nothing else: they are made
// in memory, their keys and headers are known, and no checkpoint is kept.
func runBarePull(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	past, err := job.past()
	if err != nil {
		return r, err
	}
	// As the records of the first page have them; only their bytes differ.
	like := make([]kafka.Message, traffic.PageEvents)
	for n := range like {
		rec, _, err := source.Keyed(stripe.New(), source.Record{Value: past.Append(nil, n), Mode: source.ModeBackfill, ReceivedAt: time.Now()})
		if err != nil {
			return r, fmt.Errorf("reading an event: %w", err)
		}
		made := stream.RawRecord("stripe", rec, "")
		like[n] = kafka.Message{Topic: made.Topic, Key: made.Key}
		for _, h := range made.Headers {
			like[n].Headers = append(like[n].Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
	}
	writer := &kafka.Writer{
		Addr: kafka.TCP(job.Brokers...), RequiredAcks: kafka.RequireAll, Balancer: kafka.Murmur2Balancer{}, Compression: kafka.Snappy,
		BatchBytes: 16 << 20, BatchSize: 10_000, BatchTimeout: time.Millisecond, MaxAttempts: 1,
	}
	const batch = 4_000
	var done atomic.Int64
	err = until(ctx, func(ctx context.Context) error {
		messages := make([]kafka.Message, 0, batch)
		for n := 0; n < job.Records; n += len(messages) {
			messages = messages[:0]
			for i := n; i < min(n+batch, job.Records); i++ {
				m := like[i%len(like)]
				m.Value = past.Append(make([]byte, 0, 1600), i)
				messages = append(messages, m)
			}
			if err := writer.WriteMessages(ctx, messages...); err != nil {
				return fmt.Errorf("publishing: %w", err)
			}
			done.Add(int64(len(messages)))
		}
		return nil
	}, func(ctx context.Context) (err error) {
		r.Samples, err = sample(ctx, job.Records, func() (int, error) { return int(done.Load()), nil })
		return err
	})
	return r, errors.Join(err, writer.Close())
}
