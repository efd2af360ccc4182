package measure

import (
	"context"

	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/stage"
)

// sustainedMost bounds the different events that are made ready for each second
// of the load. A machine that takes more has a shorter load, and the same figure.
const sustainedMost = 20_000

// sustained is the whole pipeline, each stage a process of its own, at the
// highest rate that it can keep up: all that a closed-loop load sends, until all
// of it is visible.
func (b *bench) sustained() []step {
	c := b.command
	all := b.report.line("whole pipeline, sustained", unitEvents, 0)
	parts := pipelineLines{
		receiver: b.report.line("sustained: receiver", "req/s", 0).Ours, normalizer: b.report.line("sustained: normalizer", "", 0).Ours,
		sink: b.report.line("sustained: sink", "", 0).Ours, broker: b.report.line("sustained: broker", "", 0).Ours,
		postgres: b.report.line("sustained: Postgres", "", 0).Ours,
	}
	seconds := c.Duration.Seconds()
	return b.turns("sustained", 4*seconds+8, []string{"ours"}, func(ctx context.Context, _ int, what string) error {
		if err := b.ground.freshTopics(ctx); err != nil {
			return err
		}
		return b.ground.database(ctx, func(url string) error {
			job := stage.Job{
				Role: stage.Sustained, Postgres: url, Connections: c.Connections, Duration: c.Duration, Records: max(c.Connections, int(seconds*sustainedMost)),
			}
			run, err := b.pipeline(ctx, what, job)
			if err != nil {
				return err
			}
			sent := run.load.Sent
			all.Ours.add(float64(sent-run.load.Lost)/run.load.Seconds, stage.Latency{}, run.stages(), sent)
			parts.receiver.add(float64(sent)/run.load.Posting, run.load.Answered, run.receiver, sent)
			parts.normalizer.used(run.normalizer, sent)
			parts.sink.used(run.sink, sent)
			parts.broker.used(stage.Result{CPU: run.broker}, sent)
			parts.postgres.used(stage.Result{CPU: run.postgres}, sent)
			b.report.Lost += run.load.Lost
			return nil
		})
	})
}

// pipelineLines are where the parts of the pipeline are reported.
type pipelineLines struct{ receiver, normalizer, sink, broker, postgres *Side }

// pipelineRun is what one run found.
type pipelineRun struct {
	load, receiver, normalizer, sink stage.Result
	broker, postgres                 float64 // CPU seconds while the load ran and its events came through
}

// stages are the three stages together: their CPU, and their peaks as if all were at once.
func (r pipelineRun) stages() stage.Result {
	return stage.Result{
		CPU:       r.receiver.CPU + r.normalizer.CPU + r.sink.CPU,
		PeakBytes: r.receiver.PeakBytes + r.normalizer.PeakBytes + r.sink.PeakBytes,
	}
}

// pipeline starts the stages, downstream first, and does the load's job.
func (b *bench) pipeline(ctx context.Context, what string, load stage.Job) (r pipelineRun, err error) {
	receiver := func(address string) (err error) {
		load.Address = address
		broker, postgres := b.brokerCPU(), childrenCPU(postgresProgram)
		r.load, err = b.run(ctx, what+"-load", load)
		r.broker, r.postgres = b.brokerCPU()-broker, childrenCPU(postgresProgram)-postgres
		return err
	}
	normalizers := func(string) (err error) {
		r.receiver, err = b.serve(ctx, what+"-receiver", stage.Job{Role: stage.Receiver}, receiver)
		return err
	}
	sinks := func(string) (err error) {
		r.normalizer, err = b.serve(ctx, what+"-normalizer", stage.Job{Role: stage.Normalizer, Postgres: load.Postgres}, normalizers)
		return err
	}
	if r.sink, err = b.serve(ctx, what+"-sink", stage.Job{Role: stage.Sink, Postgres: load.Postgres}, sinks); err != nil {
		return r, err
	}
	for _, group := range []string{stream.Names{}.Group(stream.Normalizer), stream.Names{}.Group(stream.Sink)} {
		if err := b.ground.forget(ctx, group); err != nil {
			return r, err
		}
	}
	return r, nil
}

// brokerCPU is what the broker has taken of all cores so far, in seconds. The
// embedded one is in this process, which does little else meanwhile.
func (b *bench) brokerCPU() float64 {
	if b.command.Broker == "embedded" {
		return stage.CPUSeconds()
	}
	return childrenCPU(javaProgram)
}
