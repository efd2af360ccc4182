package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// child is a program of ours that runs as a child. It ends with the test, and
// with this process, however either ends.
type child struct {
	t    *testing.T
	name string
	path string
	args []string
	env  []string // beside PATH
	log  string   // file of its standard error, and of its output unless out is set
	out  *os.File

	process *process.Process // nil before the first start
	wanted  bool             // we ended it
}

// newProcess prepares one. What it logs is shown when the test fails.
func newChild(t *testing.T, name, path string, env ...string) *child {
	t.Helper()
	p := &child{t: t, name: name, path: path, env: env, log: filepath.Join(t.TempDir(), name+".log")}
	t.Cleanup(func() {
		p.kill()
		if text, err := os.ReadFile(p.log); t.Failed() && err == nil {
			t.Logf("the end of %s's log:\n%s", name, process.LastLines(text, 15))
		}
	})
	return p
}

// start starts it, with env beside its own. It must not be running.
func (p *child) start(env ...string) {
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
	p.wanted = false
	p.process, err = process.Start(cmd)
	require.NoError(p.t, err, "starting %s", p.name)
}

// kill ends it with SIGKILL and waits until it is gone. One that does not run
// stays so.
func (p *child) kill() {
	if p.running() {
		p.wanted = true
		p.process.Kill()
	}
}

// interrupt asks for an end in order, as Ctrl-C does, and waits for it.
func (p *child) interrupt() {
	p.t.Helper()
	require.True(p.t, p.running(), "%s runs", p.name)
	p.wanted = true
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	require.NoError(p.t, p.process.Stop(ctx, syscall.SIGINT), p.name)
	require.NoError(p.t, p.process.Err(), "%s stopped in order", p.name)
}

func (p *child) running() bool { return p.process != nil && p.process.Running() }

// died says so when it ended by itself; "" when not.
func (p *child) died() string {
	if p.process == nil || p.wanted || p.running() {
		return ""
	}
	text, err := os.ReadFile(p.log)
	if err != nil {
		text = []byte(err.Error())
	}
	return fmt.Sprintf("%s ended by itself: %v\n%s", p.name, p.process.Err(), process.LastLines(text, 10))
}
