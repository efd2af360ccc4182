package stage

import (
	"context"

	"github.com/throughline-dev/throughline/pkg/service"
)

// runPipeline is every stage between a POST and the timeline, in one process.
func runPipeline(ctx context.Context, job Job, ready func(string)) (Result, error) {
	rt := newRuntime("pipeline")
	sink, err := newSink(ctx, job, rt)
	if err != nil {
		return Result{}, err
	}
	normalizer, err := newNormalizer(ctx, job, rt)
	if err != nil {
		return Result{}, err
	}
	receiver, err := newReceiver(job, rt)
	if err != nil {
		return Result{}, err
	}
	group := rt.Group(append([]service.Component{{Name: "sink", Run: sink}, {Name: "normalizer", Run: normalizer}}, receiver.Components()...)...)
	return Result{}, serving(ctx, group.Run, receiver.Addr, ready)
}
