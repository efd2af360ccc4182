package quarantine

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/deadletter"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Feed takes one batch of dead letters into the quarantine, and then releases those whose account has become known
// meanwhile. A link is missed neither before that look (it sees the link) nor after (the watcher hears of it, and
// the record is there by then). An error is Transient; the batch may come again at will.
func (q *Quarantine) Feed(ctx context.Context, batch []*kgo.Record) error {
	letters := make([]quarantine.Letter, 0, len(batch))
	for _, rec := range batch {
		if rec.Value == nil && stream.Unreadable(rec) == nil {
			continue // a tombstone says nothing
		}
		l, err := q.letter(ctx, rec)
		if err != nil {
			return err
		}
		letters = append(letters, l)
	}
	put, err := postgres.Bound(ctx, postgres.BatchTimeout, func(ctx context.Context) (quarantine.PutResult, error) { return q.store.Put(ctx, letters) })
	if err != nil {
		return err
	}
	if put.HeldOff > 0 {
		q.held.Failed("releasing linked records", fault.Advise(
			fmt.Errorf("%d records that a link released came back without an account and are held off", put.HeldOff),
			"give normalizer and quarantine the same THROUGHLINE_RESOLVE_RULES and THROUGHLINE_FREEMAIL_FILE"), 0)
	}
	settled, err := postgres.Bound(ctx, postgres.BatchTimeout, func(ctx context.Context) (quarantine.Settled, error) { return q.store.SettleStored(ctx, put.Open) })
	if err != nil {
		return err
	}
	if err := q.release(ctx, slices.DeleteFunc(put.Waiting, func(w quarantine.Waiting) bool { return settled.Has(w.ID) })); err != nil {
		return err
	}
	q.metrics.fed(letters, put)
	return nil
}

// letter reads one record of the dead letter topic. What is no dead letter is kept as one: malformed, with its
// bytes, and never released.
func (q *Quarantine) letter(ctx context.Context, rec *kgo.Record) (quarantine.Letter, error) {
	letter, err := deadletter.Read(ctx, q.decoder, rec)
	if err != nil {
		return quarantine.Letter{}, err
	}
	l := quarantine.Letter{DeadLetter: letter, QuarantineID: deadletter.Replay(&letter).QuarantineID, At: rec.Timestamp}
	if l.Topic == q.deps.Kafka.Names().AccountEvents() {
		return l, q.unwrap(ctx, &l)
	}
	return l, nil
}

// unwrap turns a letter of the sink, whose value is an account event, back into the raw record that the event was
// made of. (An event that version 1 of the schema wrote has its subject in the payload, and keeps it there.) A value
// that is no account event stays as it is and cannot be released.
func (q *Quarantine) unwrap(ctx context.Context, l *quarantine.Letter) error {
	var ev event.AccountEvent
	if err := q.decoder.AccountEvent(ctx, l.Value, &ev); err != nil {
		if fault.IsPermanent(err) {
			l.Source = ""
			return nil
		}
		return err
	}
	l.Value = ev.Payload
	l.Source, l.Tenant, l.Type, l.SourceEventID = ev.Source, ev.Tenant, ev.Type, ev.SourceEventID
	raw := stream.RawRecord(ev.Source, source.Record{Value: l.Value, Tenant: ev.Tenant, Mode: ev.Delivery, ReceivedAt: ev.IngestedAt},
		deadletter.Traceparent(&l.DeadLetter))
	l.Headers = deadletter.Headers(raw.Headers)
	l.Key = q.rawKey(l, ev)
	return nil
}

// rereadAtOnce bounds the records that one sweep tries to read once more, and their memory.
const rereadAtOnce = 20

// rereadAll tries once more what could not be read, of both topics that have schemas: they may be known now. Each sweep
// looks at the next few.
func (q *Quarantine) rereadAll(ctx context.Context) error {
	names := q.deps.Kafka.Names()
	for _, topic := range []string{names.AccountEvents(), names.DeadLetters()} {
		if err := q.reread(ctx, topic); err != nil {
			return err
		}
	}
	return nil
}

func (q *Quarantine) reread(ctx context.Context, topic string) error {
	unread, err := q.store.Unread(ctx, topic, q.unread[topic], rereadAtOnce)
	if err != nil {
		return err
	}
	for _, u := range unread {
		l := quarantine.Letter{DeadLetter: u.Letter, At: u.Letter.FirstSeen}
		isLetter := topic == q.deps.Kafka.Names().DeadLetters()
		if isLetter {
			l, err = q.letter(ctx, &kgo.Record{Topic: topic, Partition: l.Partition, Offset: l.Offset, Key: l.Key, Value: l.Value, Timestamp: l.FirstSeen})
		} else {
			err = q.unwrap(ctx, &l)
		}
		if err != nil || l.Topic == topic && l.Source == "" {
			continue // not yet
		}
		if err := q.store.Reread(ctx, u.ID, l, !isLetter); err != nil {
			return err
		}
		wake(q.released)
	}
	if q.unread[topic] = 0; len(unread) == rereadAtOnce {
		q.unread[topic] = unread[len(unread)-1].ID
	}
	return nil
}

// rawKey gives the key that the event had in its raw topic, as its source makes it.
func (q *Quarantine) rawKey(l *quarantine.Letter, ev event.AccountEvent) []byte {
	src, ok := q.deps.Sources.Find(l.Source)
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

// replayRecord makes the raw record of a released one: its key and bytes, its headers written anew, and those that
// say that and what it is a replay of.
func replayRecord(names stream.Names, r *quarantine.Replay) *kgo.Record {
	was := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Timestamp: r.FirstSeen}
	for _, h := range r.Headers {
		was.Headers = append(was.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	raw := stream.ReadRaw(was)
	raw.Mode = source.ModeReplay
	rec := names.RawMaker(raw.Source).Record(raw.Record, raw.Traceparent)
	rec.Headers = append(rec.Headers, stream.Replay{QuarantineID: r.ID, Attempts: r.Attempts, FirstSeen: r.FirstSeen}.Headers()...)
	return rec
}
