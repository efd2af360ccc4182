package stream

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// LoopMetrics are the metrics that every consuming stage has. All loops of a
// stage share one.
type LoopMetrics struct {
	records prometheus.Counter
	batch   prometheus.Histogram
	seconds prometheus.Histogram
	retries prometheus.Counter
	held    prometheus.Gauge
	lag     *prometheus.GaugeVec
	deleted *prometheus.CounterVec
}

// NewLoopMetrics makes and registers the metrics throughline_<stage>_….
func NewLoopMetrics(reg prometheus.Registerer, stage string) *LoopMetrics {
	name := func(s string) string { return "throughline_" + stage + "_" + s }
	m := &LoopMetrics{
		records: prometheus.NewCounter(prometheus.CounterOpts{Name: name("records_total"), Help: "Records that went through, replays of a batch not counted."}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Name: name("batch_records"), Help: "Records in a batch.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8)}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: name("batch_seconds"), Help: "Time from a batch's last record polled to its offsets committed.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 11)}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{Name: name("batch_retries_total"), Help: "Times that a batch was tried again after a transient failure."}),
		held:    prometheus.NewGauge(prometheus.GaugeOpts{Name: name("held_partitions"), Help: "Partitions whose records cannot be written, while others' can."}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name("consumer_lag_records"),
			Help: "Offsets between the newest batch and the end of its partition."}, []string{"topic", "partition"}),
		deleted: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("deleted_unread_total"),
			Help: "Offsets that the brokers deleted before this stage had read them: retention was shorter than the stage was behind."}, []string{"topic"}),
	}
	if reg != nil {
		reg.MustRegister(m.records, m.batch, m.seconds, m.retries, m.held, m.lag, m.deleted)
	}
	return m
}

// Progress says since when a loop has been at one batch, for a readiness check:
// a database that neither answers nor fails shows in nothing else. The zero value
// is ready to use; it is safe for concurrent use.
type Progress struct{ since atomic.Pointer[time.Time] }

// Busy gives for how long the batch under way has been under way; 0: none is.
func (p *Progress) Busy() time.Duration {
	if since := p.since.Load(); since != nil {
		return time.Since(*since)
	}
	return 0
}

func (p *Progress) begin() (since time.Time) {
	since = time.Now()
	p.since.Store(&since)
	return since
}

func (p *Progress) end() { p.since.Store(nil) }

type topicPartition struct {
	topic     string
	partition int32
}

// lag keeps the lag of the partitions that one consumer has. Rebalances call
// forget while a batch is under way, so it has a lock.
type lag struct {
	gauge *prometheus.GaugeVec

	mu   sync.Mutex
	ends map[topicPartition]int64 // high watermarks as of the newest fetch
}

func newLag(gauge *prometheus.GaugeVec) *lag {
	return &lag{gauge: gauge, ends: map[topicPartition]int64{}}
}

func (l *lag) fetched(p kgo.FetchTopicPartition) {
	if len(p.Records) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends[topicPartition{p.Topic, p.Partition}] = p.HighWatermark
}

// done sets the lag that a batch which went through leaves, of which it is told the newest records.
func (l *lag) done(batch []*kgo.Record) {
	last := map[topicPartition]int64{}
	for _, r := range batch {
		last[topicPartition{r.Topic, r.Partition}] = r.Offset
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for tp, offset := range last {
		if end, ours := l.ends[tp]; ours {
			l.gauge.WithLabelValues(tp.topic, strconv.Itoa(int(tp.partition))).Set(float64(max(0, end-offset-1)))
		}
	}
}

// forget drops the lag of partitions that this consumer no longer has: another
// member tells theirs.
func (l *lag) forget(lost map[string][]int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for topic, partitions := range lost {
		for _, p := range partitions {
			l.drop(topicPartition{topic, p})
		}
	}
}

// forgetAll is forget for a consumer that ends.
func (l *lag) forgetAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for tp := range l.ends {
		l.drop(tp)
	}
}

func (l *lag) drop(tp topicPartition) {
	if _, ours := l.ends[tp]; ours {
		delete(l.ends, tp)
		l.gauge.DeleteLabelValues(tp.topic, strconv.Itoa(int(tp.partition)))
	}
}
