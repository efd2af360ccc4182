//go:build prove

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clocks lets clocks jump while their programs run.
type clocks struct {
	dir     string
	library string // libfaketime; "" where it is not there, and the clocks of Postgres stay right
}

// newClocks finds libfaketime, and has our programs built with a clock that can jump. No program is built before.
func newClocks(t *testing.T) *clocks {
	t.Helper()
	dir, err := os.MkdirTemp("", "throughline-clocks-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755)) // Postgres's user reads it
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	c := &clocks{dir: dir}
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	require.NoError(t, err)
	if len(found) > 0 {
		c.library = found[0]
	}
	c.set(t, "postgres", "+0")
	programs.flags = []string{"-overlay", c.overlay(t)}
	return c
}

// of gives the file that says how wrong the clock of a program is, in seconds: "+3600".
func (c *clocks) of(program string) string { return filepath.Join(c.dir, program) }

// ofPostgres is the environment of a Postgres whose clock can jump: it asks the C library what time it is.
func (c *clocks) ofPostgres() []string {
	if c.library == "" {
		return nil
	}
	// What measures how long something takes goes on as ever: no machine's jumps.
	return []string{"LD_PRELOAD=" + c.library, "FAKETIME_TIMESTAMP_FILE=" + c.of("postgres"), "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"}
}

// ofService is the environment of one of our services, which gets a right clock.
func (c *clocks) ofService(t *testing.T, name string) string {
	t.Helper()
	c.set(t, name, "+0")
	return clockVariable + "=" + c.of(name)
}

// set lets a clock jump.
func (c *clocks) set(t testing.TB, program, by string) {
	t.Helper()
	next := c.of(program) + ".next"
	require.NoError(t, os.WriteFile(next, []byte(by+"\n"), 0o644)) // as above
	require.NoError(t, os.Rename(next, c.of(program)))
}

// clockVariable names the file that a program's clock follows.
const clockVariable = "PROVE_CLOCK"

// overlay is what `go build -overlay` takes. A program of Go asks the kernel what time it is, past the C library: ours are
// built with a time.Now that adds what a file says, and are otherwise as they are shipped.
func (c *clocks) overlay(t *testing.T) string {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	require.NoError(t, err)
	changed := string(text)
	for _, line := range []struct{ after, add string }{
		{"import (\n", "\t\"sync/atomic\"\n"},
		{"func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", "\tsec += Wrong.Load()\n"},
	} {
		require.Equal(t, 1, strings.Count(changed, line.after), "%q in %s", line.after, original)
		changed = strings.Replace(changed, line.after, line.after+line.add, 1)
	}
	changed += "\n// Wrong is how many seconds the clock is ahead.\nvar Wrong atomic.Int64\n"

	here, err := filepath.Abs("../../pkg/service/clock_that_jumps.go")
	require.NoError(t, err)
	replaced := map[string]string{original: c.write(t, "time.go", changed), here: c.write(t, "clock.go", follower)}
	list, err := json.Marshal(map[string]any{"Replace": replaced})
	require.NoError(t, err)
	return c.write(t, "overlay.json", string(list))
}

func (c *clocks) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// follower is a file of package service, which each of our services imports.
const follower = `package service

import (
	"os"
	"strconv"
	"strings"
	"time"
)

func init() {
	path := os.Getenv("` + clockVariable + `")
	if path == "" {
		return
	}
	read := func() {
		text, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			panic(err)
		}
		time.Wrong.Store(seconds)
	}
	read()
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			read()
		}
	}()
}
`

const (
	hour = "3600"
	year = "31536000"
)

func (p *prover) clockFaults() (all []faultCase) {
	jump := func(by string, programs ...string) func(*prover) func() {
		set := func(by string) {
			for _, program := range programs {
				p.clocks.set(p.t, program, by)
			}
		}
		return func(*prover) func() {
			set(by)
			return func() { set("+0") }
		}
	}
	if p.clocks.library != "" {
		all = append(all,
			faultCase{"Postgres: its clock is an hour ahead, and set right", 10 * time.Second, jump("+"+hour, "postgres")},
			faultCase{"Postgres: its clock is an hour behind, and set right", 10 * time.Second, jump("-"+hour, "postgres")})
	}
	var others []string
	for _, c := range p.all() {
		if c != p.receiver { // what it receives has the day of the receipt, by which rows of Looker without a time are known
			others = append(others, c.name)
		}
		all = append(all,
			faultCase{c.name + ": its clock is an hour ahead, and set right", 10 * time.Second, jump("+"+hour, c.name)},
			faultCase{c.name + ": its clock is an hour behind, and set right", 10 * time.Second, jump("-"+hour, c.name)})
	}
	return append(all,
		faultCase{"all services but the receiver: their clock is a year ahead, and set right", 10 * time.Second, jump("+"+year, others...)},
		faultCase{"all services but the receiver: their clock is a year behind, and set right", 10 * time.Second, jump("-"+year, others...)})
}
