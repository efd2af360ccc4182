package story

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/vendors"
)

// Sender sends messages as their vendors would, and a backfill job.
type Sender struct {
	vendors.Sender
	// Kafka publishes what is Backfill.
	Kafka *kgo.Client
	Names stream.Names // of the topics
}

// Send posts or publishes m, and returns when it was acknowledged.
func (s *Sender) Send(ctx context.Context, m Message) error {
	if m.Backfill {
		return s.publish(ctx, m)
	}
	answer, err := s.Post(ctx, m.Delivery)
	if err != nil {
		return err
	}
	if answer.Status/100 != 2 {
		return fmt.Errorf("%s: the receiver answered %d: %.1000s", m.Source, answer.Status, answer.Body)
	}
	return nil
}

// publish does what a third party's backfill job does: one value a record,
// without key or headers.
func (s *Sender) publish(ctx context.Context, m Message) error {
	found, _ := s.Sources.Find(m.Source)
	src, ok := found.(source.Webhook)
	if !ok {
		return fmt.Errorf("%q is not a source with a webhook", m.Source)
	}
	var records []*kgo.Record
	for part, err := range src.Split(&source.Delivery{Body: m.Body, ReceivedAt: time.Now()}) {
		if err != nil {
			return fmt.Errorf("splitting a page of %s: %w", m.Source, err)
		}
		records = append(records, &kgo.Record{Topic: s.Names.Raw(m.Source), Value: part.Value})
	}
	return stream.NewPublisher(s.Kafka).Publish(ctx, records...)
}
