package receiver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// impatient makes an outage show soon.
func impatient(o *Options) { o.Config.PublishTimeout = 200 * time.Millisecond }

func TestWithoutBrokersEachVendorIsToldToComeAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, impatient)
	mend := r.breakProduce()
	defer mend()
	for name, want := range map[string]int{"stripe": 503, "hubspot": 503, "zendesk": 503, "intercom": 429} {
		got := r.post(name, example(t, name))
		require.Equal(t, want, got.status, name)
		if name == "zendesk" {
			require.NotEmpty(t, got.header.Get("Retry-After"))
		}
		require.EqualValues(t, 1, r.metric("rejected_total", "source", name, "reason", "unavailable"), name)
		require.Zero(t, r.metric("deliveries_total", "source", name), name)
		require.Zero(t, r.metric("events_received_total", "source", name), name)
	}
	require.Zero(t, r.written())
	mend()
	require.Eventually(t, func() bool { return r.post("stripe", example(t, "stripe")).status == 200 }, patience, 10*time.Millisecond)
}

func TestAnErrorOfTheBrokersIsNoAcknowledgement(t *testing.T) {
	t.Parallel()
	r := newRig(t, impatient)
	var asked atomic.Bool
	r.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		asked.Store(true)
		const notEnoughReplicas = 19
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				part := kmsg.NewProduceResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, notEnoughReplicas
				answer.Partitions = append(answer.Partitions, part)
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true
	})
	require.Equal(t, 503, r.post("hubspot", example(t, "hubspot")).status)
	require.True(t, asked.Load())
	require.Zero(t, r.written())
}

func TestASpooledOutageSurvivesARestartAndDrainsInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, impatient)
	mend := r.breakProduce()
	const count = 20
	call := func(i int) []byte {
		return fmt.Appendf(nil, `{"leadId":"7","campaignId":"%d","systemDate":"2025-10-09 03:53:19"}`, i)
	}
	for i := range count / 2 {
		got := r.post("marketo", call(i))
		require.Equal(t, 200, got.status, got.body)
	}
	require.EqualValues(t, count/2, r.metric("spool_deliveries", "source", "marketo"))
	require.EqualValues(t, count/2, r.metric("spooled_total", "source", "marketo"))
	require.EqualValues(t, count/2, r.metric("events_received_total", "source", "marketo"))
	r.stop()

	r.start()
	require.EqualValues(t, count/2, r.metric("spool_deliveries", "source", "marketo"))
	for i := count / 2; i < count; i++ {
		require.Equal(t, 200, r.post("marketo", call(i)).status, "what waits does not stop what comes")
	}
	mend()
	require.Eventually(t, func() bool { return r.metric("spool_deliveries", "source", "marketo") == 0 }, patience, 10*time.Millisecond)
	require.Zero(t, r.metric("spool_bytes", "source", "marketo"))

	// At least once: what the client tried during the outage may come as well,
	// but the first coming of each is in order.
	var order []string
	seen := map[string]bool{}
	for _, rec := range r.records("marketo", count) {
		if v := string(rec.Value); !seen[v] {
			seen[v] = true
			order = append(order, v)
		}
	}
	require.Len(t, order, count)
	for i, v := range order {
		require.Equal(t, string(call(i)), v)
	}
	require.Equal(t, 200, r.post("marketo", call(count)).status)
	require.EqualValues(t, count/2, r.metric("spooled_total", "source", "marketo"), "the spool is empty, so it is passed by")
}

// A spool whose oldest entry cannot be published yet holds back what comes
// after it, though the brokers would take that.
func TestNothingOvertakesTheSpool(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	waiting := r.receiver.spools["marketo"]
	require.NoError(t, waiting.Append([]*kgo.Record{{Topic: "raw.not-yet", Value: []byte("first")}}))
	require.Equal(t, 200, r.post("marketo", example(t, "marketo")).status)
	require.EqualValues(t, 1, r.metric("spooled_total", "source", "marketo"))
	require.Zero(t, r.written())
	require.Equal(t, 200, r.post("looker", example(t, "looker")).status, "another source's spool is another queue")
	require.EqualValues(t, 1, r.written())

	_, err := kadm.NewClient(r.receiver.client).CreateTopic(t.Context(), 1, 1, nil, "raw.not-yet")
	require.NoError(t, err)
	require.Len(t, r.records("marketo", 1), 1)
	require.Eventually(t, func() bool { return !waiting.Engaged() }, patience, time.Millisecond)
}

// The client goes on holding what it could not write in time: its bytes must
// not become the next request's.
func TestWhatTheClientHoldsIsNotReused(t *testing.T) {
	t.Parallel()
	r := newRig(t, impatient)
	mend := r.breakProduce()
	first, second := []byte(`{"leadId":"7","campaignId":"1"}`), []byte(`{"leadId":"7","campaignId":"2"}`)
	require.Equal(t, 200, r.post("marketo", first).status)
	for range 20 {
		require.Equal(t, 200, r.post("marketo", second).status)
	}
	mend()
	require.Eventually(t, func() bool { return r.metric("spool_deliveries", "source", "marketo") == 0 }, patience, 10*time.Millisecond)
	seconds := 0
	for _, rec := range r.records("marketo", int(r.written())) {
		if bytes.Equal(rec.Value, second) {
			seconds++
			continue
		}
		require.Equal(t, string(first), string(rec.Value))
	}
	require.Equal(t, 20, seconds)
}

