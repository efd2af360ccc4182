package receiver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/stripe"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// BenchmarkPost measures POST to 2xx over 64 connections, an event of Stripe
// each: the receiver, and beside it what the same HTTP server and Kafka client
// do with nothing in between.
func BenchmarkPost(b *testing.B) {
	brokers := streamtest.Embedded(b)
	client, err := stream.NewClient(stream.Config{Brokers: brokers}, stream.Deps{Name: "bare"})
	require.NoError(b, err)
	b.Cleanup(client.Close)
	_, err = stream.ApplyTopics(b.Context(), client, stream.Names{}, []string{"stripe", "marketo"}, stream.TopicOptions{
		Partitions: 4, ReplicationFactor: 1, RawRetention: time.Minute, EventRetention: time.Minute,
	})
	require.NoError(b, err)
	body := bytes.Replace(numbered(600), []byte("evt_600"), []byte("evt_1PxYzABCDEFGHIJKLMNOPQR"), 1)
	config := Config{Listen: "127.0.0.1:0", SpoolBytes: 1}
	settings.Defaults(&config)
	receiver, err := New(Options{
		Runtime: service.NewRuntime(service.Options{Name: "receiver"}), Kafka: stream.Config{Brokers: brokers},
		Config:    config,
		Endpoints: []Endpoint{{Source: stripe.New(), Secrets: []string{secretOf("stripe")}}},
	})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, receiver.Close()) })

	b.Run("receiver", func(b *testing.B) { benchmarkHandler(b, receiver.Handler(), body) })
	b.Run("bare", func(b *testing.B) { benchmarkHandler(b, bare(client), body) })
}

// bare reads a body and produces it, acks=all.
func bare(client *kgo.Client) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value, err := io.ReadAll(r.Body)
		if err == nil {
			err = client.ProduceSync(r.Context(), &kgo.Record{Topic: "raw.marketo", Key: []byte("stripe:customer:cus_1"), Value: value}).FirstErr()
		}
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
}

func benchmarkHandler(b *testing.B, handler http.Handler, body []byte) {
	server := httptest.NewServer(handler)
	defer server.Close()
	d := &source.Delivery{Method: http.MethodPost, Header: http.Header{}, Body: body}
	require.NoError(b, source.Sign(stripe.New(), d, secretOf("stripe"), time.Now()))
	request := fmt.Appendf(nil, "POST /webhooks/stripe HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nStripe-Signature: %s\r\nContent-Length: %d\r\n\r\n%s",
		d.Header.Get("Stripe-Signature"), len(body), body)
	b.SetBytes(int64(len(body)))
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	times := make(chan []time.Duration, 128)
	before := cpuTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		mine, err := postAll(b.Context(), server.Listener.Addr().String(), request, pb)
		if err != nil {
			b.Error(err)
		}
		times <- mine
	})
	b.StopTimer()
	used := cpuTime(b) - before
	close(times)
	var all []time.Duration
	for mine := range times {
		all = append(all, mine...)
	}
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}

// cpuTime is what this process, broker and sender included, has used: steadier
// than elapsed time on a machine that others use too.
func cpuTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// postAll sends request over one connection, with no client library in the way.
func postAll(ctx context.Context, addr string, request []byte, pb *testing.PB) (times []time.Duration, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for pb.Next() {
		begin := time.Now()
		if _, err := conn.Write(request); err != nil {
			return times, err
		}
		if err := readOK(in); err != nil {
			return times, err
		}
		times = append(times, time.Since(begin))
	}
	return times, nil
}

func readOK(in *bufio.Reader) error {
	status, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.Contains(status, []byte(" 200 ")) {
		return fmt.Errorf("answered %q", status)
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if _, err := fmt.Sscan(string(n), &length); err != nil {
				return err
			}
		}
	}
	_, err = in.Discard(length)
	return err
}
