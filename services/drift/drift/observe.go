package drift

import (
	"cmp"
	"runtime"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/shape"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// learned is what is in memory of one source. One goroutine uses it at a time.
type learned struct {
	source string
	doc    rawjson.Doc
	types  map[postgres.PayloadType]*held
	names  map[string]bool // event types that are told apart

	// Of the batch.
	touched []postgres.PayloadType
	events  []observed
	unread  int
	newest  postgres.PayloadType // of the newest event, and what is held of it
	held    *held
}

// observed is an event of a batch. Few of them are ever asked for their id.
type observed struct {
	id  string // of a page's event; of a record that is one itself it is read when it is needed
	rec *kgo.Record
}

// begin forgets the batch.
func (l *learned) begin() {
	clear(l.events) // records are let go of
	l.touched, l.events, l.unread, l.held = nil, l.events[:0], 0, nil
}

func partitionsOf(batch []*kgo.Record) (all []postgres.Partition) {
	seen := map[postgres.Partition]bool{}
	for run := range runs(batch) {
		if p := (postgres.Partition{Topic: run[0].Topic, ID: run[0].Partition}); !seen[p] {
			seen[p] = true
			all = append(all, p)
		}
	}
	return all
}

// runs gives the records of a batch that follow each other and are of one partition,
// as they mostly come.
func runs(batch []*kgo.Record) func(yield func([]*kgo.Record) bool) {
	return func(yield func([]*kgo.Record) bool) {
		for from, i := 0, 1; from < len(batch); i++ {
			if i < len(batch) && batch[i].Topic == batch[from].Topic && batch[i].Partition == batch[from].Partition {
				continue
			}
			if !yield(batch[from:i]) {
				return
			}
			from = i
		}
	}
}

// share is what a batch has of one source.
type share struct {
	source  string
	records []*kgo.Record // that are still to be read
	busy    bool          // a goroutine reads some of them
}

// sharesOf gives the records of a batch that are not counted yet, by source, and how
// far they bring their partitions.
func sharesOf(batch []*kgo.Record, progress map[postgres.Partition]postgres.RawProgress) ([]*share, map[postgres.Partition]postgres.RawProgress) {
	next := map[postgres.Partition]postgres.RawProgress{}
	bySource := map[string]*share{}
	var shares []*share
	for run := range runs(batch) {
		p := postgres.Partition{Topic: run[0].Topic, ID: run[0].Partition}
		name, _ := stream.SourceOfTopic(p.Topic)
		s := bySource[name]
		if s == nil {
			s = &share{source: name}
			bySource[name], shares = s, append(shares, s)
		}
		counted := progress[p]
		for _, rec := range run {
			if !counted.Counted(rec.Offset, rec.Timestamp) {
				s.records = append(s.records, rec)
				next[p] = postgres.RawProgress{Next: rec.Offset + 1, Newest: rec.Timestamp}
			}
		}
	}
	return shares, next
}

// pieceRecords is how many records of a source are read before others may have their turn.
const pieceRecords = 256

// inPieces calls read with the records of all shares: of each in their order and one
// call at a time, of several side by side. What has most left comes first, so that all
// processors are busy to the end.
func inPieces(shares []*share, read func(source string, piece []*kgo.Record)) {
	var mu sync.Mutex
	work := func() {
		mu.Lock()
		defer mu.Unlock()
		for {
			var most *share
			for _, s := range shares {
				if n := len(s.records); n > 0 && !s.busy && (most == nil || n > len(most.records)) {
					most = s
				}
			}
			if most == nil { // whoever reads the others reads them to their end
				return
			}
			n := min(pieceRecords, len(most.records))
			piece := most.records[:n]
			most.records, most.busy = most.records[n:], true
			mu.Unlock()
			read(most.source, piece)
			mu.Lock()
			most.busy = false
		}
	}
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(shares)) - 1 {
		group.Go(work)
	}
	work() // the caller takes part
	group.Wait()
}