func TestAFullSpoolIsATransientReply(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		impatient(o)
		o.Config.SpoolBytes = 2000
	})
	defer r.breakProduce()()
	body := []byte(`{"leadId":"7","note":"` + strings.Repeat("x", 1200) + `"}`)
	require.Equal(t, 200, r.post("marketo", body).status)
	require.Equal(t, 503, r.post("marketo", body).status)
	require.EqualValues(t, 1, r.metric("rejected_total", "source", "marketo", "reason", "unavailable"))
	report := fmt.Sprint(r.options.Runtime.Health.Report(t.Context()))
	require.Contains(t, report, "is full (2000 bytes)", "readiness knows that deliveries are lost")
	require.Contains(t, report, "THROUGHLINE_SPOOL_BYTES")
}

// holdProduce makes the broker answer no Produce until let.
func (r *rig) holdProduce() (let func()) {
	held := make(chan struct{})
	r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		r.cluster.SleepControl(func() { <-held })
		return nil, nil, false
	})
	return sync.OnceFunc(func() { close(held) })
}

// What is verified has bounds of its own: beyond them vendors are told to come
// again, those that never do are spooled, and readiness says so.
func TestVerifiedLoadBeyondTheBounds(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*Config){
		"requests": func(c *Config) { c.MaxInFlight = 1 },
		"bytes":    func(c *Config) { c.MaxInFlightBytes = 8<<20 + smallBody },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *Options) { change(&o.Config) })
			health := r.options.Runtime.Health
			require.Eventually(t, func() bool { return health.Report(t.Context()).Ready }, patience, time.Millisecond)
			let := r.holdProduce()
			defer let()
			large := fmt.Appendf(nil, `{"id":"evt_1","object":"event","type":"invoice.paid","created":1760000000,"data":{"object":{"note":"%s"}}}`, strings.Repeat("x", 1_000_000))
			answered := make(chan reply, 12)
			for range cap(answered) {
				req := r.signed("stripe", large)
				go func() { answered <- r.do(req) }()
			}
			require.Eventually(t, func() bool { return r.metric("rejected_total", "source", "stripe", "reason", "overloaded") > 0 }, patience, time.Millisecond)
			require.False(t, health.Report(t.Context()).Ready, "readiness knows overload")
			require.Equal(t, 200, r.post("marketo", fmt.Appendf(nil, `{"leadId":"7","note":"%s"}`, strings.Repeat("x", 600_000))).status, "it never comes again, so it is spooled")
			require.EqualValues(t, 1, r.metric("spooled_total", "source", "marketo"))
			let()
			var statuses []int
			for range cap(answered) {
				statuses = append(statuses, (<-answered).status)
			}
			require.Contains(t, statuses, 200)
			require.Contains(t, statuses, 503)
			require.Equal(t, 200, r.post("stripe", example(t, "stripe")).status)
			require.Zero(t, r.metric("in_flight_bytes"))
		})
	}
}

func TestASlowClientIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Config.ReadTimeout = 200 * time.Millisecond })
	for what, sent := range map[string]string{
		"header": "POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\n",
		"body":   "POST /webhooks/intercom HTTP/1.1\r\nHost: x\r\nX-Hub-Signature: sha1=0123456789012345678901234567890123456789\r\nContent-Length: 100\r\n\r\n{",
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.receiver.Addr())
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, sent)
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
		got, err := io.ReadAll(bufio.NewReader(conn))
		require.NoError(t, err, "the server keeps a slow %s open", what)
		if what == "body" {
			require.Contains(t, string(got), "429")
		}
	}
	require.EqualValues(t, 1, r.metric("rejected_total", "source", "intercom", "reason", "incomplete"))
}

func TestAClientThatGoesAwayHarmsNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for range 20 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.receiver.Addr())
		require.NoError(t, err)
		_, err = io.WriteString(conn, "POST /webhooks/intercom HTTP/1.1\r\nHost: x\r\nX-Hub-Signature: sha1=0123456789012345678901234567890123456789\r\nContent-Length: 100\r\n\r\n{")
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	require.Eventually(t, func() bool {
		return r.metric("rejected_total", "source", "intercom", "reason", "incomplete") == 20
	}, patience, time.Millisecond)
	require.Equal(t, 200, r.post("stripe", example(t, "stripe")).status)
	require.Zero(t, r.metric("in_flight_bytes"))
}

// numbered is a Stripe event of its own for each n.
func numbered(n int) []byte {
	return fmt.Appendf(nil, `{"id":"evt_%d","object":"event","type":"invoice.paid","created":1760000000,"data":{"object":{"object":"invoice","customer":"cus_%d","pad":"%s"}}}`,
		n, n%7, strings.Repeat("x", n%20_000))
}

