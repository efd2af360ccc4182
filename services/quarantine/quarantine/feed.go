package quarantine

import (
	"context"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Feed takes one batch of dead letters into the quarantine, and then releases those whose account has become known
// meanwhile. A link is missed neither before that look (it sees the link) nor after (the watcher hears of it, and
// the record is there by then). An error is Transient; the batch may come again at will.
func (k *Keeper) Feed(ctx context.Context, batch []*kgo.Record) error {
	letters := make([]quarantine.Letter, 0, len(batch))
	for _, rec := range batch {
		if rec.Value == nil {
			continue // a tombstone says nothing
		}
		l, err := k.letter(ctx, rec)
		if err != nil {
			return err
		}
		letters = append(letters, l)
	}
	put, err := k.store.Put(ctx, letters)
	if err != nil {
		return err
	}
	if err := k.release(ctx, put.Waiting); err != nil {
		return err
	}
	k.metrics.fed(letters, put)
	return nil
}

// letter reads one record of the dead letter topic. What is no dead letter is kept as one: malformed, with its
// bytes, and never released.
func (k *Keeper) letter(ctx context.Context, rec *kgo.Record) (quarantine.Letter, error) {
	l := quarantine.Letter{At: rec.Timestamp}
	err := k.decoder.DeadLetter(ctx, rec.Value, &l.DeadLetter)
	if err != nil && !fault.IsPermanent(err) {
		return l, err
	}
	if err != nil {
		l.DeadLetter = event.DeadLetter{
			Value: rec.Value, Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset, Key: rec.Key,
			Reason: string(fault.Malformed), Error: "not a dead letter: " + err.Error(), FirstSeen: rec.Timestamp, Attempts: 1, RawIndex: -1,
		}
		for _, h := range rec.Headers {
			l.Headers = append(l.Headers, event.Header{Key: h.Key, Value: h.Value})
		}
		return l, nil
	}
	if id, err := strconv.ParseInt(string(headerOf(l.Headers, stream.HeaderQuarantineID)), 10, 64); err == nil && id > 0 {
		l.QuarantineID = id
	}
	if l.Topic == stream.AccountEvents {
		return l, k.unwrap(ctx, &l)
	}
	return l, nil
}

// unwrap turns a letter of the sink, whose value is an account event, back into the raw record that the event was
// made of. (An event that version 1 of the schema wrote has its subject in the payload, and keeps it there.) A value
// that is no account event stays as it is and cannot be released.
func (k *Keeper) unwrap(ctx context.Context, l *quarantine.Letter) error {
	var ev event.AccountEvent
	if err := k.decoder.AccountEvent(ctx, l.Value, &ev); err != nil {
		if fault.IsPermanent(err) {
			l.Source = ""
			return nil
		}
		return err
	}
	l.Value = ev.Payload
	l.Source, l.Tenant, l.Type, l.SourceEventID = ev.Source, ev.Tenant, ev.Type, ev.SourceEventID
	raw := stream.RawRecord(ev.Source, source.Record{Value: l.Value, Tenant: ev.Tenant, Mode: ev.Delivery, ReceivedAt: ev.IngestedAt},
		string(headerOf(l.Headers, stream.HeaderTraceparent)))
	l.Headers = nil
	for _, h := range raw.Headers {
		l.Headers = append(l.Headers, event.Header{Key: h.Key, Value: h.Value})
	}
	l.Key = k.rawKey(l, ev)
	return nil
}

// rawKey gives the key that the event had in its raw topic, as its source makes it.
func (k *Keeper) rawKey(l *quarantine.Letter, ev event.AccountEvent) []byte {
	src, ok := k.sources[l.Source]
	if !ok {
		return []byte(ev.SourceEventID)
	}
	keyed, described, err := source.Keyed(src, source.Record{Value: l.Value, Tenant: ev.Tenant, Mode: ev.Delivery, ReceivedAt: ev.IngestedAt})
	if err != nil {
		return []byte(ev.SourceEventID)
	}
	l.References = described.References
	return keyed.Key
}

func headerOf(headers []event.Header, key string) []byte {
	for i := len(headers) - 1; i >= 0; i-- {
		if headers[i].Key == key {
			return headers[i].Value
		}
	}
	return nil
}

// replayRecord makes the raw record of a released one: its key, bytes and headers, and those that say that and
// what it is a replay of.
func replayRecord(r *quarantine.Replay) *kgo.Record {
	set := []kgo.RecordHeader{
		{Key: stream.HeaderDelivery, Value: []byte(source.ModeReplay)},
		{Key: stream.HeaderQuarantineID, Value: strconv.AppendInt(nil, r.ID, 10)},
		{Key: stream.HeaderAttempts, Value: strconv.AppendInt(nil, int64(r.Attempts), 10)},
		{Key: stream.HeaderFirstSeen, Value: r.FirstSeen.UTC().AppendFormat(nil, time.RFC3339Nano)},
	}
	rec := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		switch h.Key {
		case stream.HeaderDelivery, stream.HeaderQuarantineID, stream.HeaderAttempts, stream.HeaderFirstSeen:
		default:
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	rec.Headers = append(rec.Headers, set...)
	return rec
}
