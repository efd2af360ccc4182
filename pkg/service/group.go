package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Component is a part of a process with a life of its own. Each function may be
// nil.
type Component struct {
	Name string
	// Start returns when the component is ready for its upstream. Its context
	// ends when the group is to stop.
	Start func(context.Context) error
	// Run works until its context ends, which is only after Stop has returned: it
	// is not the context of Group.Run, because an upstream may still be draining
	// into this component when that ends. An error before that fails the group;
	// nil means that the work is done.
	Run func(context.Context) error
	// Stop asks for an end in good order and waits for it as long as its context allows.
	Stop func(context.Context) error
	// StopTimeout bounds Stop and Run's end together; 0: half of what is left of
	// the group's, so that one which hangs leaves something for the others.
	StopTimeout time.Duration
}

// GroupOptions are the surroundings of a Group.
type GroupOptions struct {
	Log         *zap.Logger   // none: nothing is logged
	Health      *Health       // none: nothing is reported; else each component by its name
	StopTimeout time.Duration // of all stops together; 0: 20 s
}

// Group runs components in the order in which data leaves them: it starts the
// one furthest downstream first and stops it last, so each stage drains into a
// neighbour that lives. One that fails stops all.
type Group struct {
	log        *zap.Logger
	health     *Health
	bound      time.Duration
	components []Component

	stop context.CancelFunc // ends live
	live context.Context    //nolint:containedctx // it is the group's life: Stop must end it before, during and after Run
	ran  atomic.Bool
	done chan struct{}
	err  error // of Run; read after done is closed

	finish sync.Once
}

// errFinished ends a group whose work is done.
var errFinished = errors.New("all work is done")

// errStopping is the health of a component from the moment the stop begins.
var errStopping = errors.New("stopping")

// NewGroup makes a group of components, downstream first.
func NewGroup(o GroupOptions, components ...Component) *Group {
	g := &Group{log: o.Log, health: o.Health, bound: o.StopTimeout, components: components, done: make(chan struct{})}
	if g.log == nil {
		g.log = zap.NewNop()
	}
	if g.bound <= 0 {
		g.bound = defaultStop()
	}
	g.live, g.stop = context.WithCancel(context.Background())
	return g
}

// Run starts all components and returns when all have stopped, which happens
// when ctx ends, Stop is called, a component fails, or every Run function is
// done. It gives the first failure, with the component's name, joined with what
// went wrong while stopping; nil after a stop in good order. It is called once.
func (g *Group) Run(ctx context.Context) error {
	if g.ran.Swap(true) {
		return errors.New("the group has run already")
	}
	defer g.end()
	if g.live.Err() != nil {
		return nil // Stop came first
	}
	live, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	defer context.AfterFunc(g.live, func() { fail(context.Canceled) })()

	started := g.startAll(ctx, live, fail)
	<-live.Done()
	var first error
	if cause := context.Cause(live); isFailure(cause) {
		first = cause
	}
	g.err = errors.Join(first, g.stopAll(started, first))
	return g.err
}

// Stop ends Run and waits until it has returned, or ctx has ended. It gives what
// Run gave. It may be called again, from anywhere but a component's own
// functions (which it would wait for), and before Run, which then does nothing.
func (g *Group) Stop(ctx context.Context) error {
	g.stop()
	if !g.ran.Load() {
		return nil
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the group to stop: %w", ctx.Err())
	}
}

func (g *Group) end() {
	g.finish.Do(func() {
		g.stop()
		close(g.done)
	})
}

// running is a component that was started.
type running struct {
	Component
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
	err    error         // of Run; read after done is closed
}