// observe adds what of a batch is not counted yet to the shapes: sources side by side,
// since nothing in memory is of two, and the events of each in the order of the
// batch.
func (d *Drift) observe(batch []*kgo.Record, progress map[postgres.Partition]postgres.RawProgress, c *counts) ([]postgres.PayloadType, map[postgres.Partition]postgres.RawProgress) {
	shares, next := sharesOf(batch, progress)
	c.again = int64(len(batch))
	for _, l := range d.sources {
		l.begin() // a batch before may have failed
	}
	for _, s := range shares {
		d.source(s.source) // makes it, while nothing else looks for any
		c.again -= int64(len(s.records))
	}
	inPieces(shares, func(name string, piece []*kgo.Record) {
		l := d.sources[name]
		if src, ok := d.deps.Sources.Find(name); ok {
			for _, rec := range piece {
				d.observeRecord(l, src, rec)
			}
		}
	})
	var types []postgres.PayloadType
	for _, l := range d.sources {
		types = append(types, l.touched...)
	}
	return types, next
}

// observeRecord adds the events of a record. What no source can read is a dead letter,
// and nothing to learn from.
func (d *Drift) observeRecord(l *learned, src source.Source, rec *kgo.Record) {
	if rec.Value == nil {
		return
	}
	mode, tenant := stream.ReadOrigin(rec)
	if mode == source.ModeReplay { // a release was counted when it came first
		return
	}
	top, err := l.doc.ParseBody(rec.Value, 0)
	if err != nil {
		l.unread++
		return
	}
	if elements, isPage := source.Page(src, top); isPage {
		raw := d.readRaw(rec)
		for _, e := range elements.Elements() {
			if ev, err := keyed(src, raw, rec, e); err != nil || ev.Test {
				l.unread++
			} else {
				d.add(l, ev.Type, mode, observed{ev.ID, rec}, e)
			}
		}
		return
	}
	record := source.Record{Value: rec.Value, Object: top, Mode: mode, Tenant: cmp.Or(tenant, d.options.Tenants[src.Name()]), ReceivedAt: rec.Timestamp}
	eventType, test, err := source.Typed(src, record)
	if err != nil { // a receiver's clock may be ahead of the broker's
		if raw := d.readRaw(rec); raw.ReceivedAt.After(record.ReceivedAt) {
			record.ReceivedAt = raw.ReceivedAt
			eventType, test, err = source.Typed(src, record)
		}
	}
	if err != nil || test {
		l.unread++
		return
	}
	d.add(l, eventType, mode, observed{"", rec}, top)
}

// add counts an event.
func (d *Drift) add(l *learned, eventType string, mode source.Mode, o observed, object rawjson.Value) {
	t := postgres.PayloadType{Source: l.source, EventType: eventType, Pulled: mode != source.ModeWebhook}
	if l.held == nil || l.newest != t {
		l.newest, l.held = t, d.touch(l, t)
	}
	l.held.shape.Observe(object, o.rec.Timestamp, int32(len(l.events)))
	l.events = append(l.events, o)
}

func (d *Drift) readRaw(rec *kgo.Record) stream.Raw {
	raw := stream.ReadRaw(rec)
	raw.Tenant, raw.Brief = cmp.Or(raw.Tenant, d.options.Tenants[raw.Source]), true
	return raw
}

// keyed asks the source for an event of a record, as the normalizer does.
func keyed(src source.Source, raw stream.Raw, rec *kgo.Record, object rawjson.Value) (source.Event, error) {
	record := raw.Record
	record.Value, record.Object = object.Bytes(), object
	_, ev, err := source.Keyed(src, record)
	if err != nil && record.ReceivedAt.Before(rec.Timestamp) {
		record.ReceivedAt = rec.Timestamp.UTC()
		_, ev, err = source.Keyed(src, record)
	}
	return ev, err
}

// others is the type of events whose type is one too many.
const others = "*"

// touch gives a type of the batch.
func (d *Drift) touch(l *learned, t postgres.PayloadType) *held {
	h := l.types[t]
	if h == nil {
		if !l.names[t.EventType] {
			if len(l.names) >= d.options.Tuning.MaxTypes {
				t.EventType = others
			}
			l.names[t.EventType] = true
		}
		if h = l.types[t]; h == nil {
			h = &held{shape: shape.New(shape.Limits{Paths: d.options.Tuning.MaxPaths})}
			l.types[t] = h
		}
	}
	if h.batch != d.batch {
		h.batch = d.batch
		l.touched = append(l.touched, t)
	}
	return h
}
