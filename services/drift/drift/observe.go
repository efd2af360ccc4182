package drift

import (
	"cmp"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/shape"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

func partitionsOf(batch []*kgo.Record) (all []postgres.Partition) {
	seen := map[postgres.Partition]bool{}
	var last postgres.Partition
	for i, rec := range batch {
		p := postgres.Partition{Topic: rec.Topic, ID: rec.Partition}
		if (i == 0 || p != last) && !seen[p] {
			seen[p] = true
			all = append(all, p)
		}
		last = p
	}
	return all
}

// observe adds what of a batch is not counted yet to the shapes.
func (d *Drift) observe(batch []*kgo.Record, progress map[postgres.Partition]postgres.RawProgress, c *counts) ([]postgres.PayloadType, map[postgres.Partition]postgres.RawProgress) {
	d.events = d.events[:0]
	fresh, next := uncounted(batch, progress)
	c.again = int64(len(batch) - len(fresh))
	var types []postgres.PayloadType
	d.inTurns(sharesOf(fresh), func(e *described) { types = d.add(e, types, c) })
	return types, next
}

// uncounted gives the records of a batch that are not in the shapes, and how far they
// bring their partitions. Records come in runs of one partition.
func uncounted(batch []*kgo.Record, progress map[postgres.Partition]postgres.RawProgress) ([]*kgo.Record, map[postgres.Partition]postgres.RawProgress) {
	fresh, next := make([]*kgo.Record, 0, len(batch)), map[postgres.Partition]postgres.RawProgress{}
	for from := 0; from < len(batch); {
		p := postgres.Partition{Topic: batch[from].Topic, ID: batch[from].Partition}
		counted, begin := progress[p], len(fresh)
		for ; from < len(batch) && batch[from].Topic == p.Topic && batch[from].Partition == p.ID; from++ {
			if rec := batch[from]; !counted.Counted(rec.Offset, rec.Timestamp) {
				fresh = append(fresh, rec)
			}
		}
		if n := len(fresh); n > begin {
			next[p] = postgres.RawProgress{Next: fresh[n-1].Offset + 1, Newest: fresh[n-1].Timestamp}
		}
	}
	return fresh, next
}

// A share is what one goroutine reads at a time: so few records, of so few bytes, that
// what is noted of all of them is small.
const (
	shareRecords = 64
	shareBytes   = 256 << 10
)

func sharesOf(batch []*kgo.Record) (shares [][]*kgo.Record) {
	from, bytes := 0, 0
	for i, rec := range batch {
		if bytes += len(rec.Value); bytes >= shareBytes || i+1-from == shareRecords || i+1 == len(batch) {
			shares = append(shares, batch[from:i+1])
			from, bytes = i+1, 0
		}
	}
	return shares
}

// inTurns reads shares side by side, and gives add their events one after another, in
// the order of the batch: shapes are learned as if one goroutine did all.
func (d *Drift) inTurns(shares [][]*kgo.Record, add func(*described)) {
	turns := make([]chan struct{}, len(shares)+1) // closed when a share's turn has come
	for i := range turns {
		turns[i] = make(chan struct{})
	}
	close(turns[0])
	var taken atomic.Int64
	work := func() {
		var r reader
		for n := int(taken.Add(1)) - 1; n < len(shares); n = int(taken.Add(1)) - 1 {
			d.read(&r, shares[n])
			<-turns[n]
			for i := range r.events {
				add(&r.events[i])
			}
			close(turns[n+1])
		}
	}
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(shares)) - 1 {
		group.Go(work)
	}
	work() // the caller takes part
	group.Wait()
}

// reader holds what was read of a share.
type reader struct {
	docs   []*rawjson.Doc // of its records, by their place
	events []described
}

// described is an event as its source describes it.
type described struct {
	observed
	kind   postgres.PayloadType
	object rawjson.Value
	unread int // it stands for so many that cannot be read, of this source
}

// couldNotRead counts an event that nothing is learned from. A page may hold millions.
func (r *reader) couldNotRead(source string) {
	if n := len(r.events); n > 0 && r.events[n-1].unread > 0 && r.events[n-1].kind.Source == source {
		r.events[n-1].unread++
		return
	}
	r.events = append(r.events, described{kind: postgres.PayloadType{Source: source}, unread: 1})
}

// read reads the events of records. What no source can read is a dead letter, and
// nothing to learn from.
func (d *Drift) read(r *reader, records []*kgo.Record) {
	r.events = r.events[:0]
	for i, rec := range records {
		if i == len(r.docs) {
			r.docs = append(r.docs, new(rawjson.Doc))
		}
		if rec.Value != nil {
			d.readRecord(r, r.docs[i], rec)
		}
	}
}

func (d *Drift) readRecord(r *reader, doc *rawjson.Doc, rec *kgo.Record) {
	raw := stream.ReadRaw(rec)
	src, ok := d.deps.Sources.Find(raw.Source)
	if !ok || raw.Mode == source.ModeReplay { // a release was counted when it came first
		return
	}
	raw.Tenant, raw.Brief = cmp.Or(raw.Tenant, d.options.Tenants[raw.Source]), true
	top, err := doc.ParseBody(rec.Value, 0)
	if err != nil {
		r.couldNotRead(raw.Source)
		return
	}
	if elements, isPage := source.Page(src, top); isPage {
		for _, e := range elements.Elements() {
			r.describe(src, &raw, rec, e)
		}
		return
	}
	r.describe(src, &raw, rec, top)
}

// describe describes one object of a record.
func (r *reader) describe(src source.Source, raw *stream.Raw, rec *kgo.Record, object rawjson.Value) {
	record := raw.Record
	record.Value, record.Object = object.Bytes(), object
	_, ev, err := source.Keyed(src, record)
	if err != nil && record.ReceivedAt.Before(rec.Timestamp) { // as the normalizer does
		record.ReceivedAt = rec.Timestamp.UTC()
		_, ev, err = source.Keyed(src, record)
	}
	if err != nil || ev.Test {
		r.couldNotRead(raw.Source)
		return
	}
	kind := postgres.PayloadType{Source: raw.Source, EventType: ev.Type, Pulled: raw.Mode != source.ModeWebhook}
	r.events = append(r.events, described{observed{ev.ID, rec}, kind, object, 0})
}

// others is the type of events whose type is one too many.
const others = "*"

// add adds an event to its shape, and its type to those of the batch.
func (d *Drift) add(e *described, types []postgres.PayloadType, c *counts) []postgres.PayloadType {
	t := e.kind
	if e.unread > 0 {
		c.unread(t.Source, e.unread)
		return types
	}
	c.event(t.Source)
	h := d.types[t]
	if h == nil {
		if names := told(d.names, t); !names[t.EventType] {
			if len(names) >= d.options.Tuning.MaxTypes {
				t.EventType = others
			}
			names[t.EventType] = true
		}
		if h = d.types[t]; h == nil {
			h = &held{shape: shape.New(shape.Limits{Paths: d.options.Tuning.MaxPaths})}
			d.types[t] = h
		}
	}
	if h.batch != d.batch {
		h.batch = d.batch
		types = append(types, t)
	}
	h.shape.Observe(e.object, e.rec.Timestamp, int32(len(d.events)))
	d.events = append(d.events, e.observed)
	return types
}
