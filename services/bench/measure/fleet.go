package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/stage"
)

// fleet is the services that an event passes, each a process of its own, and what is seen of them meanwhile.
type fleet struct {
	b       *bench
	what    string
	members []*member // downstream first
	closed  bool
}

// member is one service. It can be stopped and started again.
type member struct {
	name    string
	job     stage.Job
	address string

	mu      sync.Mutex
	child   *child // nil: it is stopped
	peak    int64
	own     int64              // resident at most, without the pages of files
	cpu     float64            // of the processes that have ended
	metrics map[string]float64 // the same, added
}

// newFleet starts sink, quarantine service, normalizer and receiver, each with all sources.
func (b *bench) newFleet(ctx context.Context, what, url string, spoolBytes int64) (*fleet, error) {
	f := &fleet{b: b, what: what}
	for _, job := range []stage.Job{
		{Role: stage.Sink, Postgres: url}, {Role: stage.Quarantine, Postgres: url}, {Role: stage.Normalizer, Postgres: url},
		{Role: stage.Receiver, AllSources: true, SpoolBytes: spoolBytes},
	} {
		m := &member{name: string(job.Role), job: job, metrics: map[string]float64{}}
		var err error
		if m.job.Scratch, err = os.MkdirTemp(b.ground.dir, "stage-"); err != nil {
			return nil, errors.Join(fmt.Errorf("making a directory: %w", err), f.close(ctx))
		}
		f.members = append(f.members, m)
		if err := f.start(ctx, m); err != nil {
			return nil, errors.Join(err, f.close(ctx))
		}
	}
	return f, nil
}

func (f *fleet) member(role stage.Role) *member {
	for _, m := range f.members {
		if m.name == string(role) {
			return m
		}
	}
	panic("no member is named " + role) // a mistake in this package
}

// start starts a service and waits until it serves.
func (f *fleet) start(ctx context.Context, m *member) error {
	c, err := f.b.start(ctx, f.what+"-"+m.name, m.job)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.child = c
	m.mu.Unlock()
	m.address, err = c.ready()
	return err
}

// stop ends a service in order.
func (m *member) stop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.child == nil {
		return nil
	}
	r, err := m.child.stop()
	m.child = nil
	m.peak = max(m.peak, r.PeakBytes)
	m.cpu += r.CPU
	for name, value := range r.Metrics {
		m.metrics[name] += value
	}
	return err
}

// resident is what the service has resident now, and at most so far; 0 while it is stopped.
func (m *member) resident() (now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.child == nil {
		return 0
	}
	now, own, peak := processMemory(m.child.cmd.Process.Pid)
	m.peak, m.own = max(m.peak, peak), max(m.own, own)
	return now
}

// close stops all, upstream first, and forgets their groups. A second call does nothing.
func (f *fleet) close(ctx context.Context) error {
	if f.closed {
		return nil
	}
	f.closed = true
	var errs []error
	for i := len(f.members) - 1; i >= 0; i-- {
		errs = append(errs, f.members[i].stop())
	}
	if errors.Join(errs...) == nil {
		for _, group := range []string{stream.Normalizer, stream.Sink, stream.Quarantine} {
			errs = append(errs, f.b.ground.forget(ctx, stream.Names{}.Group(group)))
		}
	}
	return errors.Join(errs...)
}

// metric adds up what a service counted under names that begin so and hold all the labels.
func (m *member) metric(name string, labels ...string) (sum float64) {
next:
	for key, value := range m.metrics {
		bare, _, _ := strings.Cut(key, "{")
		if bare != name {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(key, label) {
				continue next
			}
		}
		sum += value
	}
	return sum
}

// spoolBytes is how large the receiver's largest spool is on disk.
func (f *fleet) spoolBytes() (most int64) {
	files, err := filepath.Glob(filepath.Join(f.member(stage.Receiver).job.Scratch, "spool", "*", "*"))
	if err != nil {
		return 0
	}
	sums := map[string]int64{}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			sums[filepath.Dir(file)] += info.Size()
			most = max(most, sums[filepath.Dir(file)])
		}
	}
	return most
}

// processMemory is what a process has resident now, what of it is its own and no page of a file, and what it had resident
// at most so far; zeros where it cannot be known.
func processMemory(pid int) (now, own, peak int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, 0
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "VmRSS":
			now = kilobytes << 10
		case "RssAnon":
			own = kilobytes << 10
		case "VmHWM":
			peak = kilobytes << 10
		}
	}
	return now, own, peak
}

// loadAverage is the machine's over the last minute: how much else it did. 0 where it cannot be known.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	average, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return average
}

// Moment is what was seen at one time of a run.
type Moment struct {
	Seconds     float64          `json:"seconds"` // since the load began
	Memory      map[string]int64 `json:"memory_bytes"`
	Lag         map[string]int64 `json:"lag,omitempty"` // records that a group has not read yet
	Spool       int64            `json:"spool_bytes,omitempty"`
	Database    Database         `json:"database"`
	LoadAverage float64          `json:"load_average"`
}

// watch looks at the fleet every so often until the returned function is called, which gives what was seen.
func (f *fleet) watch(ctx context.Context, began time.Time, every time.Duration, url string) (stop func() []Moment) {
	ctx, cancel := context.WithCancel(ctx)
	var all []Moment
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			at := Moment{Seconds: time.Since(began).Seconds(), Memory: map[string]int64{}, Lag: f.b.ground.lag(ctx), Spool: f.spoolBytes(), LoadAverage: loadAverage()}
			for _, m := range f.members {
				at.Memory[m.name] = m.resident()
			}
			at.Database, _ = readDatabase(ctx, url) // what cannot be read is zero, as one sees
			if ctx.Err() == nil {
				all = append(all, at)
			}
		}
	})
	return func() []Moment {
		cancel()
		done.Wait()
		return all
	}
}
