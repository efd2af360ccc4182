package replay

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/time/rate"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

const (
	// batchRecords is how many records are published at once, and how many a crash publishes twice.
	batchRecords = 500
	// batchBytes is about how much of them, which is less than a client holds.
	batchBytes = 16 << 20
	// patience is how long the brokers may be silent.
	patience = time.Minute
	// mostUnfit bounds Replay.Unfit.
	mostUnfit = 1000
)

// pass is one reading of what is left of a replay.
type pass struct {
	o         Options
	r         *Replay
	seen      seen
	publisher *stream.Publisher
	pages     *stream.Publisher
	limit     *rate.Limiter
	most      int // records at once
}

// each reads what is left, and unless o.Pool is nil publishes it.
func each(ctx context.Context, o Options, r *Replay) error {
	pages, err := stream.NewClient(o.Kafka, stream.Deps{Name: "replay-pages"}, stream.WholePages()...)
	if err != nil {
		return err
	}
	defer pages.Close()
	p := &pass{o: o, r: r, seen: seen{}, publisher: stream.NewPublisher(o.Client), pages: stream.NewPublisher(pages), limit: rate.NewLimiter(rate.Inf, batchRecords), most: batchRecords}
	if o.Rate > 0 {
		p.most = min(batchRecords, o.Rate)
		p.limit = rate.NewLimiter(rate.Limit(o.Rate), p.most)
	}
	if err := r.passGone(ctx, o.Client); err != nil {
		return err
	}
	for r.Left() > 0 {
		if err := p.session(ctx); err != nil {
			return err
		}
	}
	return nil
}

// session reads with one client, which does not get past a batch that nobody can read.
func (p *pass) session(ctx context.Context) error {
	offsets := map[int32]kgo.Offset{}
	for partition, at := range p.r.Places {
		if at.Next < at.End {
			offsets[partition] = kgo.NewOffset().At(at.Next)
		}
	}
	// The markers of transactions have offsets, too.
	reader, err := stream.NewClient(p.o.Kafka, stream.Deps{Name: "replay"}, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{p.r.Topic: offsets}), kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(16<<20), kgo.FetchMaxPartitionBytes(4<<20), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer reader.Close()
	for p.r.Left() > 0 {
		polling, cancel := context.WithTimeout(ctx, patience)
		fetches := reader.PollRecords(polling, p.most)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		unread, err := stream.FetchErrors(fetches)
		if errors.Is(err, context.DeadlineExceeded) {
			// Nothing comes: the rest may have been deleted.
			before := len(p.r.Gone)
			if err := p.r.passGone(ctx, p.o.Client); err != nil {
				return err
			}
			if len(p.r.Gone) > before {
				continue
			}
		}
		if err != nil {
			return stream.Classify(fmt.Errorf("reading %s: %w", p.r.Topic, err))
		}
		fetches.EachPartition(p.r.fetched)
		if err := p.publish(ctx, p.take(fetches.Records())); err != nil {
			return err
		}
		for _, rec := range unread {
			before := p.r.Places[rec.Partition].Next
			if p.r.at(rec); p.r.Places[rec.Partition].Next > before {
				p.r.unfit(rec, stream.Unreadable(rec))
			}
		}
		if err := p.note(ctx); err != nil || len(unread) > 0 {
			return err
		}
	}
	return nil
}

// take goes on behind records, and gives those of them that are to be published.
func (p *pass) take(records []*kgo.Record) (again []*kgo.Record) {
	for _, rec := range records {
		if !p.r.at(rec) || rec.Attrs.IsControl() || rec.Value == nil {
			continue
		}
		p.r.Read++
		switch {
		case p.seen.isCopy(rec):
			p.r.Copies++
		case wanted(p.o.Source, p.r.Types, rec):
			again = append(again, rec)
		}
	}
	return again
}

// publish publishes records once more, in their order but for pages.
func (p *pass) publish(ctx context.Context, records []*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	if p.o.Pool == nil {
		p.r.Published += int64(len(records))
		return nil
	}
	if err := p.limit.WaitN(ctx, len(records)); err != nil {
		return fmt.Errorf("keeping to the rate: %w", err)
	}
	var batch []*kgo.Record
	size := 0
	flush := func() error {
		if err := p.publisher.Publish(ctx, batch...); err != nil {
			return fmt.Errorf("publishing to %s again: %w", p.r.Topic, err)
		}
		p.r.Published += int64(len(batch))
		batch, size = nil, 0
		return nil
	}
	for _, rec := range records {
		copied := onceMore(rec)
		if !stream.FitsBatch(copied) {
			err := p.pages.Publish(ctx, copied)
			switch {
			case err == nil:
				p.r.Published++
			case fault.IsPermanent(err):
				p.r.unfit(rec, err)
			default:
				return fmt.Errorf("publishing to %s again: %w", p.r.Topic, err)
			}
			continue
		}
		if size += len(rec.Value); size > batchBytes {
			if err := flush(); err != nil {
				return err
			}
			size = len(rec.Value)
		}
		batch = append(batch, copied)
	}
	return flush()
}

