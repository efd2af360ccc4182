package pull

import (
	"context"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

// A batch is published and its checkpoint kept when it has so many bytes or events,
// or its first page has waited for so long. One page more may be in it.
const (
	batchBytes  = 4 << 20
	batchEvents = 5_000
	batchWait   = 100 * time.Millisecond
)

// fetched is a page, made into records, and where the pull is once they are
// published; or why there is none.
type fetched struct {
	records []source.Record
	events  []identity // of each record, where loop.identities asks for them
	bytes   int
	gaps    []source.Gap
	counts  Counts // of this page alone
	at      position
	err     error
}

// identity says which event a record is.
type identity struct {
	id, typ string
	at      time.Time
	err     error // why it could not be read; the rest is then what is known of it
}

// batch is some pages in a row, and what came after them where that was an error.
type batch fetched

func (b *batch) add(page fetched) {
	if page.err != nil {
		b.err = page.err
		return
	}
	b.records, b.events = append(b.records, page.records...), append(b.events, page.events...)
	b.bytes += page.bytes
	b.gaps = append(b.gaps, page.gaps...)
	b.counts = b.counts.with(page.counts)
	b.at = page.at
}

func (b *batch) full(events int) bool { return b.bytes >= batchBytes || len(b.records) >= events }

// collect makes batches of pages until there are no more, or one is an error, which
// comes with what lies before it. events are how many make one full.
func collect(ctx context.Context, pages <-chan fetched, batches chan<- batch, events int) {
	var b batch
	wait := time.NewTimer(0)
	defer wait.Stop()
	<-wait.C
	for ready := false; ; {
		in, out := pages, batches
		if b.full(events) {
			in = nil // until it is taken
		}
		if !ready {
			out = nil
		}
		select {
		case page, ok := <-in:
			if b.counts.Pages == 0 {
				wait.Reset(batchWait)
			}
			if ok {
				b.add(page)
			}
			if !ok || b.err != nil {
				select {
				case batches <- b:
				case <-ctx.Done():
				}
				return
			}
			ready = ready || b.full(events)
		case <-wait.C:
			ready = true
		case out <- b:
			b, ready = batch{}, false
		case <-ctx.Done():
			return
		}
	}
}
