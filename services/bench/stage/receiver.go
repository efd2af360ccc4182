package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/receiver/receiver"
	"github.com/throughline-dev/throughline/services/whole"
)

// secret signs the requests. It guards nothing.
const secret = "bench-secret-0123456789abcdef"

// webhooks is where receivers are posted to, stripePath where both are.
const (
	webhooks   = "/webhooks/"
	stripePath = webhooks + "stripe"
)

// publicURL is what vendors believe the receiver's address to be.
const publicURL = "https://bench.example"

// endpoints is Stripe's alone, or every source's.
func endpoints(all bool) ([]receiver.Endpoint, error) {
	names := []string{"stripe"}
	if all {
		names = catalog.Set().Names()
	}
	return receiver.Endpoints(catalog.Set(), names, func(string) settings.SourceSetting {
		return settings.SourceSetting{Secrets: settings.Secrets{secret}, PublicURL: publicURL}
	})
}

// runReceiver is the receiver with Stripe's endpoint, or with every source's.
func runReceiver(ctx context.Context, job Job, ready func(string)) (Result, error) {
	return runServing(ctx, job, ready, whole.Receiver)
}

// runBareReceiver is the least that can be between a POST and the brokers: the
// body is read and produced with acks=all, and 200 follows the acknowledgement.
// The records have no key, so the client fills one partition's batch after the
// other, which is the fastest it can do.
func runBareReceiver(ctx context.Context, job Job, ready func(string)) (Result, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(job.Brokers...), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0))
	if err != nil {
		return Result{}, fmt.Errorf("making the Kafka client: %w", err)
	}
	defer client.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+stripePath, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := client.ProduceSync(r.Context(), &kgo.Record{Topic: stream.RawTopic("stripe"), Value: body}).FirstErr(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return Result{}, fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	run := func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { _ = server.Close() })()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving: %w", err)
		}
		return nil
	}
	return serving(ctx, run, func(context.Context) (string, error) { return l.Addr().String(), nil }, ready)
}
