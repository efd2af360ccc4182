package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// handoverWait is how long a server whose starter has just died may take to leave its data directory.
const handoverWait = 5 * time.Second

// prepareDataDir makes sure that DataDir is a data directory which nobody uses.
func prepareDataDir(ctx context.Context, opts Options, bins binaries, own owner) error {
	if dataMajor(opts.DataDir) != 0 {
		if err := own.take(opts.DataDir); err != nil {
			return fmt.Errorf("giving %s to the postgres user: %w", opts.DataDir, err)
		}
		return claim(ctx, opts.DataDir)
	}
	entries, err := os.ReadDir(opts.DataDir)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty and not a postgres data directory: choose another, or move it away", opts.DataDir)
	}
	return create(ctx, opts, bins, own)
}

// create runs initdb beside DataDir and renames the result: a start that is killed half-way leaves no half
// directory behind that the next start would take for a whole one.
func create(ctx context.Context, opts Options, bins binaries, own owner) error {
	parent := filepath.Dir(opts.DataDir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("making the postgres data directory: %w", err)
	}
	work, err := os.MkdirTemp(parent, ".initdb-")
	if err != nil {
		return fmt.Errorf("making the postgres data directory: %w", err)
	}
	defer os.RemoveAll(work)
	if err := own.take(work); err != nil {
		return fmt.Errorf("giving %s to the postgres user: %w", work, err)
	}
	args := []string{"-D", work, "-A", "trust", "-U", opts.User, "--encoding=UTF8", "--locale=C"}
	if opts.Unsafe {
		args = append(args, "--no-sync")
	}
	var out strings.Builder
	proc, err := run(own, &out, bins.path("initdb"), args...)
	if err != nil {
		return fmt.Errorf("running initdb: %w", err)
	}
	if err := proc.wait(ctx); err != nil {
		return fmt.Errorf("running initdb: %w: %s", err, reason(out.String()))
	}
	if err := os.Remove(opts.DataDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("making the postgres data directory: %w", err)
	}
	if err := os.Rename(work, opts.DataDir); err != nil {
		return fmt.Errorf("making the postgres data directory: %w", err)
	}
	return nil
}

// claim waits for an earlier server to leave the data directory, and removes the lock file of one that was
// killed. Postgres does the latter itself, except when the number in the file is by now another process of ours
// (common in containers, where numbers start at 1 again).
func claim(ctx context.Context, dataDir string) error {
	lock := filepath.Join(dataDir, "postmaster.pid")
	deadline := time.Now().Add(handoverWait)
	for {
		pid := lockPID(lock)
		if pid == 0 {
			return nil
		}
		if !isServer(pid) {
			if err := os.Remove(lock); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("removing the lock of a dead server: %w", err)
			}
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("postgres data directory %s is in use by process %d: stop it (kill -INT %d), or use another directory", dataDir, pid, pid)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for process %d to leave %s: %w", pid, dataDir, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func lockPID(lock string) int {
	text, err := os.ReadFile(lock)
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return 0
	}
	return pid
}

// reason is what a program said when it gave up: its error line if there is one, else its last words, on one line.
func reason(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range lines {
		if strings.Contains(line, "FATAL") || strings.Contains(line, "error:") {
			return strings.TrimSpace(line)
		}
	}
	return strings.Join(strings.Fields(strings.Join(lines[max(0, len(lines)-3):], " ")), " ")
}
