package normalizer

import (
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// The bounds of a raw record that is a page of events, beside rawjson.MaxPageBytes. Without the second one, a page
// of `[1,1,…` would become a million dead letters, which no transaction carries.
const (
	// maxElements bounds the events of one page.
	maxElements = 10_000
	// A page of more than fewElements has at least minElementBytes for each.
	fewElements     = 100
	minElementBytes = 64
)

// item is one event on its way through a batch: a raw record, or an element of one that is a page.
type item struct {
	rec    *kgo.Record
	raw    *stream.Raw
	value  []byte // the event's bytes
	index  int32  // its place in a page; -1: the whole record
	key    []byte // of the raw record that an element would be
	event  source.Event
	rule   string // that found the account
	erased bool   // what it refers to was erased: nothing becomes of it
	err    error  // Permanent: why it is a dead letter
}

// described is what became of a share of a batch.
type described struct {
	items      []item
	tombstones int
	pages      map[string]pages // by source
}

// pages counts raw records that are pages.
type pages struct{ all, empty int }

// docs are kept between batches, because a scan costs less than its index.
var docs = sync.Pool{New: func() any { return new(rawjson.Doc) }}

// describe reads records as far as they can be read, and takes pages apart. room is how many items are expected in
// the end.
func (n *Normalizer) describe(records []*kgo.Record, room int) described {
	doc := docs.Get().(*rawjson.Doc)
	defer docs.Put(doc)
	d := described{items: make([]item, 0, room)}
	raws := make([]stream.Raw, len(records))
	for i, rec := range records {
		if err := stream.Unreadable(rec); err != nil {
			raws[i] = stream.ReadRaw(rec)
			d.items = append(d.items, item{rec: rec, raw: &raws[i], index: -1, err: err})
			continue
		}
		if rec.Value == nil { // a tombstone says nothing, so there is nothing to keep
			d.tombstones++
			continue
		}
		raws[i] = stream.ReadRaw(rec)
		if raws[i].Tenant == "" {
			raws[i].Tenant = n.options.Tenants[raws[i].Source]
		}
		n.describeOne(&d, doc, item{rec: rec, raw: &raws[i], value: rec.Value, index: -1})
	}
	return d
}

// describeOne scans a record once, and appends it or the elements of the page that it is.
func (n *Normalizer) describeOne(d *described, doc *rawjson.Doc, record item) {
	src, ok := n.deps.Sources.Find(record.raw.Source)
	if !ok {
		record.err = fault.Permanent(fault.Unsupported, fmt.Errorf("no source is named %q", record.raw.Source))
		d.items = append(d.items, record)
		return
	}
	top, err := doc.ParseBody(record.value, 0)
	elements, isPage := rawjson.Value{}, false
	if err == nil {
		if elements, isPage = source.Page(src, top); isPage {
			err = checkPage(record.rec, elements)
		}
	}
	switch {
	case err != nil:
		record.err = err
		d.items = append(d.items, record)
	case isPage:
		d.countPage(record.raw.Source, elements.Len())
		for i, e := range elements.Elements() {
			element := record
			element.value, element.index = e.Bytes(), int32(i)
			d.items = append(d.items, element)
			n.describeItem(&d.items[len(d.items)-1], src, e)
		}
	default:
		d.items = append(d.items, record)
		n.describeItem(&d.items[len(d.items)-1], src, top)
	}
}

func checkPage(rec *kgo.Record, elements rawjson.Value) error {
	most := min(maxElements, max(fewElements, len(rec.Value)/minElementBytes))
	if count := elements.Len(); count > most {
		return fault.Permanent(fault.Oversized, fmt.Errorf("the page at %s/%d offset %d has %d elements, the bound is %d for its %d bytes",
			rec.Topic, rec.Partition, rec.Offset, count, most, len(rec.Value)))
	}
	return nil
}

// describeItem reads the event of an object that has been scanned.
func (n *Normalizer) describeItem(it *item, src source.Source, object rawjson.Value) {
	record := it.raw.Record
	record.Value, record.Object = it.value, object
	record, it.event, it.err = source.Keyed(src, record)
	if stored := it.rec.Timestamp.UTC(); it.err != nil && record.ReceivedAt.Before(stored) {
		// A header that says it was received before it happened says nothing: then the broker's time counts.
		record.ReceivedAt = stored
		if keyed, event, err := source.Keyed(src, record); err == nil {
			raw := *it.raw // a page's other elements have the same
			raw.ReceivedAt = stored
			record, it.event, it.err, it.raw = keyed, event, nil, &raw
		}
	}
	it.key = record.Key
	if it.err == nil && it.event.Test && !n.options.TestData[src.Name()] {
		it.err = fault.Permanent(fault.TestData, fmt.Errorf("this is test data: to have it on the timeline, set %s to %s for the normalizer, then release it",
			settings.SourceVariable(src.Name(), "TEST_DATA"), settings.AcceptTestData))
	}
}

func (d *described) countPage(sourceName string, elements int) {
	if d.pages == nil {
		d.pages = map[string]pages{}
	}
	p := d.pages[sourceName]
	p.all++
	if elements == 0 {
		p.empty++
	}
	d.pages[sourceName] = p
}
