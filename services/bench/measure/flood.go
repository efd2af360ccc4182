package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/stage"
)

// aimFlood is what the time of a verified delivery may grow to under a flood.
const aimFlood = 2

// flood measures what strangers do to the deliveries that are verified: the 99th
// percentile of every source's, at a rate, with a flood and without one. A verified
// delivery that is refused fails the run.
func (b *bench) flood() []step {
	c := b.command
	line := b.report.line(fmt.Sprintf("receiver: p99 under %d strangers beside its p99 alone (at most)", c.Strangers), "ms", aimFlood)
	warm := min(c.Duration/2, 2*time.Second)
	steps := []step{{"flood: making the topics", 2, func(ctx context.Context) error {
		if err := b.ground.freshTopics(ctx); err != nil {
			return err
		}
		return b.ground.kafka(func(client *kgo.Client) error {
			_, err := stream.ApplyTopics(ctx, client, stream.Names{}, catalog.Set().Names(), stream.TopicOptions{
				Partitions: partitions, ReplicationFactor: -1, RawRetention: 24 * time.Hour, EventRetention: 24 * time.Hour,
			})
			return err
		})
	}}}
	return append(steps, b.turns("flood", (warm+c.Duration).Seconds()+4, []string{"flooded", "alone"}, func(ctx context.Context, side int, what string) error {
		var load stage.Result
		r, err := b.serve(ctx, what, stage.Job{Role: stage.Receiver, AllSources: true}, func(address string) (err error) {
			verified := func() error {
				load, err = b.run(ctx, what+"-verified", stage.Job{Role: stage.Verified, Address: address, Rate: c.Rate, Warm: warm, Duration: c.Duration})
				return err
			}
			if side == 1 {
				return verified()
			}
			return b.flooded(ctx, what, address, verified)
		})
		if err != nil {
			return err
		}
		line.side(side).add(load.Answered.P99, load.Answered, r, load.Sent)
		return nil
	})...)
}

// flooded does work while strangers hold connections to address.
func (b *bench) flooded(ctx context.Context, what, address string, work func() error) error {
	strangers, err := b.start(ctx, what+"-strangers", stage.Job{Role: stage.Strangers, Address: address, Connections: b.command.Strangers})
	if err != nil {
		return err
	}
	if _, err = strangers.ready(); err == nil {
		err = work()
	}
	_, stopped := strangers.stop()
	return errors.Join(err, stopped)
}
