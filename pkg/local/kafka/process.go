package kafka

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
)

// A process is a child that has been started. done closes when it has ended
// and been waited for; err says how, and is set by then.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// startProcess starts cmd, tied to us: it dies when we do. Linux sends that
// signal when the thread that started the child ends, not the process, so one
// goroutine keeps its thread from the start of the child to its end.
func startProcess(cmd *exec.Cmd) (*process, error) {
	tie(cmd)
	p := &process{cmd: cmd, done: make(chan struct{})}
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

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal does nothing to a process that has ended.
func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// run runs cmd to its end, tied to us, and gives all that it printed.
func run(cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := startProcess(cmd)
	if err != nil {
		return nil, err
	}
	<-p.done
	return out.Bytes(), p.err
}
