package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/stage"
)

// aimDrift is drift's share of a consumer that looks at nothing.
const aimDrift = 0.5

// drift is the drift service over what lies in the raw topics, and over payloads that a stranger made to have as many
// names as can be.
func (b *bench) drift() []step {
	n := b.command.Records
	line := b.report.line("drift", unitEvents, aimDrift)
	hostile := b.report.line("drift, names that are all different", unitEvents, 0)
	strange := max(n/3, 100)
	over := func(line *Line, records int) func(ctx context.Context, side int, what string) error {
		return func(ctx context.Context, side int, what string) error {
			return b.ground.database(ctx, func(url string) error {
				r, err := b.run(ctx, what, stage.Job{Role: []stage.Role{stage.Drift, stage.BareConsumer}[side], Records: records, Postgres: url})
				if err != nil {
					return err
				}
				line.side(side).add(steadyRate(r.Samples), stage.Latency{}, r, records)
				line.side(side).curve(r.Samples, records)
				return b.ground.forget(ctx, stream.Names{}.Group(stream.Drift))
			})
		}
	}
	steps := []step{{"drift: filling the raw topics", float64(n) / 60_000, func(ctx context.Context) error { return b.fillRaw(ctx, n) }}}
	steps = append(steps, b.turns("drift", float64(n)/90_000+4, []string{"ours", "limit"}, over(line, n))...)
	steps = append(steps, step{"drift: filling a raw topic with strange names", float64(strange) / 60_000, func(ctx context.Context) error {
		if err := b.ground.freshTopics(ctx); err != nil {
			return err
		}
		return b.ground.fill(ctx, strange, func(i int) (*kgo.Record, error) { return strangeRecord(i), nil })
	}})
	return append(steps, b.turns("drift-strange", float64(strange)/60_000+4, []string{"ours", "limit"}, over(hostile, strange))...)
}

// strangeRecord is an event of Stripe's with twenty names that no other event has, five of them deep within each other.
func strangeRecord(i int) *kgo.Record {
	value := fmt.Appendf(nil, `{"id":"evt_strange_%d","object":"event","type":"customer.updated","livemode":true,"created":%d,"data":{"object":{"id":"cus_%d","object":"customer"`, i, 1_767_225_600+i, i)
	for n := range 15 {
		value = fmt.Appendf(value, `,"name %d of %d":{"x%d":[%d]}`, n, i, i, n)
	}
	value = fmt.Appendf(value, `,"a%d":{"b%[1]d":{"c%[1]d":{"d%[1]d":{"e%[1]d":null}}}}}}}`, i)
	rec := stream.RawRecord("stripe", source.Record{Value: value, Mode: source.ModeWebhook, ReceivedAt: time.Now()}, "")
	rec.Key = fmt.Append(nil, i)
	return rec
}
