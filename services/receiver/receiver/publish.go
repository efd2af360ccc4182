package receiver

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/receiver/spool"
)

// A delivery is published whole, unless it is beyond these bounds (a Looker
// report of thousands of rows): then in parts, one after the other, so that it
// takes neither the client's whole buffer nor memory for all its records.
const (
	partRecords = 2000
	partBytes   = 4 << 20
)

// publisher puts parts of deliveries where they cannot be lost.
type publisher struct {
	kafka     *stream.Publisher
	deadlines *deadlines
	spool     *spool.Spool // nil for a source whose vendor retries
	outage    *atomic.Bool // shared by all doors: the brokers are the same
	log       *zap.Logger
}

// published is what became of a delivery.
type published struct {
	events int // that are safe: all of the delivery's, or none
	// held: the client may still hold the records, which alias the body.
	held bool
}

// publish makes a delivery's events safe, all of them, or says why not. Then
// some may be written all the same; the timeline knows duplicates.
func (d *door) publish(s *splitting) (published, *refused) {
	// Split to its end before anything is written: its error refuses all.
	if err := s.run(); err != nil {
		return published{}, refusePermanent(err)
	}
	if s.total == 0 {
		return published{}, nil // a ping: nothing to keep
	}
	ctx := d.publisher.deadlines.context(time.Now())
	out := published{}
	var err error
	if len(s.part) == s.total {
		out.held, err = d.put(ctx, s.part)
	} else {
		out.held, err = d.putParts(ctx, &s.delivery, s.traceparent)
	}
	if err != nil {
		return out, d.unpublished(err)
	}
	out.events = s.total
	return out, nil
}

// putParts splits a large delivery, which firstPart has found good, once more.
func (d *door) putParts(ctx context.Context, delivery *source.Delivery, traceparent string) (held bool, err error) {
	var part []*kgo.Record
	size := 0
	put := func() error {
		partHeld, err := d.put(ctx, part)
		held = held || partHeld
		part, size = nil, 0 // not [:0]: the client may still hold the records
		return err
	}
	for p, err := range d.src.Split(delivery) {
		if err != nil {
			return held, err
		}
		r := d.raw(p, delivery.ReceivedAt)
		if len(part) > 0 && (len(part) >= partRecords || size+len(r.Value) > partBytes) {
			if err := put(); err != nil {
				return held, err
			}
		}
		part = append(part, d.maker.Record(r, traceparent))
		size += len(r.Value)
	}
	err = put()
	return held, err
}

func checkRecord(r source.Part, before int) error {
	if len(r.Value) <= source.MaxRecordBytes {
		return nil
	}
	return fault.Permanent(fault.Oversized, fmt.Errorf("event %d of the delivery has %d bytes, the bound is %d", before+1, len(r.Value), source.MaxRecordBytes))
}

// raw makes the raw record of a part: with the key of its event, and the door's
// tenant if the delivery names none. What cannot be described has no key; the
// normalizer says why.
func (d *door) raw(p source.Part, at time.Time) source.Record {
	r := source.Record{Value: p.Value, Object: p.Object, Tenant: p.Tenant, Mode: source.ModeWebhook, ReceivedAt: at}
	if r.Tenant == "" {
		r.Tenant = d.tenant
	}
	r, _, _ = source.Keyed(d.src, r)
	return r
}

// put returns nil once the records are acknowledged or, for a vendor that never
// retries, on disk.
func (d *door) put(ctx context.Context, records []*kgo.Record) (held bool, err error) {
	p := d.publisher
	if p.spool != nil && p.spool.Engaged() {
		// Behind what waits already: the order in which they came stays.
		return false, d.putAside(records)
	}
	err = p.kafka.Publish(ctx, records...)
	p.note(err)
	switch {
	case err == nil:
		return false, nil
	case p.spool == nil, fault.IsPermanent(err):
		return true, err
	default:
		return true, d.putAside(records)
	}
}

func (d *door) putAside(records []*kgo.Record) error {
	if err := d.publisher.spool.Append(records); err != nil {
		return err
	}
	d.metrics.spooled.Inc()
	return nil
}

func (d *door) unpublished(err error) *refused {
	if fault.IsPermanent(err) {
		return refusePermanent(err)
	}
	return refuse(unavailable, err)
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
			p.log.Warn("the brokers do not acknowledge: vendors are told to come again, or their deliveries are put on disk", zap.Error(err))
		}
	}
}
