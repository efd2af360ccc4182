package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/throughline-dev/throughline/pkg/local/pgserver"
)

// dirPattern names the directories of test servers.
const dirPattern = "throughline-postgrestest-"

// stopTimeout bounds the stop at the end of a test binary.
const stopTimeout = 20 * time.Second

// shared is the test binary's server. A test's only handle is its testing.TB, so it has to be found by name.
var shared server

// server is one Postgres, ours or the one that URLVariable names.
type server struct {
	mu       sync.Mutex
	err      error // of the first start; a second would fail alike and take as long
	url      string
	template string
	owned    *pgserver.Server
	dir      string
	lock     *flock.Flock
}

type address struct{ url, template string }

// Main wraps m so that the server is stopped and its data removed when the tests are done.
func Main(m *testing.M) *Runner { return &Runner{m: m} }

// Runner is what goleak.VerifyTestMain takes.
type Runner struct{ m *testing.M }

// Run runs the tests, stops the server and returns the exit code.
func (r *Runner) Run() int {
	code := r.m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// get starts the server on first use.
func (s *server) get(ctx context.Context) (address, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.url == "" && s.err == nil {
		s.err = s.start(ctx)
	}
	return address{url: s.url, template: s.template}, s.err
}

func (s *server) start(ctx context.Context) error {
	url := os.Getenv(URLVariable)
	if url == "" {
		var err error
		if url, err = s.startOwn(ctx); err != nil {
			return err
		}
	}
	template, err := prepareTemplate(ctx, url)
	if err != nil {
		return err
	}
	s.url, s.template = url, template
	return nil
}

func (s *server) startOwn(ctx context.Context) (string, error) {
	if err := sweep(); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(place(), dirPattern)
	if err != nil {
		return "", fmt.Errorf("making the test server's directory: %w", err)
	}
	// A server that runs as another user must be able to pass.
	if err := os.Chmod(dir, 0o755); err != nil { // test data
		return "", fmt.Errorf("opening the test server's directory: %w", err)
	}
	s.dir, s.lock = dir, flock.New(filepath.Join(dir, "lock"))
	if err := s.lock.Lock(); err != nil {
		return "", fmt.Errorf("marking the test server's directory: %w", err)
	}
	s.owned, err = pgserver.Start(ctx, pgserver.Options{DataDir: filepath.Join(dir, "data"), Database: "postgres", Unsafe: true})
	if err != nil {
		return "", fmt.Errorf("starting a Postgres for the tests (or set %s): %w", URLVariable, err)
	}
	return s.owned.URL(), nil
}

// place is where the directories of test servers are made: in memory where the machine has room there, because a
// database is hundreds of files and each test makes and drops one. Half the time of such tests went to the file
// system. TMPDIR, where it is set, is obeyed.
func place() string {
	if dir := os.Getenv("TMPDIR"); dir != "" {
		return dir
	}
	var memory syscall.Statfs_t
	if err := syscall.Statfs(sharedMemory, &memory); err != nil || int64(memory.Bavail)*int64(memory.Bsize) < sharedMemoryNeeded { //nolint:unconvert // their types are not the same on all systems
		return os.TempDir()
	}
	return sharedMemory
}

// sharedMemory is Linux's file system in memory; other systems have none there.
const sharedMemory = "/dev/shm"

// sharedMemoryNeeded is several times what the servers of test binaries that run at once hold.
const sharedMemoryNeeded = 4 << 30

// sweep removes the directories of test binaries that were killed: those whose lock nobody holds. A directory
// younger than a minute may belong to a binary that has not locked it yet.
func sweep() error {
	dirs, err := filepath.Glob(filepath.Join(place(), dirPattern+"*"))
	if err != nil {
		return fmt.Errorf("looking for old test servers: %w", err)
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		lock := flock.New(filepath.Join(dir, "lock"))
		if free, err := lock.TryLock(); err == nil && !free {
			continue
		}
		_ = lock.Unlock()
		// Another user's, or being removed by another test binary: not ours to worry about.
		_ = os.RemoveAll(dir)
	}
	return nil
}

func (s *server) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		return nil
	}
	var err error
	if s.owned != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		err = s.owned.Stop(ctx)
	}
	return errors.Join(err, os.RemoveAll(s.dir), s.lock.Unlock())
}