// note keeps how far the replay is.
func (p *pass) note(ctx context.Context) error {
	if p.o.Pool != nil {
		places, err := json.Marshal(p.r.Places)
		if err != nil {
			return fmt.Errorf("describing the replay: %w", err)
		}
		if _, err := p.o.Pool.Exec(ctx, "UPDATE replays SET places = $2, read = $3, published = $4, updated_at = now() WHERE id = $1", p.r.ID, string(places), p.r.Read, p.r.Published); err != nil {
			return broken("noting the replay's progress", err)
		}
	}
	if p.o.Progress != nil {
		p.o.Progress(*p.r)
	}
	return nil
}

// at goes on behind a record, and reports whether it is of what is left.
func (r *Replay) at(rec *kgo.Record) bool {
	p := r.Places[rec.Partition]
	is := rec.Offset >= p.Next && rec.Offset < p.End
	if is {
		p.Next = rec.Offset + 1
	} else {
		p.Next = max(p.Next, min(rec.Offset, p.End)) // behind the end, or what retention took
	}
	r.Places[rec.Partition] = p
	return is
}

func (r *Replay) unfit(rec *kgo.Record, why error) {
	if len(r.Unfit) < mostUnfit {
		r.Unfit = append(r.Unfit, Unfit{rec.Partition, rec.Offset, why})
	}
}

// seen are digests of the records that were read, up to mostSeen.
type seen map[[16]byte]struct{}

// mostSeen bounds the memory, at about 150 MB.
const mostSeen = 4 << 20

// isCopy reports whether a record is what an earlier replay or a release published again of one that was read before it.
// Its headers alone prove nothing, since anybody may write them. A copy that is not known for one, because it came in
// another partition or behind too many others, is published: the timeline has its event once.
func (s seen) isCopy(rec *kgo.Record) bool {
	raw := stream.ReadRaw(rec)
	hash := sha256.New()
	var length [8]byte
	for _, part := range [][]byte{rec.Key, []byte(raw.Tenant), rec.Value} {
		hash.Write(binary.BigEndian.AppendUint64(length[:0], uint64(len(part))))
		hash.Write(part)
	}
	digest := [16]byte(hash.Sum(nil))
	if raw.Mode == source.ModeReplay {
		if _, known := s[digest]; known {
			return true
		}
	}
	if len(s) < mostSeen {
		s[digest] = struct{}{}
	}
	return false
}

// wanted reports whether a record is, or as a page has, an event of the types. What cannot be read is wanted.
func wanted(src source.Source, types []string, rec *kgo.Record) bool {
	if len(types) == 0 {
		return true
	}
	raw := stream.ReadRaw(rec)
	var doc rawjson.Doc
	top, err := doc.ParseBody(rec.Value, 0)
	if err != nil {
		return true
	}
	if elements, isPage := source.Page(src, top); isPage {
		for _, e := range elements.Elements() {
			one := raw.Record
			one.Value, one.Object = e.Bytes(), e
			if _, event, err := source.Keyed(src, one); err != nil || slices.Contains(types, event.Type) {
				return true
			}
		}
		return false
	}
	raw.Record.Object = top
	_, event, err := source.Keyed(src, raw.Record)
	return err != nil || slices.Contains(types, event.Type)
}

// onceMore is the record as it was, with the time at which it was received: where its headers do not say it, the brokers'.
func onceMore(rec *kgo.Record) *kgo.Record {
	again := &kgo.Record{Topic: rec.Topic, Key: rec.Key, Value: rec.Value}
	received := stream.ReadRaw(rec).ReceivedAt
	for _, h := range rec.Headers {
		if h.Key != stream.HeaderReceivedAt && h.Key != stream.HeaderDelivery {
			again.Headers = append(again.Headers, h)
		}
	}
	again.Headers = append(again.Headers, kgo.RecordHeader{Key: stream.HeaderReceivedAt, Value: received.AppendFormat(nil, time.RFC3339Nano)},
		kgo.RecordHeader{Key: stream.HeaderDelivery, Value: []byte(source.ModeReplay)})
	return again
}
