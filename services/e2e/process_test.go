package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// process is a program of ours that runs as a child. It ends with the test, and
// with this process, however either ends.
type process struct {
	t    *testing.T
	name string
	path string
	args []string
	env  []string // beside PATH
	log  string   // file of its standard error, and of its output unless out is set
	out  *os.File

	cmd     *exec.Cmd
	done    chan struct{} // closed when it has ended
	wanted  bool          // we ended it
	exitErr error         // read after done
}

// newProcess prepares one. What it logs is shown when the test fails.
func newProcess(t *testing.T, name, path string, env ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, path: path, env: env, log: filepath.Join(t.TempDir(), name+".log"), done: make(chan struct{})}
	close(p.done)
	t.Cleanup(func() {
		p.kill()
		if text, err := os.ReadFile(p.log); t.Failed() && err == nil {
			t.Logf("the end of %s's log:\n%s", name, tail(text, 15))
		}
	})
	return p
}

// start starts it, with env beside its own. It must not be running.
func (p *process) start(env ...string) {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(p.t, err)
	defer log.Close()                      // the child has its own
	cmd := exec.Command(p.path, p.args...) //nolint:noctx // kill ends it, in the test's cleanup at the latest
	cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(p.log)}, p.env...), env...)
	cmd.Stdout, cmd.Stderr = log, log
	if p.out != nil {
		cmd.Stdout = p.out
	}
	tie(cmd)
	p.cmd, p.wanted, p.done = cmd, false, make(chan struct{})
	started := make(chan error, 1)
	go func(done chan struct{}) {
		// Linux sends the parent's death signal when the thread that started
		// the child ends, so this one is kept until then.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.exitErr = cmd.Wait()
		}
	}(p.done)
	require.NoError(p.t, <-started, "starting %s", p.name)
}

// kill ends it with SIGKILL and waits until it is gone. One that does not run
// stays so.
func (p *process) kill() {
	if p.running() {
		p.wanted = true
		_ = p.cmd.Process.Kill() // an error says that it has just ended
	}
	<-p.done
}

// interrupt asks for an end in order, as Ctrl-C does, and waits for it.
func (p *process) interrupt() {
	p.t.Helper()
	require.True(p.t, p.running(), "%s runs", p.name)
	p.wanted = true
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGINT))
	await(p.t, patience, p.name+" to stop", func() (bool, string) { return !p.running(), "" })
	require.NoError(p.t, p.exitErr, "%s stopped in order", p.name)
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// died says so when it ended by itself; "" when not.
func (p *process) died() string {
	if p.cmd == nil || p.wanted || p.running() {
		return ""
	}
	text, err := os.ReadFile(p.log)
	if err != nil {
		text = []byte(err.Error())
	}
	return fmt.Sprintf("%s ended by itself: %v\n%s", p.name, p.exitErr, tail(text, 10))
}

func tail(text []byte, most int) string {
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
