package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/retry"
)

// Options says where a Spool lies and how it empties.
type Options struct {
	// Dir is this spool's own directory; it is made when missing. Only one
	// process may use it at a time.
	Dir string
	// MaxBytes bounds what waits, in whole pages of the file once it is larger
	// than a few, together with the entries that were set aside.
	MaxBytes int64
	// Publish writes records to the brokers and returns after their
	// acknowledgement (stream.Publisher.Publish).
	Publish func(ctx context.Context, records ...*kgo.Record) error
	// PublishTimeout bounds one call of Publish.
	PublishTimeout time.Duration
	// Log gets one line when trouble begins (the brokers or the disk do not
	// take what they should) and one when it is over, and one for each entry
	// that had to be set aside.
	Log *zap.Logger
}

// A Spool is one source's. It is safe for concurrent use. Close it.
type Spool struct {
	o       Options
	store   *store
	wake    chan struct{}
	told    *retry.Told
	drained atomic.Int64
	pending atomic.Int64 // bytes on their way into the store

	aside      atomic.Int64
	asideBytes atomic.Int64

	refusing struct {
		sync.Mutex
		told bool
		at   time.Time // of the last line that told so
		last time.Time // of the last refusal
		err  error     // its cause
	}
}

// Open takes the directory and finds what an earlier process left there. It
// refuses a directory that another process uses (the error wraps ErrInUse and
// names it), and one of the format before bbolt that is not empty.
func Open(o Options) (*Spool, error) {
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the spool's directory: %w", err)
	}
	if err := refuseSegments(o.Dir); err != nil {
		return nil, err
	}
	s := &Spool{o: o, wake: make(chan struct{}, 1), told: &retry.Told{Log: o.Log}}
	kept, err := filepath.Glob(filepath.Join(o.Dir, asidePrefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("looking for entries that were set aside: %w", err)
	}
	for _, path := range kept {
		if info, err := os.Stat(path); err == nil {
			s.asideBytes.Add(info.Size())
		}
	}
	s.store, err = openStore(o.Dir)
	return s, err
}

// refuseSegments finds the log of numbered files that unreleased versions wrote.
func refuseSegments(dir string) error {
	segments, err := filepath.Glob(filepath.Join(dir, strings.Repeat("[0-9]", 20)))
	for _, path := range segments {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return fmt.Errorf("%s holds deliveries in the format of an unreleased version: "+
				"run that version until its spool is empty, or move the file away", path)
		}
	}
	return err
}

// Engaged reports whether something waits here. Then a new delivery of the
// source queues behind it instead of overtaking it.
func (s *Spool) Engaged() bool { return s.Deliveries() > 0 }

// Deliveries is how many deliveries wait.
func (s *Spool) Deliveries() int64 { return s.store.waiting() }

// Bytes is how much the waiting deliveries take, without the file's own overhead.
func (s *Spool) Bytes() int64 { return max(0, s.store.bytes.Load()) }

// Drained is how many deliveries it has published since it was opened.
func (s *Spool) Drained() int64 { return s.drained.Load() }

// SetAside is how many entries it could not publish and moved to files beside
// spool.db since it was opened: damaged on disk, or refused by the brokers for good.
func (s *Spool) SetAside() int64 { return s.aside.Load() }