// startAll gives the components that started. It stops starting when live ends.
func (g *Group) startAll(ctx, live context.Context, fail context.CancelCauseFunc) []*running {
	var started []*running
	var left atomic.Int64
	for _, c := range g.components {
		g.report(c.Name, errors.New("starting"))
		if c.Run != nil {
			left.Add(1)
		}
	}
	works := left.Load() > 0
	for _, c := range g.components {
		if live.Err() != nil {
			return started
		}
		if c.Start != nil {
			if err := c.Start(live); err != nil {
				fail(&componentError{name: c.Name, doing: "starting ", err: err})
				return started
			}
		}
		r := &running{Component: c, done: make(chan struct{})}
		started = append(started, r)
		g.report(c.Name, nil)
		g.log.Debug("component started", zap.String("component", c.Name))
		runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		r.cancel = cancel
		if c.Run == nil {
			close(r.done)
			continue
		}
		go func() {
			defer close(r.done)
			r.err = c.Run(runCtx)
			switch {
			case r.err != nil && runCtx.Err() == nil:
				fail(&componentError{name: c.Name, err: r.err})
			case left.Add(-1) == 0 && works:
				fail(errFinished)
			}
		}()
	}
	return started
}

// stopAll stops upstream first. first is the failure that led here, so as not to
// be told twice.
func (g *Group) stopAll(started []*running, first error) error {
	for _, c := range g.components {
		g.report(c.Name, errStopping)
	}
	deadline := time.Now().Add(g.bound)
	var failures []error
	for i := len(started) - 1; i >= 0; i-- {
		r := started[i]
		bound := time.Until(deadline)
		if i > 0 {
			bound /= 2
		}
		if r.StopTimeout > 0 {
			bound = r.StopTimeout
		}
		begin := time.Now()
		err := g.stopOne(r, max(bound, time.Millisecond), first)
		if err != nil {
			g.log.Warn("component did not stop cleanly", zap.String("component", r.Name), zap.Duration("after", time.Since(begin)), zap.Error(err))
			failures = append(failures, err)
			continue
		}
		g.log.Debug("component stopped", zap.String("component", r.Name), zap.Duration("after", time.Since(begin)))
	}
	return errors.Join(failures...)
}

// stopOne gives Stop nine tenths of the bound, and Run's end the rest. What has
// not ended by then is named and left behind.
func (g *Group) stopOne(r *running, bound time.Duration, first error) error {
	ctx, cancel := context.WithTimeout(context.Background(), bound-bound/10)
	defer cancel()
	defer r.cancel()
	stopped := make(chan error, 1)
	go func() {
		var err error
		if r.Stop != nil {
			err = r.Stop(ctx)
		}
		r.cancel()
		<-r.done
		stopped <- err
	}()
	slow, late := time.NewTimer(bound/2), time.NewTimer(bound)
	defer slow.Stop()
	defer late.Stop()
	for {
		select {
		case err := <-stopped:
			return r.failure(err, first)
		case <-slow.C:
			g.log.Warn("component is slow to stop", zap.String("component", r.Name), zap.Duration("bound", bound))
		case <-late.C:
			return &componentError{name: r.Name, doing: "stopping ", err: fmt.Errorf("it did not end within %v", bound)}
		}
	}
}

// failure is what went wrong while r stopped, beside the failure that led to it.
// Run's context error is the normal end.
func (r *running) failure(stop, first error) error {
	if stop != nil {
		stop = &componentError{name: r.Name, doing: "stopping ", err: stop}
	}
	var told *componentError
	if r.err == nil || errors.Is(r.err, context.Canceled) || errors.As(first, &told) && told.name == r.Name {
		return stop
	}
	return errors.Join(&componentError{name: r.Name, err: r.err}, stop)
}

func (g *Group) report(name string, err error) {
	if g.health != nil {
		g.health.Set(name, err)
	}
}

// componentError names the component that an error comes from.
type componentError struct {
	name, doing string
	err         error
}

func (e *componentError) Error() string { return e.doing + e.name + ": " + e.err.Error() }
func (e *componentError) Unwrap() error { return e.err }

func isFailure(cause error) bool {
	var failure *componentError
	return errors.As(cause, &failure)
}
