package measure

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/stage"
	"github.com/throughline-dev/throughline/services/bench/traffic"
)

// What is aimed at: the share of the sink's own rate at which a link puts what waited on the timeline, and the rate at
// the end beside that at a tenth.
const (
	aimRelease       = 0.7
	aimReleaseGrowth = 0.7
)

// release is a link that many events in quarantine wait for: until all of them are on the timeline, beside the sink
// alone with the same events.
func (b *bench) release() []step {
	n := b.command.ReleaseRecords
	line := b.report.line(fmt.Sprintf("a link releases %d events", n), unitEvents, aimRelease)
	grown := b.report.line("release: its last tenth beside its second", unitEvents, aimReleaseGrowth)
	parts := map[string]*Side{}
	for _, name := range []string{"quarantine", "normalizer", "sink", "broker", "Postgres"} {
		parts[name] = b.report.line("release: "+name, "", 0).Ours
	}
	limit := func(ctx context.Context) error {
		if err := b.fillTopic(ctx, n, func(events *traffic.Traffic, i int) (event.AccountEvent, error) {
			return events.EventOf(events.Unlinked(), i)
		}); err != nil {
			return err
		}
		r, err := b.write(ctx, "release-limit", stage.Job{Role: stage.Sink, Records: n})
		line.Limit.pulled(r, n)
		return err
	}
	ours := func(ctx context.Context) error {
		if err := b.ground.freshTopics(ctx); err != nil {
			return err
		}
		return b.ground.database(ctx, func(url string) error {
			if _, err := b.run(ctx, "release-feed", stage.Job{Role: stage.Feed, Postgres: url, Records: n}); err != nil {
				return err
			}
			run, err := b.released(ctx, url, n)
			if err != nil {
				return err
			}
			samples, tenth := run.operator.Samples, float64(n)/10
			line.Ours.add(float64(n)/samples[len(samples)-1].Seconds, stage.Latency{}, stage.Result{}, 0)
			grown.Ours.add(rate(samples, 9*tenth, 10*tenth), stage.Latency{}, stage.Result{}, 0)
			grown.Limit.add(rate(samples, tenth, 2*tenth), stage.Latency{}, stage.Result{}, 0)
			for name, part := range map[string]stage.Result{
				"quarantine": run.quarantine, "normalizer": run.normalizer, "sink": run.sink, "broker": {CPU: run.broker}, "Postgres": {CPU: run.postgres},
			} {
				parts[name].used(part, n)
			}
			parts["quarantine"].curve(run.quarantine.Samples, n)
			b.report.Release = &Release{Said: run.operator.Said, Asked: run.operator.Asked, Twice: run.twice}
			return nil
		})
	}
	seconds := float64(n)
	return []step{
		{"release: the sink alone", seconds/6000 + 10, limit},
		{fmt.Sprintf("release: a link that %d events in quarantine wait for", n), seconds/2000 + 20, ours},
	}
}

// Release is what else was seen of a release.
type Release struct {
	Twice int                      `json:"twice"`              // rows and records beyond one an event
	Asked map[string]stage.Latency `json:"asked_ms"`           // commands, meanwhile
	Said  []string                 `json:"progress,omitempty"` // by the command that linked
}

// releaseRun is what one run found.
type releaseRun struct {
	operator, quarantine, normalizer, sink stage.Result
	broker, postgres                       float64
	twice                                  int
}

// released starts the stages, downstream first, and links.
func (b *bench) released(ctx context.Context, url string, n int) (r releaseRun, err error) {
	link := func(string) (err error) {
		broker, postgres := b.brokerCPU(), childrenCPU(postgresProgram)
		r.operator, err = b.run(ctx, "release-operator", stage.Job{Role: stage.Operator, Postgres: url, Records: n})
		r.broker, r.postgres = b.brokerCPU()-broker, childrenCPU(postgresProgram)-postgres
		return err
	}
	quarantines := func(string) (err error) {
		r.quarantine, err = b.serve(ctx, "release-quarantine", stage.Job{Role: stage.Quarantine, Postgres: url}, link)
		return err
	}
	normalizers := func(string) (err error) {
		r.normalizer, err = b.serve(ctx, "release-normalizer", stage.Job{Role: stage.Normalizer, Postgres: url}, quarantines)
		return err
	}
	if r.sink, err = b.serve(ctx, "release-sink", stage.Job{Role: stage.Sink, Postgres: url}, normalizers); err != nil {
		return r, err
	}
	audit, err := b.run(ctx, "release-audit", stage.Job{Role: stage.Audit, Postgres: url, Records: n})
	if r.twice = audit.Twice; err != nil {
		return r, err
	}
	for _, group := range []string{stream.Normalizer, stream.Sink, stream.Quarantine} {
		if err := b.ground.forget(ctx, stream.Names{}.Group(group)); err != nil {
			return r, err
		}
	}
	return r, nil
}

// write writes what the table has no room for.
func (r *Release) write(out io.Writer) {
	fmt.Fprintf(out, "Released twice, or on the timeline twice: %d.\nWhile a link released, once a second, ms:\n", r.Twice)
	for _, command := range slices.Sorted(maps.Keys(r.Asked)) {
		l := r.Asked[command]
		fmt.Fprintf(out, "  throughline %-36s p50 %.0f, worst %.0f\n", command, l.P50, l.Max)
	}
	fmt.Fprintln(out, "What the link's --wait said:")
	for _, line := range r.Said {
		fmt.Fprintln(out, "  "+line)
	}
}
