package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/local/process"
	"github.com/throughline-dev/throughline/services/bench/stage"
)

// child is a process that does one job.
type child struct {
	role     stage.Role
	cmd      *exec.Cmd
	input    io.WriteCloser
	messages *json.Decoder
	errs     bytes.Buffer
	told     func(text string) // is told how far it is; may be nil
}

// start starts this program again for a job. It ends with ctx at the latest;
// wait must be called. what names its profile.
func (b *bench) start(ctx context.Context, what string, job stage.Job) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	job.Brokers, job.Registry, job.Accounts = b.ground.brokers, b.ground.registry, b.accounts
	if b.command.Profiles != "" {
		job.Profile = filepath.Join(b.command.Profiles, what+".pprof")
	}
	c := &child{role: job.Role, cmd: exec.CommandContext(ctx, self, stage.Argument)}
	c.cmd.Stderr = &c.errs
	c.cmd.WaitDelay = time.Second
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", job.Role, err)
	}
	output, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", job.Role, err)
	}
	c.messages = json.NewDecoder(output)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", job.Role, err)
	}
	if err := json.NewEncoder(c.input).Encode(job); err != nil {
		return nil, errors.Join(c.failed(err), c.end())
	}
	return c, nil
}

// ready waits until it serves, and gives its address.
func (c *child) ready() (string, error) {
	var m stage.Message
	if err := c.messages.Decode(&m); err != nil {
		return "", c.failed(err)
	}
	if !m.Ready {
		return "", c.failed(errors.New(m.Error))
	}
	return m.Address, nil
}

// result waits for the end of a job that ends by itself, or of one that was
// told to (stop).
func (c *child) result() (stage.Result, error) {
	var m stage.Message
	err := c.messages.Decode(&m)
	for err == nil && m.Told != "" {
		if c.told != nil {
			c.told(m.Told)
		}
		m = stage.Message{}
		err = c.messages.Decode(&m)
	}
	if err == nil && m.Error != "" {
		err = errors.New(m.Error)
	}
	if err == nil && m.Result == nil {
		err = errors.New("no result")
	}
	if ended := c.end(); err == nil {
		err = ended
	}
	if err != nil {
		return stage.Result{}, c.failed(err)
	}
	return *m.Result, nil
}

// stop ends a job that serves.
func (c *child) stop() (stage.Result, error) {
	if err := c.input.Close(); err != nil {
		return stage.Result{}, errors.Join(c.failed(err), c.end())
	}
	return c.result()
}

func (c *child) end() error {
	_ = c.input.Close() // a second time after stop
	return c.cmd.Wait()
}

// failed adds what the process said last.
func (c *child) failed(err error) error {
	said := strings.ReplaceAll(process.LastLines(c.errs.Bytes(), 5), "\n", " | ")
	if said != "" {
		said = " (" + said + ")"
	}
	return fmt.Errorf("%s: %w%s", c.role, err, said)
}

// run does a job that ends by itself.
func (b *bench) run(ctx context.Context, what string, job stage.Job) (stage.Result, error) {
	c, err := b.start(ctx, what, job)
	if err != nil {
		return stage.Result{}, err
	}
	return c.result()
}

// serve does a job that serves, while work uses it.
func (b *bench) serve(ctx context.Context, what string, job stage.Job, work func(address string) error) (stage.Result, error) {
	scratch, err := os.MkdirTemp(b.ground.dir, "stage-")
	if err != nil {
		return stage.Result{}, fmt.Errorf("making a directory: %w", err)
	}
	job.Scratch = scratch
	c, err := b.start(ctx, what, job)
	if err != nil {
		return stage.Result{}, err
	}
	address, err := c.ready()
	if err == nil {
		err = work(address)
	}
	r, stopped := c.stop()
	return r, errors.Join(err, stopped)
}
