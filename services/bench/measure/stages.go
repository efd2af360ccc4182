package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/stage"
	"github.com/throughline-dev/throughline/services/bench/traffic"
	"github.com/throughline-dev/throughline/services/normalizer/normalizer"
	"github.com/throughline-dev/throughline/services/sink/sink"
)

// What is aimed at: a stage's share of its limit and, for the grown table, of
// the sink's own rate at a tenth of the rows and of the peer's at all of them.
const (
	aimReceiver   = 0.85
	aimNormalizer = 0.6
	aimSink       = 0.9
	aimGrowth     = 0.8
	aimPeer       = 1.3
)

// inFlight is how many batches the sink's peer writes at a time.
const inFlight = 8

// turns makes the steps of a comparison: ours and each limit, round after round.
func (b *bench) turns(stageName string, seconds float64, names []string, run func(ctx context.Context, side int, what string) error) (steps []step) {
	for round := range b.command.Rounds {
		for side, name := range names {
			what := fmt.Sprintf("%s-%s-%d", stageName, name, round+1)
			steps = append(steps, step{
				fmt.Sprintf("%s: %s, round %d of %d", stageName, name, round+1, b.command.Rounds), seconds,
				func(ctx context.Context) error { return run(ctx, side, what) },
			})
		}
	}
	return steps
}

func (b *bench) receiver() []step {
	c := b.command
	line := b.report.line("receiver", "req/s", aimReceiver)
	warm := min(c.Duration/2, 2*time.Second)
	roles := []stage.Role{stage.Receiver, stage.BareReceiver}
	steps := []step{{"receiver: making the topics", 2, b.ground.freshTopics}}
	return append(steps, b.turns("receiver", (warm+c.Duration).Seconds()+1.5, []string{"ours", "limit"}, func(ctx context.Context, side int, what string) error {
		var load stage.Result
		r, err := b.serve(ctx, what, stage.Job{Role: roles[side]}, func(address string) (err error) {
			load, err = b.run(ctx, what+"-load", stage.Job{Role: stage.Load, Address: address, Connections: c.Connections, Warm: warm, Duration: c.Duration})
			return err
		})
		if err != nil {
			return err
		}
		line.side(side).add(float64(load.Requests)/c.Duration.Seconds(), load.Answered, r, load.Sent)
		return nil
	})...)
}

func (b *bench) normalizer() []step {
	c := b.command
	line := b.report.line("normalizer", "records/s", aimNormalizer)
	var ours normalizer.Tuning // without a setting, as it is run here; the limit has the same
	settings.Defaults(&ours)
	jobs := []stage.Job{
		{Role: stage.Normalizer, Records: c.Records},
		{Role: stage.BareNormalizer, Records: c.Records, Workers: ours.Workers, Batch: ours.Batch.Records, Wait: ours.Batch.Wait},
	}
	steps := []step{{"normalizer: filling the raw topics", float64(c.Records) / 60_000, func(ctx context.Context) error { return b.fillRaw(ctx, c.Records) }}}
	return append(steps, b.turns("normalizer", float64(c.Records)/40_000+2, []string{"ours", "limit"}, func(ctx context.Context, side int, what string) error {
		return b.ground.database(ctx, func(url string) error {
			job := jobs[side]
			job.Postgres = url
			r, err := b.run(ctx, what, job)
			if err != nil {
				return err
			}
			line.side(side).add(steadyRate(r.Samples), stage.Latency{}, r, c.Records)
			return b.ground.forget(ctx, stream.Names{}.Group(stream.Normalizer))
		})
	})...)
}

// fillRaw puts n events into the raw topics.
func (b *bench) fillRaw(ctx context.Context, n int) error {
	if err := b.ground.freshTopics(ctx); err != nil {
		return err
	}
	events, err := b.accounts.Traffic()
	if err != nil {
		return err
	}
	return b.ground.fill(ctx, n, func(i int) (*kgo.Record, error) {
		src, rec, _, err := events.Raw(i)
		if err != nil {
			return nil, err
		}
		return stream.RawRecord(src.Name(), rec, ""), nil
	})
}

func (b *bench) sink() []step {
	c := b.command
	line := b.report.line("sink", "rows/s", aimSink)
	alone := b.report.line("sink, its limit without a keeper", "rows/s", 0)
	peer := b.report.line(fmt.Sprintf("sink beside sql_insert, %d in flight", inFlight), "rows/s", 0)
	alone.Ours, peer.Ours = line.Ours, line.Ours
	sides := []*Side{line.Ours, line.Limit, alone.Limit, peer.Limit}
	batch := sinkBatch()
	jobs := []stage.Job{
		{Role: stage.Sink, Records: c.SinkRecords},
		{Role: stage.BareSink, Records: c.SinkRecords, Batch: batch, Keeper: true},
		{Role: stage.BareSink, Records: c.SinkRecords, Batch: batch},
		{Role: stage.SQLInsert, Records: c.SinkRecords, Batch: batch, InFlight: inFlight},
	}
	total := max(c.SinkRecords, c.Rows+inFlight*growthBatch(c.Rows))
	steps := []step{{"sink: filling account-events", float64(total) / 50_000, func(ctx context.Context) error { return b.fillEvents(ctx, total) }}}
	names := []string{"ours", "limit", "limit-without-keeper", "sql-insert"}
	steps = append(steps, b.turns("sink", float64(c.SinkRecords)/9000+2, names, func(ctx context.Context, side int, what string) error {
		r, err := b.write(ctx, what, jobs[side])
		if err != nil {
			return err
		}
		sides[side].add(steadyRate(r.Samples), stage.Latency{}, r, c.SinkRecords)
		return nil
	})...)
	if c.Rows > 0 {
		steps = append(steps, b.growth()...)
	}
	return steps
}

