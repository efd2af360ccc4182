package spool

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/tidwall/wal"
	"go.uber.org/zap"
)

// segmentBytes is small because removing entries rewrites what is left of
// their segment.
const segmentBytes = 1 << 20

// journal is the log on disk. It is safe for concurrent use.
type journal struct {
	dir string
	log *zap.Logger

	mu    sync.Mutex
	wal   *wal.Log // nil while it could not be reopened
	ended bool     // closed for good
	next  uint64   // index of the next entry to be written
	first uint64   // index of the oldest entry; next when empty

	// How much there is, for readers who do not wait for the disk.
	entries atomic.Int64
	bytes   atomic.Int64
}

func openJournal(dir string, log *zap.Logger) (*journal, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the spool's directory: %w", err)
	}
	j := &journal{dir: dir, log: log}
	return j, j.open()
}

// open reads the directory anew. The caller holds mu, or is alone.
func (j *journal) open() error {
	cut, err := repair(j.dir)
	if err != nil {
		return err
	}
	if cut > 0 {
		j.log.Warn("cut off the spool's torn end, which was never acknowledged", zap.String("dir", j.dir), zap.Int64("bytes", cut))
	}
	opened, err := wal.Open(j.dir, &wal.Options{SegmentSize: segmentBytes, AllowEmpty: true, SegmentCacheSize: 1})
	if err != nil {
		return fmt.Errorf("opening the spool in %s: %w", j.dir, err)
	}
	first, err := opened.FirstIndex()
	last, lastErr := opened.LastIndex()
	if err := errors.Join(err, lastErr); err != nil {
		return errors.Join(fmt.Errorf("reading the spool's bounds: %w", err), opened.Close())
	}
	var size int64
	for index := first; index <= last; index++ {
		entry, err := opened.Read(index)
		if err != nil {
			return errors.Join(fmt.Errorf("reading the spool: %w", err), opened.Close())
		}
		size += int64(len(entry))
	}
	j.wal, j.first, j.next = opened, first, last+1
	j.entries.Store(int64(j.next - j.first))
	j.bytes.Store(size)
	return nil
}

// ready reopens after a failure. The caller holds mu.
func (j *journal) ready() error {
	switch {
	case j.ended:
		return errors.New("the spool is closed")
	case j.wal != nil:
		return nil
	}
	return j.open()
}

// broken drops a log whose memory may differ from its files, so that the next
// call reads these anew. The caller holds mu.
func (j *journal) broken(cause error) error {
	// What closing says is of no use: the log is given up because it failed.
	_ = j.wal.Close()
	j.wal = nil
	return cause
}

// append writes entries behind each other and fsyncs once.
func (j *journal) append(entries [][]byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.ready(); err != nil {
		return err
	}
	var batch wal.Batch
	var size int64
	for i, entry := range entries {
		batch.Write(j.next+uint64(i), entry)
		size += int64(len(entry))
	}
	if err := j.wal.WriteBatch(&batch); err != nil {
		return j.broken(fmt.Errorf("writing to the spool: %w", err))
	}
	j.next += uint64(len(entries))
	j.entries.Add(int64(len(entries)))
	j.bytes.Add(size)
	return syncDir(j.dir) // the library may have begun a new file
}

// oldest gives up to most entries, but no second one that takes the sum over
// maxBytes, and the index of the first. None: the journal is empty.
func (j *journal) oldest(most, maxBytes int) (entries [][]byte, first uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.ready(); err != nil {
		return nil, 0, err
	}
	sum := 0
	for index := j.first; index < j.next && len(entries) < most; index++ {
		entry, err := j.wal.Read(index)
		if err != nil {
			return nil, 0, j.broken(fmt.Errorf("reading the spool: %w", err))
		}
		sum += len(entry)
		if len(entries) > 0 && sum > maxBytes {
			break
		}
		entries = append(entries, entry)
	}
	return entries, j.first, nil
}

// removeOldest forgets count entries, from index first on, of size bytes.
func (j *journal) removeOldest(first uint64, count int, size int64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.ready(); err != nil {
		return err
	}
	if err := j.wal.TruncateFront(first + uint64(count)); err != nil {
		return j.broken(fmt.Errorf("removing published entries from the spool: %w", err))
	}
	j.first = first + uint64(count)
	j.entries.Add(-int64(count))
	j.bytes.Add(-size)
	return nil
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = true
	if j.wal == nil {
		return nil
	}
	err := j.wal.Close()
	j.wal = nil
	if err != nil {
		return fmt.Errorf("closing the spool: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("opening the spool's directory: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing the spool's directory: %w", err)
	}
	return nil
}
