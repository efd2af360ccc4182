package quarantine

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

const (
	// lookEvery is how soon a release made by another process (the command line) is noticed.
	lookEvery = 500 * time.Millisecond
	// publishTimeout bounds the wait for a page's acknowledgements (quarantine.Store.Publish).
	publishTimeout = 10 * time.Second
)

// drainOutbox publishes what is released.
func (q *Quarantine) drainOutbox(ctx context.Context) error {
	told := q.deps.Told("quarantine-publishing")
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if err := retry.Forever(ctx, retry.Policy{}, "publishing released records", told, q.publishAll); err != nil {
			return nil // ctx has ended
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-q.released:
		}
	}
}

// publishAll publishes page after page until the outbox is empty. A record that fails is passed over, so that it
// holds up no other, and makes the error with which the outbox is tried again; a page of which nothing could be
// published ends it at once, because then it is the brokers.
func (q *Quarantine) publishAll(ctx context.Context) error {
	var first error
	for after := int64(0); ctx.Err() == nil; {
		// A stop lets the page under way finish.
		page, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout+q.deps.Grace())
		result, err := q.store.Publish(page, after, q.publish)
		cancel()
		if err != nil {
			return err
		}
		q.metrics.publishedPage(result)
		if result.Refused > 0 {
			q.deps.Runtime.Log.Warn("the brokers rejected released records, which are open again", zap.Int("records", result.Refused))
		}
		if first == nil {
			first = result.Err
		}
		if result.Last == 0 || result.Failed > 0 && len(result.Published) == 0 {
			break
		}
		after = result.Last
	}
	return first
}

// publish writes a page of replays and gives each record's outcome.
func (q *Quarantine) publish(ctx context.Context, replays []quarantine.Replay) []error {
	records := make([]*kgo.Record, len(replays))
	for i := range replays {
		records[i] = replayRecord(q.deps.Kafka.Names(), &replays[i])
	}
	outcomes := q.raw.PublishEach(ctx, records)
	var doc rawjson.Doc
	for i, err := range outcomes {
		if err == nil && !replays[i].Described && q.isPage(&doc, records[i]) {
			outcomes[i] = quarantine.ErrPage
		}
	}
	return outcomes
}

// isPage reports whether the normalizer takes the record apart, or refuses it as a whole once more.
func (q *Quarantine) isPage(doc *rawjson.Doc, rec *kgo.Record) bool {
	src, ok := q.deps.Sources.Find(stream.ReadRaw(rec).Source)
	if !ok {
		return false
	}
	top, err := doc.ParseBody(rec.Value, 0)
	if err != nil {
		return false
	}
	_, ok = source.Page(src, top)
	return ok
}
