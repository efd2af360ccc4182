package stage

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// A row, as those write it that are not ours, has the values of these columns of
// account_events, then those of account_event_origins.

func eventColumns() []string {
	return []string{"account_id", "event_type", "source", "source_event_id", "payload", "occurred_at", "ingested_at"}
}

func originColumns() []string {
	return []string{"reference", "rule", "delivery", "raw_topic", "raw_partition", "raw_offset", "raw_index"}
}

// readRows reads the first Records records of account-events and gives them as
// rows, Batch at a time, the last time those that are left.
func readRows(ctx context.Context, job Job, give func(rows [][]any) error) error {
	registry, err := job.registry()
	if err != nil {
		return err
	}
	decoder, err := event.NewDecoder(registry)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(job.Brokers...), kgo.ConsumeTopics(stream.AccountEvents), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return fmt.Errorf("making the Kafka client: %w", err)
	}
	defer client.Close()
	for left := job.Records; left > 0; {
		size := min(job.Batch, left)
		rows := make([][]any, 0, size)
		for len(rows) < size {
			fetches := client.PollRecords(ctx, size-len(rows))
			if err := fetches.Err0(); err != nil {
				return fmt.Errorf("reading account-events: %w", err)
			}
			for _, rec := range fetches.Records() {
				row, err := rowOf(ctx, decoder, rec.Value)
				if err != nil {
					return err
				}
				rows = append(rows, row)
			}
		}
		if err := give(rows); err != nil {
			return err
		}
		left -= size
	}
	return nil
}

func rowOf(ctx context.Context, decoder *event.Decoder, value []byte) ([]any, error) {
	var e event.AccountEvent
	if err := decoder.AccountEvent(ctx, value, &e); err != nil {
		return nil, err
	}
	payload, err := rawjson.WithSubject(e.Payload, e.Subject)
	if err != nil {
		return nil, err
	}
	return []any{
		[16]byte(e.AccountID), e.Type, e.Source, e.SourceEventID, payload, e.OccurredAt, e.IngestedAt,
		e.Reference, e.Rule, string(e.Delivery), e.RawTopic, e.RawPartition, e.RawOffset, e.RawIndex,
	}, nil
}