// Append returns nil once one delivery's records are on disk, fsynced; it keeps
// none of their bytes. An error is Transient(Unavailable): the spool or its disk
// is full, or the disk failed. Then the records may wait here all the same, and
// are published once more when they come again.
func (s *Spool) Append(records []*kgo.Record) error {
	value := encode(records)
	size := int64(len(value))
	waiting := s.pending.Add(size)
	defer s.pending.Add(-size)
	var err error
	if s.store.size()+s.asideBytes.Load()+waiting > s.o.MaxBytes {
		err = fault.Advise(fmt.Errorf("the spool %s is full (%d bytes)", s.o.Dir, s.o.MaxBytes), "bring the brokers back, or raise THROUGHLINE_SPOOL_BYTES")
	} else {
		err = s.store.append(value)
	}
	if isDiskFull(err) {
		err = fault.Advise(fmt.Errorf("the disk is full: %w", err), "make room on the disk of "+s.o.Dir)
	}
	s.note(err)
	if err != nil {
		return fault.Transient(fault.Unavailable, err)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// isDiskFull looks at err's text, because bbolt does not wrap every error.
func isDiskFull(err error) bool {
	return err != nil && (strings.Contains(err.Error(), syscall.ENOSPC.Error()) || strings.Contains(err.Error(), syscall.EDQUOT.Error()))
}

// quiet is the least time between two lines that say that deliveries are
// refused: a nearly full disk takes small ones between large ones.
const quiet = time.Minute

// note logs when Append begins to refuse deliveries, and when it takes them again.
func (s *Spool) note(err error) {
	r := &s.refusing
	r.Lock()
	defer r.Unlock()
	r.err = err
	if err != nil {
		r.last = time.Now()
	}
	switch {
	case err == nil && r.told:
		r.told = false
		s.o.Log.Info("the spool accepts deliveries again")
	case err != nil && !r.told && time.Since(r.at) >= quiet:
		r.told, r.at = true, time.Now()
		s.o.Log.Error("the spool rejects deliveries, which their vendor does not retry", zap.Error(err),
			zap.String("advice", fault.Advice(err)), zap.Int64("deliveries", s.Deliveries()), zap.Int64("bytes", s.Bytes()))
	}
}

// Ready is an error while deliveries are refused, which their vendor does not
// send again: the spool or its disk is full, or the disk failed. It says which.
// Without new deliveries it is over after a minute.
func (s *Spool) Ready() error {
	r := &s.refusing
	r.Lock()
	defer r.Unlock()
	if r.err == nil || time.Since(r.last) >= quiet {
		return nil
	}
	return r.err
}

// A drained batch: bounded so that removing it is cheap beside publishing it,
// and so that what a crash publishes twice is little.
const (
	batchEntries = 256
	batchBytes   = 1 << 20
)

var drainPolicy = retry.Policy{First: 100 * time.Millisecond, Most: 2 * time.Second}

// Run publishes what waits, oldest first, as soon as the brokers take it, until
// ctx ends. It tries for ever. Only one Run may be under way.
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

// drainBatch publishes and removes the oldest entries. It tries each step anew
// until it succeeds or ctx ends, but never publishes again what was acknowledged.
func (s *Spool) drainBatch(ctx context.Context) {
	var batch []entry
	published := 0
	// Its error says that ctx ended, as the caller sees.
	_ = retry.Forever(ctx, drainPolicy, "draining the spool", s.told, func(ctx context.Context) (err error) {
		if batch == nil {
			if batch, err = s.store.oldest(batchEntries, batchBytes); err != nil {
				return err
			}
		}
		for published < len(batch) {
			n, err := s.publish(ctx, batch[published:])
			published += n
			if err != nil {
				return err
			}
		}
		return s.store.remove(batch)
	})
}

// publish publishes the first of entries, as many as it can, and says how many
// it is done with: published, or set aside because they never will be.
func (s *Spool) publish(ctx context.Context, entries []entry) (done int, err error) {
	var records []*kgo.Record
	for i, e := range entries {
		decoded, err := decode(e.value)
		if err != nil && i == 0 {
			return 1, s.setAside(e, err)
		}
		if err != nil {
			entries = entries[:i] // the damaged one's turn is next
			break
		}
		records = append(records, decoded...)
	}
	callCtx, cancel := context.WithTimeout(ctx, s.o.PublishTimeout)
	defer cancel()
	err = s.o.Publish(callCtx, records...)
	switch {
	case err == nil:
		s.drained.Add(int64(len(entries)))
		return len(entries), nil
	case !fault.IsPermanent(err):
		return 0, err
	case len(entries) > 1:
		return s.publish(ctx, entries[:len(entries)/2]) // until the refused one is alone
	default:
		return 1, s.setAside(entries[0], err)
	}
}

// asidePrefix and a time name the file of an entry that was set aside.
const asidePrefix = "aside-"

// setAside keeps an entry that cannot be published in a file of its own, so
// that it neither blocks the others nor is lost.
func (s *Spool) setAside(e entry, cause error) error {
	path := filepath.Join(s.o.Dir, asidePrefix+time.Now().UTC().Format("20060102T150405.000000000Z"))
	if err := writeSynced(path, e.value); err != nil {
		return fmt.Errorf("setting an entry of the spool aside: %w", err)
	}
	s.aside.Add(1)
	s.asideBytes.Add(int64(len(e.value)))
	s.o.Log.Error("moved a bad spool entry aside", zap.String("file", path), zap.Error(cause))
	return nil
}

func writeSynced(path string, content []byte) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close(), dir.Sync())
}

// Close closes the file and lets the next process in. End Run and the callers
// of Append first.
func (s *Spool) Close() error { return s.store.close() }
