package service_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/service"
)

// diary is what happened, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.lines...)
}

// component writes its life into the diary.
func (d *diary) component(name string) service.Component {
	return service.Component{
		Name:  name,
		Start: func(context.Context) error { d.add("start %s", name); return nil },
		Run:   func(ctx context.Context) error { <-ctx.Done(); d.add("end %s", name); return ctx.Err() },
		Stop:  func(context.Context) error { d.add("stop %s", name); return nil },
	}
}

func TestGroupOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		health := service.NewHealth()
		g := service.NewGroup(service.GroupOptions{Health: health}, d.component("writer"), d.component("batcher"), d.component("reader"))
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- g.Run(ctx) }()
		synctest.Wait()
		require.Equal(t, []string{"start writer", "start batcher", "start reader"}, d.all())
		require.True(t, health.Report(ctx).Ready)

		cancel()
		require.NoError(t, <-result)
		require.Equal(t, []string{
			"stop reader", "end reader", "stop batcher", "end batcher", "stop writer", "end writer",
		}, d.all()[3:])
		require.False(t, health.Report(t.Context()).Ready)
		require.NoError(t, g.Stop(t.Context()))
		require.NoError(t, g.Stop(t.Context()))
		require.Error(t, g.Run(t.Context()), "a group runs once")
	})
}

func TestGroupIsNotReadyFromTheMomentTheStopBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		health := service.NewHealth()
		var during service.HealthReport
		g := service.NewGroup(service.GroupOptions{Health: health}, service.Component{Name: "writer"}, service.Component{
			Name: "reader", Stop: func(ctx context.Context) error { during = health.Report(ctx); return nil },
		})
		result := make(chan error, 1)
		go func() { result <- g.Run(t.Context()) }()
		synctest.Wait()
		require.True(t, health.Report(t.Context()).Ready)
		require.NoError(t, g.Stop(t.Context()))
		require.NoError(t, <-result)
		require.Len(t, during.Components, 2)
		for _, c := range during.Components {
			require.Equal(t, "stopping", c.Error)
		}
	})
}

func TestGroupFailures(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, tc := range []struct {
		name    string
		change  func(*service.Component) // of the middle of three
		wantErr string
		wantIs  error
		want    []string // the diary without the middle's own lines
	}{
		{
			name:    "start",
			change:  func(c *service.Component) { c.Start = func(context.Context) error { return broken } },
			wantErr: "starting middle: broken", wantIs: broken,
			want: []string{"start down", "stop down", "end down"},
		},
		{
			name: "run",
			change: func(c *service.Component) {
				c.Run = func(ctx context.Context) error {
					select {
					case <-time.After(time.Minute):
					case <-ctx.Done():
					}
					return broken
				}
			},
			wantErr: "middle: broken", wantIs: broken,
			want: []string{"start down", "start up", "stop up", "end up", "stop down", "end down"},
		},
		{
			name: "run and stop",
			change: func(c *service.Component) {
				c.Run = func(context.Context) error { <-time.After(time.Minute); return broken }
				c.Stop = func(context.Context) error { return errors.New("not flushed") }
			},
			wantErr: "middle: broken\nstopping middle: not flushed", wantIs: broken,
			want: []string{"start down", "start up", "stop up", "end up", "stop down", "end down"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var d, own diary
				middle := own.component("middle")
				tc.change(&middle)
				g := service.NewGroup(service.GroupOptions{}, d.component("down"), middle, d.component("up"))
				err := g.Run(t.Context())
				require.EqualError(t, err, tc.wantErr)
				require.ErrorIs(t, err, tc.wantIs)
				require.Equal(t, tc.want, d.all())
				require.Equal(t, err, g.Stop(t.Context()))
			})
		})
	}
}

func TestGroupEndsWhenItsWorkIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		after := func(wait time.Duration) func(context.Context) error {
			return func(context.Context) error { <-time.After(wait); return nil }
		}
		g := service.NewGroup(service.GroupOptions{},
			service.Component{Name: "store", Stop: func(context.Context) error { d.add("closed"); return nil }},
			service.Component{Name: "one", Run: after(time.Hour)}, service.Component{Name: "two", Run: after(time.Minute)})
		begin := time.Now()
		require.NoError(t, g.Run(t.Context()))
		require.Equal(t, time.Hour, time.Since(begin))
		require.Equal(t, []string{"closed"}, d.all())
	})
}

func TestGroupBoundsAndNamesASlowStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		release := make(chan struct{})
		var d diary
		hanging := service.Component{
			Name: "hanging",
			Stop: func(context.Context) error { <-release; return nil }, // it ignores its context
		}
		slow := service.Component{
			Name: "slow", StopTimeout: 10 * time.Second,
			Run: func(ctx context.Context) error { <-ctx.Done(); <-time.After(6 * time.Second); return nil },
		}
		g := service.NewGroup(service.GroupOptions{Log: zap.New(core), StopTimeout: 20 * time.Second}, d.component("down"), hanging, slow)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- g.Run(ctx) }()
		synctest.Wait()
		begun := time.Now()
		cancel()
		require.EqualError(t, <-result, "stopping hanging: it did not end within 7s")
		require.Equal(t, 13*time.Second, time.Since(begun), "slow took 6 s, then hanging half of the 14 s that were left")
		require.Contains(t, d.all(), "end down", "the others are stopped all the same")
		var told []string
		for _, entry := range logs.All() {
			told = append(told, entry.Message+": "+entry.ContextMap()["component"].(string))
		}
		require.Equal(t, []string{
			"component is slow to stop: slow", "component is slow to stop: hanging", "component did not stop cleanly: hanging",
		}, told)
		close(release)
	})
}

func TestGroupStopIsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := service.NewGroup(service.GroupOptions{}, service.Component{
			Name: "slow", Stop: func(context.Context) error { <-time.After(10 * time.Second); return nil },
		})
		result := make(chan error, 1)
		go func() { result <- g.Run(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, g.Stop(ctx), context.DeadlineExceeded)
		require.NoError(t, <-result)
	})
}

func TestGroupStopWithoutRun(t *testing.T) {
	t.Parallel()
	var d diary
	g := service.NewGroup(service.GroupOptions{}, d.component("a"))
	require.NoError(t, g.Stop(t.Context()))
	require.NoError(t, g.Stop(t.Context()))
	require.NoError(t, g.Run(t.Context()))
	require.Empty(t, d.all())
}

func TestGroupUnderStress(t *testing.T) {
	t.Parallel()
	for round := range 200 {
		var d diary
		failing := d.component("failing")
		if round%3 == 0 {
			failing.Run = func(context.Context) error { return errors.New("broken") }
		}
		g := service.NewGroup(service.GroupOptions{Health: service.NewHealth()}, d.component("a"), failing, d.component("c"))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				switch {
				case i == 0:
					_ = g.Run(ctx)
				case i == 1 && round%2 == 0:
					cancel()
				default:
					_ = g.Stop(t.Context())
				}
			})
		}
		wg.Wait()
		cancel()
		require.NoError(t, countLives(d.all()), "round %d", round)
	}
}

// countLives checks that whatever started also stopped, once.
func countLives(lines []string) error {
	count := map[string]int{}
	for _, line := range lines {
		count[line]++
	}
	for _, name := range []string{"a", "failing", "c"} {
		if count["start "+name] != count["stop "+name] || count["start "+name] > 1 {
			return fmt.Errorf("%s: %v", name, lines)
		}
	}
	return nil
}
