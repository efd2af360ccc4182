package quarantine

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/stream"
)

// lost finds releases that were published and lost. That a release has not arrived for long says nothing: the pipeline
// may be away, and to publish again would only make it longer. It is lost when all that was in the raw topics after it
// was published has gone through the normalizer, and all that the normalizer had written by then through the sink and
// this service, and it neither arrived nor came back.
type lost struct {
	before time.Time // releases that were published before are looked for; zero: none are
	raw    stream.Marks
	out    stream.Marks // nil until the normalizer has passed raw
}

// republishLost takes one step in finding lost releases, and puts those that are found into the outbox again.
func (q *Quarantine) republishLost(ctx context.Context, client *kgo.Client) error {
	found, err := q.findLost(ctx, client)
	if err != nil || !found {
		return err
	}
	before := q.lost.before
	q.lost = lost{}
	again, err := q.store.Republish(ctx, before)
	if err != nil || again == 0 {
		return err
	}
	q.deps.Runtime.Log.Warn("published records were lost on their way and are published again", zap.Int("records", again), zap.Duration("after", q.tuning.StuckAfter))
	q.metrics.republished.Add(float64(again))
	wake(q.released)
	return nil
}

func (q *Quarantine) findLost(ctx context.Context, client *kgo.Client) (bool, error) {
	names := q.deps.Kafka.Names()
	if q.lost.before.IsZero() {
		before, some, err := q.store.Stuck(ctx, q.tuning.StuckAfter)
		if err != nil || !some {
			return false, err
		}
		raw, err := stream.Ends(ctx, client, q.deps.RawTopics()...)
		if err != nil {
			return false, err
		}
		q.lost = lost{before: before, raw: raw}
	}
	if q.lost.out == nil {
		passed, err := stream.Passed(ctx, client, names.Group(stream.Normalizer), q.lost.raw)
		if err != nil || !passed {
			return false, err
		}
		out, err := stream.Ends(ctx, client, names.AccountEvents(), names.DeadLetters())
		if err != nil {
			return false, err
		}
		q.lost.out = out
	}
	for service, topic := range map[string]string{stream.Sink: names.AccountEvents(), stream.Quarantine: names.DeadLetters()} {
		passed, err := stream.Passed(ctx, client, names.Group(service), stream.Marks{topic: q.lost.out[topic]})
		if err != nil || !passed {
			return false, err
		}
	}
	return true, nil
}

// watchLost looks for lost releases now and then. It works beside the releasing of linked records, which does not wait
// for the brokers.
func (q *Quarantine) watchLost(ctx context.Context, client *kgo.Client) error {
	told := q.deps.Told("quarantine-lost")
	look := time.NewTicker(q.tuning.SweepEvery)
	defer look.Stop()
	adopt := time.NewTicker(adoptEvery)
	defer adopt.Stop()
	for {
		var work func() error
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			work = func() error { return q.republishLost(ctx, client) }
		case <-adopt.C:
			work = func() error { return q.adopt(ctx) }
		}
		switch err := work(); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			told.Failed("looking for lost releases", err, q.tuning.SweepEvery)
		default:
			told.Succeeded("looking for lost releases")
		}
	}
}

// adoptEvery is how often it is looked for releases by programs that do not know the outbox.
const adoptEvery = time.Minute

func (q *Quarantine) adopt(ctx context.Context) error {
	n, err := q.store.Adopt(ctx)
	if n > 0 {
		wake(q.released)
	}
	return err
}
