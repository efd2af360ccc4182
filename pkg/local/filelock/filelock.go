// Package filelock keeps two processes out of one directory.
//
// It is an advisory lock on a file (flock), so the kernel lets go of it when
// its holder dies, however it dies: there is no stale lock to remove by hand.
// The embedded broker takes one because the broker library does not lock its
// data directory; the Apache Kafka launcher takes one around a fetch.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrHeld says that somebody else holds the lock.
var ErrHeld = errors.New("lock is held")

// retryEvery is how often Acquire looks again: short beside what it waits for,
// a fetch of some seconds.
const retryEvery = 100 * time.Millisecond

// A Lock is held until Release, or until its process ends.
type Lock struct {
	file *os.File
}

// Try takes the lock on path at once, or gives an error that wraps ErrHeld and
// names the holder's process id. The file and its directory are made when
// missing; the file stays after Release, since removing it would let two
// holders in.
func Try(path string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the lock's directory: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock file: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w%s", ErrHeld, holder(path))
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	lock := &Lock{file: file}
	if err := lock.sign(); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return lock, nil
}

// Acquire waits for the lock until ctx ends.
func Acquire(ctx context.Context, path string) (*Lock, error) {
	ticker := time.NewTicker(retryEvery)
	defer ticker.Stop()
	for {
		lock, err := Try(path)
		if !errors.Is(err, ErrHeld) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s: %w: %w", path, err, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// Release lets the next one in. A second call is harmless.
func (l *Lock) Release() error {
	if err := l.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("releasing the lock: %w", err)
	}
	return nil
}

// sign writes our process id, for the message that the next one gets.
func (l *Lock) sign() error {
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("signing the lock: %w", err)
	}
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return fmt.Errorf("signing the lock: %w", err)
	}
	return nil
}

// holder gives " by process 123", or nothing when the file does not say (the
// holder may be between locking and signing).
func holder(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" by process %d", pid)
}
