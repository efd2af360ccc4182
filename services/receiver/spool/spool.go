package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/local/filelock"
)

// Options says where a Spool lies and how it empties.
type Options struct {
	// Dir is this spool's own directory; it is made when missing. Only one
	// process may use it at a time.
	Dir string
	// MaxBytes is how much it holds.
	MaxBytes int64
	// Publish writes records to the brokers and returns after their
	// acknowledgement (stream.Publisher.Publish).
	Publish func(ctx context.Context, records ...*kgo.Record) error
	// PublishTimeout bounds one call of Publish.
	PublishTimeout time.Duration
	// Log gets one line when an outage begins, one when it is over, and one for
	// each entry that had to be set aside.
	Log *zap.Logger
}

// A Spool is one source's. It is safe for concurrent use. Close it.
type Spool struct {
	o       Options
	lock    *filelock.Lock
	journal *journal
	wake    chan struct{}
	drained atomic.Int64
	aside   atomic.Int64
	pending atomic.Int64 // bytes on their way into the journal

	writing sync.Mutex // held by who writes a group
	joining sync.Mutex
	group   *group
}

// group is what one fsync will write: whoever comes while another group is
// being written joins the next.
type group struct {
	entries [][]byte
	written bool
	err     error
}

// Open takes the directory and finds what an earlier process left there. It
// refuses a directory that another process uses (the error wraps filelock.ErrHeld).
func Open(o Options) (*Spool, error) {
	lock, err := filelock.Try(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("taking the spool %s: %w", o.Dir, err)
	}
	j, err := openJournal(o.Dir, o.Log)
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return &Spool{o: o, lock: lock, journal: j, wake: make(chan struct{}, 1), group: new(group)}, nil
}

// Engaged reports whether something waits here. Then a new delivery of the
// source queues behind it instead of overtaking it.
func (s *Spool) Engaged() bool { return s.journal.entries.Load() > 0 }

// Deliveries is how many deliveries wait.
func (s *Spool) Deliveries() int64 { return s.journal.entries.Load() }

// Bytes is how much the waiting deliveries take.
func (s *Spool) Bytes() int64 { return s.journal.bytes.Load() }

// Drained is how many deliveries it has published since it was opened.
func (s *Spool) Drained() int64 { return s.drained.Load() }

// SetAside is how many entries it could not publish and moved to files beside
// the log since it was opened: damaged on disk, or refused by the brokers for good.
func (s *Spool) SetAside() int64 { return s.aside.Load() }

// Append returns nil once one delivery's records are on disk, fsynced; it keeps
// none of their bytes. An error is Transient(Unavailable): the spool is full,
// or the disk failed.
func (s *Spool) Append(records []*kgo.Record) error {
	entry := encode(records)
	size := int64(len(entry))
	waiting := s.pending.Add(size)
	defer s.pending.Add(-size)
	if s.Bytes()+waiting > s.o.MaxBytes {
		return fault.Transient(fault.Unavailable, fmt.Errorf("the spool %s is full (%d bytes)", s.o.Dir, s.o.MaxBytes))
	}
	if err := s.join(entry); err != nil {
		return fault.Transient(fault.Unavailable, err)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// join adds entry to the next group and returns when that is written, by this
// caller or by another.
func (s *Spool) join(entry []byte) error {
	s.joining.Lock()
	mine := s.group
	mine.entries = append(mine.entries, entry)
	s.joining.Unlock()

	s.writing.Lock()
	defer s.writing.Unlock()
	if mine.written {
		return mine.err
	}
	s.joining.Lock()
	s.group = new(group)
	s.joining.Unlock()
	mine.written, mine.err = true, s.journal.append(mine.entries)
	return mine.err
}

// A drained batch: bounded so that removing it is cheap beside publishing it,
// and so that what a crash publishes twice is little.
const (
	batchEntries = 256
	batchBytes   = 1 << 20
)

// Run publishes what waits, oldest first, as soon as the brokers take it, until
// ctx ends. It tries for ever.
func (s *Spool) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if s.Engaged() {
			s.drainBatch(ctx)
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		}
	}
	return nil
}

// drainBatch publishes and removes the oldest entries, retrying until ctx ends.
func (s *Spool) drainBatch(ctx context.Context) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 2*time.Second
	failing := false
	notify := func(err error, _ time.Duration) {
		if !failing {
			failing = true
			s.o.Log.Warn("the spool cannot drain yet", zap.Error(err), zap.Int64("deliveries", s.Deliveries()), zap.Int64("bytes", s.Bytes()))
		}
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, s.publishOldest(ctx) },
		backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0), backoff.WithNotify(notify))
	if err == nil && failing { // an error here is ctx's end
		s.o.Log.Info("the spool drains again", zap.Int64("deliveries", s.Deliveries()))
	}
}

func (s *Spool) publishOldest(ctx context.Context) error {
	entries, first, err := s.journal.oldest(batchEntries, batchBytes)
	if err != nil || len(entries) == 0 {
		return err
	}
	var records []*kgo.Record
	for _, entry := range entries {
		decoded, err := decode(entry)
		if err != nil {
			return s.publishSingly(ctx, entries, first)
		}
		records = append(records, decoded...)
	}
	err = s.publish(ctx, records)
	if fault.IsPermanent(err) {
		// One of them will never be taken: alone, it is known.
		return s.publishSingly(ctx, entries, first)
	}
	if err != nil {
		return err
	}
	s.drained.Add(int64(len(entries)))
	return s.remove(entries, first)
}

// publishSingly publishes and removes entry by entry, setting aside what never
// will be published.
func (s *Spool) publishSingly(ctx context.Context, entries [][]byte, first uint64) error {
	for i, entry := range entries {
		records, err := decode(entry)
		if err == nil {
			err = s.publish(ctx, records)
		}
		switch {
		case err == nil:
			s.drained.Add(1)
		case errors.Is(err, errDamaged), fault.IsPermanent(err):
			if err := s.setAside(first+uint64(i), entry, err); err != nil {
				return err
			}
		default:
			return err
		}
		if err := s.remove(entries[i:i+1], first+uint64(i)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spool) publish(ctx context.Context, records []*kgo.Record) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.PublishTimeout)
	defer cancel()
	return s.o.Publish(ctx, records...)
}

func (s *Spool) remove(entries [][]byte, first uint64) error {
	var size int64
	for _, e := range entries {
		size += int64(len(e))
	}
	return s.journal.removeOldest(first, len(entries), size)
}

// setAside keeps an entry that cannot be published in a file of its own, so
// that it neither blocks the others nor is lost.
func (s *Spool) setAside(index uint64, entry []byte, cause error) error {
	path := filepath.Join(s.o.Dir, "aside-"+strconv.FormatUint(index, 10))
	if err := os.WriteFile(path, entry, 0o640); err != nil {
		return fmt.Errorf("setting an entry of the spool aside: %w", err)
	}
	s.aside.Add(1)
	s.o.Log.Error("set an entry of the spool aside", zap.String("file", path), zap.Error(cause))
	return nil
}

// Close closes the log and lets the next process in. End Run and the callers
// of Append first.
func (s *Spool) Close() error {
	return errors.Join(s.journal.close(), s.lock.Release())
}
