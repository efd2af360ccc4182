package stage

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/traffic"
	"github.com/throughline-dev/throughline/services/whole"
)

// runNormalizer normalizes what lies in the raw topics until Records are through.
func runNormalizer(ctx context.Context, job Job, ready func(string)) (Result, error) {
	if job.Records == 0 {
		return runConsuming(ctx, job, ready, whole.Normalizer, stream.Names{}.Group(stream.Normalizer), stream.RawTopic("stripe"))
	}
	return runUntil(ctx, job, whole.Normalizer, "throughline_normalizer_records_total")
}

// runBareNormalizer copies the raw topics' records to account-events in
// transactions, with as many workers and as large batches as ours has: what is
// left of the normalizer when it neither reads an event nor asks a database.
func runBareNormalizer(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	var through atomic.Int64
	run := func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		for range job.Workers {
			group.Go(func() error { return bareTransform(ctx, job, &through) })
		}
		return group.Wait()
	}
	err = until(ctx, run, func(ctx context.Context) (err error) {
		r.Samples, err = sample(ctx, job.Records, func() (int, error) { return int(through.Load()), nil })
		return err
	})
	return r, err
}

func bareTransform(ctx context.Context, job Job, through *atomic.Int64) error {
	var topics []string
	for _, name := range traffic.Names() {
		topics = append(topics, stream.RawTopic(name))
	}
	tx, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(job.Brokers...), kgo.TransactionalID("bench-"+uuid.NewString()),
		kgo.ConsumerGroup(stream.Names{}.Group(stream.Normalizer)), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.Balancers(kgo.CooperativeStickyBalancer()),
	)
	if err != nil {
		return fmt.Errorf("making the Kafka client: %w", err)
	}
	defer tx.Close()
	for {
		batch := bareBatch(ctx, tx, job)
		if len(batch) == 0 {
			return nil // ctx has ended
		}
		if err := tx.Begin(); err != nil {
			return fmt.Errorf("beginning a transaction: %w", err)
		}
		promise := kgo.AbortingFirstErrPromise(tx.Client())
		for _, rec := range batch {
			tx.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: stream.AccountEvents, Key: rec.Key, Value: rec.Value}, promise.Promise())
		}
		committed, err := tx.End(context.WithoutCancel(ctx), kgo.TransactionEndTry(promise.Err() == nil))
		if err != nil {
			return fmt.Errorf("committing a transaction: %w", err)
		}
		if committed {
			through.Add(int64(len(batch)))
		}
	}
}

// bareBatch gathers at most Batch records, within Wait of the first.
func bareBatch(ctx context.Context, tx *kgo.GroupTransactSession, job Job) (batch []*kgo.Record) {
	for ctx.Err() == nil && len(batch) == 0 {
		batch = tx.PollRecords(ctx, job.Batch).Records()
	}
	waiting, cancel := context.WithTimeout(ctx, job.Wait)
	defer cancel()
	for len(batch) < job.Batch && waiting.Err() == nil {
		batch = append(batch, tx.PollRecords(waiting, job.Batch-len(batch)).Records()...)
	}
	if ctx.Err() != nil {
		return nil
	}
	return batch
}
