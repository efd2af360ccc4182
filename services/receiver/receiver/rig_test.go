package receiver

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what a loaded machine may take.
const patience = 60 * time.Second

const publicHost = "https://hooks.example.com"

// secretOf is the signing secret of a source in these tests.
func secretOf(name string) string { return "secret-of-" + name + "-0123456789abcdef" }

// rig is a receiver of all sources before a broker in this process.
type rig struct {
	t        *testing.T
	cluster  *kfake.Cluster
	brokers  []string
	registry *prometheus.Registry
	receiver *Receiver
	options  Options
	client   *http.Client
	stop     func()
}

// newRig starts one. change may alter its options.
func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	cluster := streamtest.Fake(t)
	r := &rig{t: t, cluster: cluster, brokers: cluster.ListenAddrs(), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: patience}}
	t.Cleanup(r.client.CloseIdleConnections)
	r.options = Options{Config: testConfig(t), Kafka: stream.Config{Brokers: r.brokers}, Endpoints: allEndpoints(t)}
	if change != nil {
		change(&r.options)
	}
	r.applyTopics()
	r.start()
	return r
}

func testConfig(t *testing.T) Config {
	c := Config{
		Listen: "127.0.0.1:0", PublishTimeout: 10 * time.Second, MaxInFlightBytes: 64 << 20,
		SpoolDir: filepath.Join(t.TempDir(), "spool"), SpoolBytes: 64 << 20, MaxFailures: 1 << 20,
	}
	settings.Defaults(&c)
	c.DrainDelay = 0
	return c
}

func allEndpoints(t *testing.T) (all []Endpoint) {
	t.Helper()
	for _, src := range catalog.Set().Sources() {
		secrets := []string{secretOf(src.Name()), "older-secret-0123456789"}
		all = append(all, Endpoint{Source: src.(source.Webhook), Secrets: secrets, PublicURL: publicHost})
	}
	return all
}

func (r *rig) applyTopics() {
	r.t.Helper()
	client, err := stream.NewClient(stream.Config{Brokers: r.brokers}, stream.Deps{Name: "test"})
	require.NoError(r.t, err)
	defer client.Close()
	names := catalog.Set().Names()
	for _, e := range r.options.Endpoints {
		if name := e.Source.Name(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	_, err = stream.ApplyTopics(r.t.Context(), client, stream.Names{}, names, stream.TopicOptions{
		Partitions: 1, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: time.Hour,
	})
	require.NoError(r.t, err)
}

// start starts a receiver with the rig's options, also a second time.
func (r *rig) start() {
	r.t.Helper()
	rt := service.NewRuntime(service.Options{Name: "receiver", StopTimeout: patience})
	r.registry = rt.Registry
	r.options.Runtime = rt
	receiver, err := New(r.options)
	require.NoError(r.t, err)
	r.receiver = receiver
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- receiver.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	r.t.Cleanup(r.stop)
	require.Eventually(r.t, func() bool { return receiver.Addr() != "" }, patience, time.Millisecond)
}

func (r *rig) url(name string) string { return "http://" + r.receiver.Addr() + path(name) }

// signed is a request of body as the source's vendor posts it.
func (r *rig) signed(name string, body []byte) *http.Request {
	r.t.Helper()
	src, ok := catalog.Set().Find(name)
	require.True(r.t, ok)
	d := &source.Delivery{Method: http.MethodPost, URL: publicHost + path(name), Header: http.Header{}, Body: body}
	d.Header.Set("Content-Type", "application/json")
	require.NoError(r.t, source.Sign(src, d, secretOf(name), time.Now()))
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url(name), bytes.NewReader(body))
	require.NoError(r.t, err)
	req.Header = d.Header
	return req
}

type reply struct {
	status int
	header http.Header
	body   string
}

func (r *rig) do(req *http.Request) reply {
	r.t.Helper()
	resp, err := r.client.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return reply{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

// post signs and sends.
func (r *rig) post(name string, body []byte) reply {
	r.t.Helper()
	return r.do(r.signed(name, body))
}

// records reads the source's raw topic until want records are there, and gives
// all that are.
func (r *rig) records(name string, want int) (records []*kgo.Record) {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.ConsumeTopics(stream.RawTopic(name)))
	require.NoError(r.t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for len(records) < want {
		client.PollFetches(ctx).EachRecord(func(rec *kgo.Record) { records = append(records, rec) })
		require.NoError(r.t, ctx.Err(), "%d of %d records of %s", len(records), want, name)
	}
	return records
}

// written is how many records all raw topics hold.
func (r *rig) written() (n int64) {
	r.t.Helper()
	for _, name := range catalog.Set().Names() {
		n += r.cluster.PartitionInfo(stream.RawTopic(name), 0).HighWatermark
	}
	return n
}

// breakProduce makes the broker answer every Produce by hanging up, until mend.
func (r *rig) breakProduce() (mend func()) {
	broken := make(chan struct{})
	r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-broken:
			return nil, nil, false
		default:
			r.cluster.KeepControl()
			return nil, io.ErrClosedPipe, true
		}
	})
	return sync.OnceFunc(func() { close(broken) })
}

// metric gives a counter's or gauge's value, or a histogram's count; -1 when
// there is none of that name and labels.
func (r *rig) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	require.NoError(r.t, err)
	for _, family := range families {
		if family.GetName() != "throughline_receiver_"+name {
			continue
		}
		for _, m := range family.GetMetric() {
			if hasLabels(m, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return -1
}

// hasLabels: labels are name, value, name, value, …
func hasLabels(m *dto.Metric, labels []string) bool {
	have := map[string]string{}
	for _, l := range m.GetLabel() {
		have[l.GetName()] = l.GetValue()
	}
	for i := 0; i < len(labels); i += 2 {
		if have[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// example is one delivery of each source, from the source's own testdata.
func example(t testing.TB, name string) []byte {
	t.Helper()
	file := map[string]string{
		"stripe": "invoice_paid", "hubspot": "batch_classic", "zendesk": "ticket_created",
		"intercom": "conversation_created_subject", "marketo": "call_webhook", "looker": "json_string", "segment": "track", "salesforce": "changes",
	}[name]
	body, err := os.ReadFile(filepath.Join("..", "..", "..", "pkg", "source", name, "testdata", file+".json"))
	require.NoError(t, err, "an example delivery of %s", name)
	return body
}
