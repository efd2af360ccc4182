package measure

import (
	"context"
	"fmt"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/stage"
)

// aimBatches is what an event in a batch may cost beside one alone.
const aimBatches = 1

// unitCost is the unit of the lines whose figures are no rates.
const unitCost = "CPU µs"

// batches is what an event costs in a full batch, beside the same event alone: in the receiver and the normalizer.
func (b *bench) batches() (steps []step) {
	n := b.command.BatchRecords
	for _, of := range []struct {
		source string
		most   int
	}{{"segment", 4000}, {"hubspot", 100}} {
		name := fmt.Sprintf("%s: %d in a batch beside single", of.source, of.most)
		cost := b.report.line(name+" (at most)", unitCost, aimBatches)
		received := b.report.line(name+": receiver", unitEvents, 0)
		normalized := b.report.line(name+": normalizer", unitEvents, 0)
		steps = append(steps, b.turns(of.source, float64(n)/5000+5, []string{"batch", "single"}, func(ctx context.Context, side int, what string) error {
			if err := b.ground.topicsAnew(ctx, catalog.Set().Names()...); err != nil {
				return err
			}
			return b.ground.database(ctx, func(url string) error {
				var load stage.Result
				receiver, err := b.serve(ctx, what+"-receiver", stage.Job{Role: stage.Receiver, AllSources: true}, func(address string) (err error) {
					load, err = b.run(ctx, what+"-load", stage.Job{
						Role: stage.Batched, Address: address, Source: of.source, Records: n, Batch: []int{of.most, 1}[side], Connections: b.command.Connections,
					})
					return err
				})
				if err != nil {
					return err
				}
				normalizer, err := b.run(ctx, what+"-normalizer", stage.Job{Role: stage.Normalizer, Postgres: url, Records: n})
				if err != nil {
					return err
				}
				received.side(side).add(float64(n)/load.Seconds, stage.Latency{}, receiver, n)
				normalized.side(side).add(steadyRate(normalizer.Samples), stage.Latency{}, normalizer, n)
				cost.side(side).add((receiver.CPU+normalizer.CPU)/float64(n)*1e6, stage.Latency{}, stage.Result{}, 0)
				return b.ground.forget(ctx, stream.Names{}.Group(stream.Normalizer))
			})
		})...)
	}
	return steps
}
