package pgserver

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a program that ends with us.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed after err is set
	err  error
}

// run starts a program as the owner's user, its output going to out. It runs in the root directory, which every
// user can enter; all its paths are absolute.
//
// The goroutine that starts it stays on its thread until the program has ended: Linux sends the parent-death
// signal when the starting *thread* ends, and Go ends idle threads as it likes.
func run(own owner, out io.Writer, program string, args ...string) (*process, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = out, out
	// Messages in English for reason, and no PG* variable of the user's that would redirect the server.
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "TZ=UTC"}
	cmd.SysProcAttr = own.attributes()
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// wait returns the program's result. When ctx ends first it kills the program.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		p.signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("waiting for %s: %w", p.cmd.Path, ctx.Err())
	}
}

// signal is ignored by a program that has ended.
func (p *process) signal(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig)
}
