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

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// handoverWait is how long a server whose starter has just died may take to leave its data directory.
const handoverWait = 5 * time.Second

// prepareDataDir makes sure that DataDir is a data directory which nobody uses.
func prepareDataDir(ctx context.Context, opts Options, bins binaries, own owner) error {
	if dataMajor(opts.DataDir) != 0 {
		if err := checkPasswords(opts); err != nil {
			return err
		}
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
	if err := os.MkdirAll(parent, 0o700); err != nil {
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
	args := []string{"-D", work, "-U", opts.superuser(), "--encoding=UTF8", "--locale=C"}
	if opts.PassFile == "" {
		args = append(args, "-A", "trust")
	} else {
		file, err := writePasswords(opts, parent, own)
		if err != nil {
			return err
		}
		defer os.Remove(file)
		args = append(args, "-A", "scram-sha-256", "--pwfile="+file)
	}
	if opts.Unsafe {
		args = append(args, "--no-sync")
	}
	out, err := process.Run(command(ctx, own, bins.path("initdb"), args...))
	if err != nil {
		return fmt.Errorf("running initdb: %w: %s", err, reason(string(out)))
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
		pid, port := readLock(lock)
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
			return fmt.Errorf("postgres is already running in %s (process %d), at 127.0.0.1:%s: use that one, stop the program "+
				"that started it, or choose another data directory", dataDir, pid, port)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for process %d to leave %s: %w", pid, dataDir, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// readLock gives the process and the port of a postmaster.pid (its first and fourth line); 0 when there is none.
func readLock(lock string) (pid int, port string) {
	text, err := os.ReadFile(lock)
	if err != nil {
		return 0, ""
	}
	lines := strings.Split(string(text)+"\n\n\n\n", "\n") // a server that is just starting has not written all
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return 0, ""
	}
	return pid, strings.TrimSpace(lines[3])
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