// sender posts events one after the other until stopped, on its own numbers,
// and notes those that were answered 200.
func (r *rig) sender(ctx context.Context, from int, acked *sync.Map) error {
	for n := from; ctx.Err() == nil; n++ {
		body := numbered(n)
		resp, err := r.client.Do(r.signed("stripe", body))
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode == http.StatusOK {
			acked.Store(string(body), true)
		}
	}
	return nil
}

func (r *rig) requireWritten(acked *sync.Map) (count int) {
	r.t.Helper()
	written := map[string]bool{}
	for _, rec := range r.records("stripe", int(r.cluster.PartitionInfo("raw.stripe", 0).HighWatermark)) {
		written[string(rec.Value)] = true
	}
	acked.Range(func(body, _ any) bool {
		require.True(r.t, written[body.(string)], "lost after a 2xx: %.60s", body)
		count++
		return true
	})
	return count
}

func TestConcurrentLoadThroughHiccups(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var tries atomic.Int64
	r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		return nil, io.ErrClosedPipe, tries.Add(1)%20 == 0
	})
	ctx, cancel := context.WithCancel(t.Context())
	var acked sync.Map
	var senders sync.WaitGroup
	for i := range 16 {
		senders.Go(func() {
			if err := r.sender(ctx, i*100_000, &acked); err != nil {
				t.Error(err)
			}
		})
	}
	require.Eventually(t, func() bool { return r.metric("deliveries_total", "source", "stripe") >= 2000 }, patience, 10*time.Millisecond)
	cancel()
	senders.Wait()
	require.GreaterOrEqual(t, r.requireWritten(&acked), 2000)
}

func TestAStopUnderLoadLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var acked sync.Map
	var senders sync.WaitGroup
	for i := range 16 {
		// Its error is the server's going away.
		senders.Go(func() { _ = r.sender(ctx, i*100_000, &acked) })
	}
	require.Eventually(t, func() bool { return r.metric("deliveries_total", "source", "stripe") >= 500 }, patience, 10*time.Millisecond)
	r.stop()
	senders.Wait()
	require.GreaterOrEqual(t, r.requireWritten(&acked), 500)
	require.Error(t, r.receiver.spools["marketo"].Append(nil), "the spool is closed")
}

func TestReadinessGoesBeforeTheServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	health := r.options.Runtime.Health
	require.Eventually(t, func() bool { return health.Report(t.Context()).Ready }, patience, time.Millisecond)
	held, began := io.Pipe()
	body := example(t, "stripe")
	req := r.signed("stripe", body)
	req.Body, req.ContentLength = held, int64(len(body))
	answered := make(chan reply, 1)
	go func() { answered <- r.do(req) }()
	_, err := began.Write(body[:1])
	require.NoError(t, err)
	require.Eventually(t, func() bool { return r.metric("in_flight_requests") == 1 }, patience, time.Millisecond)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	require.Eventually(t, func() bool { return !health.Report(t.Context()).Ready }, patience, time.Millisecond)
	_, err = began.Write(body[1:])
	require.NoError(t, err)
	require.NoError(t, began.Close())
	require.Equal(t, 200, (<-answered).status, "what is in flight is answered")
	<-stopped
	require.EqualValues(t, 1, r.written())
}

// A delivery of several parts is acknowledged only when the last one is.
func TestALargeDeliveryIsAcknowledgedWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.Config.PublishTimeout = 3 * time.Second // enough for the first part
		o.Config.SpoolBytes = 1                   // so that what the brokers do not take is refused
	})
	var taken, refused atomic.Int64
	r.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		if taken.Load() == batchRecords { // the first part is there
			refused.Add(1)
			return nil, io.ErrClosedPipe, true
		}
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, partition := range topic.Partitions {
				var b kmsg.RecordBatch
				if b.ReadFrom(partition.Records) == nil {
					taken.Add(int64(b.NumRecords))
				}
			}
		}
		return nil, nil, false
	})
	rows := make([]string, batchRecords+1)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"account.id":"%d","events.count":%d,"events.date":"2025-10-09"}`, i, i)
	}
	got := r.post("looker", []byte("["+strings.Join(rows, ",")+"]"))
	require.Equal(t, 503, got.status, got.body)
	require.Positive(t, refused.Load())
	require.EqualValues(t, batchRecords, r.written())
	require.Zero(t, r.metric("deliveries_total", "source", "looker"))
}

// Brokers that take connections and answer nothing, as frozen ones do, do not keep a receiver from listening: the
// deliveries of vendors that never send twice are safe on its disk.
func TestFrozenBrokersAtTheStart(t *testing.T) {
	t.Parallel()
	broker := streamtest.Frozen(t)
	r := newRig(t, impatient)
	r.stop()
	r.options.Kafka.Brokers = []string{broker.Addr()}
	r.start()
	require.True(t, broker.Waits(t), "it listens before the client has given up")
	require.Equal(t, http.StatusOK, r.post("looker", example(t, "looker")).status)
	require.EqualValues(t, 1, r.metric("spool_deliveries", "source", "looker"))
}
