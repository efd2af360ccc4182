// Command mutants breaks promises of the code one at a time, each by a small
// realistic change, and runs the test that should notice. It exits 1 when a test
// still passes, or when a change no longer fits the code. The working tree is
// never touched: the compiler is given the changed file in place of the real one
// (go build -overlay).
//
// Usage: mutants [-check] [-only REGEXP] [-timeout 2m], in the root of the repository.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mutant is one change.
type mutant struct {
	promise       string // what the change breaks
	file          string
	find, replace string // find occurs in the file once
	pkg, test     string // what should fail
}

// verdict is what became of a mutant.
type verdict string

const (
	killed   verdict = "killed"
	survived verdict = "SURVIVED" // the test passes all the same
	stale    verdict = "STALE"    // the change does not fit the code, does not compile, or there is no such test
)

func main() { os.Exit(run()) }

func run() int {
	only := flag.String("only", "", "only the changes whose file, promise or test match this regular expression")
	timeout := flag.Duration("timeout", 2*time.Minute, "longest run of one test; one that hangs has noticed")
	check := flag.Bool("check", false, "only check that the changes fit the code")
	flag.Parse()
	chosen, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var todo []mutant
	for _, m := range mutants {
		if chosen.MatchString(m.file + "\n" + m.promise + "\n" + m.test) {
			todo = append(todo, m)
		}
	}
	if *check {
		return checkAll(todo)
	}
	bad := 0
	for i, m := range todo {
		began := time.Now()
		v, detail := m.try(ctx, *timeout)
		if ctx.Err() != nil {
			return 1
		}
		fmt.Printf("%2d/%d  %-8s  %5.1f s  %-45s %s\n", i+1, len(todo), v, time.Since(began).Seconds(), m.test, m.promise)
		if v != killed {
			bad++
			fmt.Printf("       %s\n%s", m.file, indent(detail))
		}
	}
	fmt.Printf("%d changes tried, %d killed\n", len(todo), len(todo)-bad)
	return min(bad, 1)
}

// checkAll names the changes that do not fit the code any more.
func checkAll(all []mutant) int {
	code := 0
	for _, m := range all {
		if _, err := m.changed(); err != nil {
			code = 1
			fmt.Fprintf(os.Stderr, "tools/mutants/list.go: %q: %v\n", m.promise, err)
		}
	}
	return code
}

// changed gives the file's content with the change.
func (m mutant) changed() ([]byte, error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(source, []byte(m.find)); n != 1 {
		return nil, fmt.Errorf("what it changes is %d times in %s: %s", n, m.file, m.find)
	}
	return bytes.Replace(source, []byte(m.find), []byte(m.replace), 1), nil
}

// try runs the test on the changed code.
func (m mutant) try(ctx context.Context, timeout time.Duration) (verdict, string) {
	content, err := m.changed()
	if err != nil {
		return stale, err.Error()
	}
	overlay, remove, err := overlayOf(m.file, content)
	if err != nil {
		return stale, err.Error()
	}
	defer remove()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", timeout.String(), "-overlay", overlay, "-run", "^"+m.test+"$", m.pkg)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	text := string(out)
	var failed *exec.ExitError
	switch {
	case err == nil && strings.Contains(text, "no tests to run"):
		return stale, text
	case err == nil:
		return survived, text
	case errors.As(err, &failed) && !strings.Contains(text, "[build failed]") && !strings.Contains(text, "[setup failed]"):
		return killed, text
	}
	return stale, text
}

// overlayOf writes the changed file and the description by which the compiler
// finds it.
func overlayOf(file string, content []byte) (path string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) } // what stays is in the temporary directory
	real, err := filepath.Abs(file)
	if err != nil {
		return "", remove, err
	}
	changed := filepath.Join(dir, filepath.Base(file))
	description, err := json.Marshal(map[string]map[string]string{"Replace": {real: changed}})
	if err != nil {
		return "", remove, err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, remove, errors.Join(os.WriteFile(changed, content, 0o600), os.WriteFile(path, description, 0o600))
}

func indent(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	const most = 12
	if len(lines) > most {
		lines = append([]string{"…"}, lines[len(lines)-most:]...)
	}
	return "       " + strings.Join(lines, "\n       ") + "\n"
}
