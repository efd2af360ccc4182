// Package process runs child programs for local servers and tests.
//
// A child that Start or Run starts ends with this process, however this one
// ends: on Linux the kernel sends the signal. Elsewhere only Signal, Kill and
// the cmd's own context end it.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// ErrEnded says that a process ended before it was ready.
var ErrEnded = errors.New("it ended")

// pollEvery is how often Await asks again.
const pollEvery = 50 * time.Millisecond

// A Process is a child that has been started. Its methods are safe for
// concurrent use.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // set before done is closed
}

// Start starts cmd and waits for its end in the background. It sets the
// process group in cmd.SysProcAttr, so that a Ctrl-C in our terminal does not
// reach the child before we stop it in order, and the parent-death signal,
// SIGKILL unless the caller has chosen another.
//
// Linux sends that signal when the thread that started the child ends, not the
// process, so one goroutine keeps its thread from the child's start to its end.
func Start(cmd *exec.Cmd) (*Process, error) {
	tie(cmd)
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Run runs cmd to its end and gives all that it printed. Its context, if cmd
// was made with one, kills it.
func Run(cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := Start(cmd)
	if err != nil {
		return nil, err
	}
	<-p.done
	return out.Bytes(), p.err
}

// Done is closed when the process has ended and been waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how it ended (exec.Cmd.Wait), once Done is closed.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Running says whether it has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal does nothing to a process that has ended.
func (p *Process) Signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill ends it with SIGKILL and returns when it is gone.
func (p *Process) Kill() {
	p.Signal(os.Kill)
	<-p.done
}

// Stop sends a signal and waits for the end. When ctx ends first it kills the
// process and gives ctx's cause.
func (p *Process) Stop(ctx context.Context, s os.Signal) error {
	p.Signal(s)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("it did not end in time and was killed: %w", context.Cause(ctx))
	}
}

// Await calls ready until it gives nil. It ends early with ErrEnded when the
// process does, and with ctx's cause and ready's last error when ctx does.
func (p *Process) Await(ctx context.Context, ready func(context.Context) error) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%w (%v): %w", ErrEnded, p.cmd.ProcessState, err)
		case <-ctx.Done():
			return fmt.Errorf("%w: it does not answer: %w", context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}

// LastLines gives at most the last lines of a program's output, for an error.
func LastLines(out []byte, most int) string {
	lines := strings.Split(string(bytes.TrimSpace(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
