package drift

import (
	"context"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/stream"
)

// watchSilences looks for what was regular and is seen no more. What is not seen yet
// is no silence: it looks at a time only when the group has read all that the topics
// held then, so that neither Kafka's absence nor our own makes one.
func (d *Drift) watchSilences(ctx context.Context) error {
	client, err := stream.NewClient(d.deps.Kafka, stream.Deps{Name: "drift-silences", Log: d.deps.Runtime.Log})
	if err != nil {
		return fmt.Errorf("looking for silences: %w", err)
	}
	defer client.Close()
	const doing = "looking for silences"
	told := d.deps.Told("drift-silences")
	defer d.deps.Runtime.Health.Remove("drift-silences")
	tick := time.NewTicker(d.options.Tuning.SilenceEvery)
	defer tick.Stop()
	topics, group := d.deps.RawTopics(), d.deps.Kafka.Names().Group(stream.Drift)
	var at time.Time
	var marks stream.Marks
	look := func() error {
		passed := false
		if marks != nil {
			if passed, err = stream.Passed(ctx, client, group, marks); err != nil {
				return err
			}
		}
		if passed {
			settled, err := d.store.FindSilences(ctx, at)
			if err != nil {
				return err
			}
			d.metrics.found(settled)
		}
		if passed || marks == nil {
			at = time.Now()
			if marks, err = stream.Ends(ctx, client, topics...); err != nil {
				return err
			}
		}
		open, err := d.store.OpenFindings(ctx)
		if err == nil {
			d.metrics.open(open)
		}
		return err
	}
	for {
		switch err := look(); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			told.Failed(doing, err, d.options.Tuning.SilenceEvery)
		default:
			told.Succeeded(doing)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
