package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// Listen opens the TCP port of an address (host:port; port 0: any). setting is what the address is set by, for people:
// "--listen (THROUGHLINE_RECEIVER_LISTEN)". An error is one line that says what to do.
func Listen(ctx context.Context, address, setting string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the address %s is taken by another process: set %s to a free one: %w", address, setting, syscall.EADDRINUSE)
	case err != nil:
		return nil, fmt.Errorf("listening on %s: %w", setting, err)
	}
	return l, nil
}

// Drain is the beginning of a server's stop: it goes on for the delay while load balancers see that readiness has gone, or
// until ctx ends.
func (rt *Runtime) Drain(ctx context.Context, delay time.Duration) {
	if delay <= 0 {
		return
	}
	rt.Log.Info("serving until the drain delay is over", zap.Duration("delay", delay))
	drained := time.NewTimer(delay)
	defer drained.Stop()
	select {
	case <-drained.C:
	case <-ctx.Done():
	}
}

// DrainTimeout is the StopTimeout of a component whose Stop begins with Drain: the delay, and half of what is left of the
// whole stop.
func (rt *Runtime) DrainTimeout(delay time.Duration) time.Duration {
	return delay + max(0, rt.StopTimeout-delay)/2
}

// CheckDrain finds a delay that leaves nothing of the whole stop. flag is its name.
func CheckDrain(flag string, delay, stop time.Duration) error {
	switch {
	case delay < 0:
		return fmt.Errorf("%s should not be below 0", flag)
	case delay >= stop:
		return fmt.Errorf("%s is %v: it must be below --shutdown-timeout, which is %v", flag, delay, stop)
	}
	return nil
}
