package receiver

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/receiver/spool"
)

// A delivery is published in one batch, unless it is beyond these bounds (a
// Looker report of thousands of rows): then in several, one after the other, so
// that it takes neither the client's whole buffer nor memory for all its records.
const (
	batchRecords = 2000
	batchBytes   = 4 << 20
)

// batch are records of a delivery on their way.
type batch struct {
	publisher *publisher
	deadline  context.Context //nolint:containedctx // it lives as long as the request
	records   []*kgo.Record
	size      int
	// overloaded: it is for the spool, because nothing more may wait for the brokers.
	overloaded bool
	held       bool // the client may still hold records that alias the body
}

func (b *batch) begin(p *publisher, overloaded bool) {
	b.overloaded = overloaded
	b.publisher, b.deadline = p, p.deadlines.context(time.Now())
}

// reset keeps room for records.
func (b *batch) reset() {
	clear(b.records)
	*b = batch{records: b.records[:0]}
}

// add publishes what there is first when the record would not fit.
func (b *batch) add(r *kgo.Record) error {
	if n := len(b.records); n > 0 && (n >= batchRecords || b.size+len(r.Value) > batchBytes) {
		if err := b.flush(); err != nil {
			return err
		}
	}
	b.records = append(b.records, r)
	b.size += len(r.Value)
	return nil
}

// flush returns nil once the records are safe. A batch of none is.
func (b *batch) flush() error {
	held, err := b.publisher.put(b.deadline, b.records, b.overloaded)
	b.held = b.held || held
	clear(b.records) // the client may hold them, but not the slice
	b.records, b.size = b.records[:0], 0
	return err
}

// publisher puts records where they cannot be lost.
type publisher struct {
	kafka     *stream.Publisher
	refuse    func() error // why nobody may write to the topic, or nil
	deadlines *deadlines
	spool     *spool.Spool // nil for a source whose vendor retries
	spooled   prometheus.Counter
	outage    *atomic.Bool // shared by all sources: the brokers are the same
	log       *zap.Logger
}

// put returns nil once the records are acknowledged or, for a vendor that never
// retries, on disk. overloaded: on disk at once. held: the client may still hold
// records that alias the body.
func (p *publisher) put(ctx context.Context, records []*kgo.Record, overloaded bool) (held bool, err error) {
	if len(records) == 0 {
		return false, nil // a ping: nothing to keep
	}
	if p.spool != nil && (overloaded || p.spool.Engaged()) {
		// Behind what waits already: the order in which they came stays.
		return false, p.append(records)
	}
	// What the brokers do not acknowledge stays with the client, up to its bound,
	// and with it the buffer that the body was read into, which may be many times as
	// large. In an outage that is as good as certain, and a copy is next to nothing.
	outage := p.outage.Load()
	if outage {
		detach(records)
	}
	err = p.publish(ctx, records...)
	p.note(err)
	switch {
	case err == nil:
		return false, nil
	case p.spool == nil, fault.IsPermanent(err):
		return !outage, err
	default:
		return !outage, p.append(records)
	}
}

// detach gives records bytes of their own, as many as they have.
func detach(records []*kgo.Record) {
	for _, r := range records {
		r.Value = append(make([]byte, 0, len(r.Value)), r.Value...)
	}
}

// publish is stream.Publisher.Publish, but for a topic that loses what it
// acknowledges: then it is Transient.
func (p *publisher) publish(ctx context.Context, records ...*kgo.Record) error {
	if err := p.refuse(); err != nil {
		return err
	}
	return p.kafka.Publish(ctx, records...)
}

func (p *publisher) append(records []*kgo.Record) error {
	if err := p.spool.Append(records); err != nil {
		return err
	}
	p.spooled.Inc()
	return nil
}

// note logs an outage's begin and end, once each.
func (p *publisher) note(err error) {
	switch {
	case err == nil:
		if p.outage.Load() && p.outage.CompareAndSwap(true, false) {
			p.log.Info("the brokers acknowledge again")
		}
	case !fault.IsPermanent(err):
		if p.outage.CompareAndSwap(false, true) {
			p.log.Warn("the brokers do not acknowledge: vendors are told to retry, or their deliveries are spooled", zap.Error(err))
		}
	}
}
