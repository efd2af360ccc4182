package measure

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/services/bench/stage"
)

// aimPull is our share of publishing alone.
const aimPull = 0.4

// pull is a backfill from a vendor's API that answers at once, in a process of its own.
func (b *bench) pull() []step {
	records := b.command.PullRecords / 5000 * 5000
	line := b.report.line("pull", unitEvents, aimPull)
	// So long ago that it ends before now.
	began := time.Now().Add(-400 * 24 * time.Hour).Truncate(time.Hour).Unix()
	return b.turns("pull", float64(records)/12_000+4, []string{"ours", "limit"}, func(ctx context.Context, side int, what string) error {
		if err := b.ground.freshTopics(ctx); err != nil {
			return err
		}
		job := stage.Job{Role: []stage.Role{stage.Pull, stage.BarePull}[side], Records: records, Began: began}
		if side == 1 {
			r, err := b.run(ctx, what, job)
			line.side(side).pulled(r, records)
			return err
		}
		return b.ground.database(ctx, func(url string) error {
			_, err := b.serve(ctx, what+"-vendor", stage.Job{Role: stage.Vendor, Began: began}, func(address string) error {
				job.Postgres, job.Address = url, address
				r, err := b.run(ctx, what, job)
				line.side(side).pulled(r, records)
				return err
			})
			return err
		})
	})
}

// pulled is told a round, and keeps its curve of memory.
func (s *Side) pulled(r stage.Result, records int) {
	if len(r.Samples) == 0 {
		return
	}
	s.add(float64(records)/r.Samples[len(r.Samples)-1].Seconds, stage.Latency{}, r, records)
	s.curve(r.Samples, records)
}

// curve keeps what was resident at each tenth of so many records.
func (s *Side) curve(samples []stage.Sample, records int) {
	if s.Memory = nil; len(samples) == 0 {
		return
	}
	for tenth, at := 1, 0; tenth <= 10; tenth++ {
		for at < len(samples)-1 && samples[at].Records < records*tenth/10 {
			at++
		}
		s.Memory = append(s.Memory, samples[at].Bytes)
	}
}

// writeMemory writes the curves of the last round.
func (l *Line) writeMemory(out io.Writer) {
	for _, side := range []struct {
		name string
		s    *Side
	}{{"ours", l.Ours}, {"limit", l.Limit}} {
		if len(side.s.Memory) == 0 {
			continue
		}
		var at []string
		for _, bytes := range side.s.Memory {
			at = append(at, megabytes(bytes))
		}
		fmt.Fprintf(out, "%s, %s: resident MB at each tenth of the last run: %s.\n", l.Stage, side.name, strings.Join(at, " "))
	}
}