// growth is how ours and the peer write into a table that has grown: each grows
// one of its own, and what counts is the rate over the last twentieth.
func (b *bench) growth() []step {
	rows := b.command.Rows
	grown := b.report.line(fmt.Sprintf("sink at %d rows, beside its rate at %d", rows, rows/10), "rows/s", aimGrowth)
	peer := b.report.line(fmt.Sprintf("sink at %d rows beside sql_insert, %d in flight", rows, inFlight), "rows/s", aimPeer)
	peer.Ours = grown.Ours
	all, twentieth := float64(rows), float64(rows)/20
	ours := func(ctx context.Context) error {
		r, err := b.write(ctx, "sink-growth", stage.Job{Role: stage.Sink, Records: rows})
		if err != nil {
			return err
		}
		grown.Limit.add(rate(r.Samples, all/10-twentieth/2, all/10+twentieth/2), stage.Latency{}, stage.Result{}, 0)
		grown.Ours.add(rate(r.Samples, all-twentieth, all), stage.Latency{}, r, rows)
		return nil
	}
	theirs := func(ctx context.Context) error {
		// It goes on for so long that at all rows it still has as many batches in flight.
		records := rows + inFlight*growthBatch(rows)
		r, err := b.write(ctx, "sql-insert-growth", stage.Job{Role: stage.SQLInsert, Records: records, Batch: growthBatch(rows), InFlight: inFlight, Stream: true})
		if err != nil {
			return err
		}
		peer.Limit.add(rate(r.Samples, all-twentieth, all), stage.Latency{}, stage.Result{}, 0) // its process decodes, too
		return nil
	}
	return []step{
		{fmt.Sprintf("sink: growing the table to %d rows", rows), all / 8000, ours},
		{fmt.Sprintf("sql_insert: growing the table to %d rows", rows), all / 6000, theirs},
	}
}

// sinkBatch is how many rows ours has in a transaction without a setting, and so
// what it is compared with.
func sinkBatch() int {
	var ours sink.Tuning
	settings.Defaults(&ours)
	return ours.Batch.Records
}

// growthBatch is sinkBatch, or less where so few rows would not be many batches.
func growthBatch(rows int) int { return min(sinkBatch(), max(1, rows/inFlight)) }

// write does a job of the sink's in a fresh database, from the topic's start.
func (b *bench) write(ctx context.Context, what string, job stage.Job) (r stage.Result, err error) {
	err = b.ground.database(ctx, func(url string) error {
		job.Postgres = url
		if r, err = b.run(ctx, what, job); err != nil || job.Role != stage.Sink {
			return err
		}
		return b.ground.forget(ctx, stream.Names{}.Group(stream.Sink))
	})
	return r, err
}

// fillEvents puts n events into account-events, as the normalizer would.
func (b *bench) fillEvents(ctx context.Context, n int) error {
	return b.fillTopic(ctx, n, (*traffic.Traffic).Event)
}

func (b *bench) fillTopic(ctx context.Context, n int, made func(events *traffic.Traffic, i int) (event.AccountEvent, error)) error {
	if err := b.ground.freshTopics(ctx); err != nil {
		return err
	}
	registry, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(b.ground.registry)})
	if err != nil {
		return err
	}
	encoder, err := event.NewEncoder(ctx, registry, stream.AccountEvents, stream.DeadLetters)
	if err != nil {
		return err
	}
	events, err := b.accounts.Traffic()
	if err != nil {
		return err
	}
	return b.ground.fill(ctx, n, func(i int) (*kgo.Record, error) {
		e, err := made(events, i)
		if err != nil {
			return nil, err
		}
		value, err := encoder.AccountEvent(&e)
		if err != nil {
			return nil, err
		}
		return &kgo.Record{Topic: stream.AccountEvents, Key: []byte(e.AccountID.String()), Value: value}, nil
	})
}

func (b *bench) latency() []step {
	c := b.command
	line := b.report.line(fmt.Sprintf("POST to row visible, at %d events/s", c.Rate), unitEvents, 0)
	warm := min(c.Steady/3, 3*time.Second)
	return []step{{"latency: the whole pipeline at a steady rate", (warm + c.Steady).Seconds() + 6, func(ctx context.Context) error {
		if err := b.ground.freshTopics(ctx); err != nil {
			return err
		}
		return b.ground.database(ctx, func(url string) error {
			var steady stage.Result
			r, err := b.serve(ctx, "pipeline", stage.Job{Role: stage.Pipeline, Postgres: url}, func(address string) (err error) {
				steady, err = b.run(ctx, "pipeline-load", stage.Job{
					Role: stage.Steady, Postgres: url, Address: address, Connections: c.Connections, Rate: c.Rate, Warm: warm, Duration: c.Steady,
				})
				return err
			})
			if err != nil {
				return err
			}
			line.Ours.add(float64(steady.Requests-steady.Lost)/c.Steady.Seconds(), steady.Visible, r, steady.Sent)
			b.report.Acknowledged = steady.Answered
			b.report.Lost += steady.Lost
			return nil
		})
	}}}
}
