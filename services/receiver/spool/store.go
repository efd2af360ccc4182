package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

const (
	fileName  = "spool.db"
	ownerName = "owner" // who holds the lock of spool.db
	// lockTimeout is what a process that is just stopping gets to leave the file.
	lockTimeout = time.Second
	// batchDelay is how long an Append waits for others to share its fsync.
	batchDelay = 2 * time.Millisecond
	// growBytes is by how much the file grows at a time once it is larger than that.
	growBytes = 1 << 20
	// emptyPages is what an empty file has: two of meta data, the list of free pages, the root.
	emptyPages = 4
)

var bucketName = []byte("entries")

// ErrInUse says that another process uses the spool.
var ErrInUse = errors.New("the spool is in use")

// An entry is one delivery, encoded, under its number; numbers only grow.
type entry struct {
	number uint64
	value  []byte
}

func (e entry) key() []byte { return binary.BigEndian.AppendUint64(nil, e.number) }

// store is the file of entries. It is safe for concurrent use.
type store struct {
	db *bbolt.DB

	// What waits, for readers who do not wait for the disk. Numbers have no
	// gaps and go in order, so two of them say how many entries wait.
	appended atomic.Uint64 // the newest number
	removed  atomic.Uint64 // the newest that waits no more
	bytes    atomic.Int64  // of the entries
	pages    atomic.Int64  // of the file, in use, in bytes
}

// openStore opens dir's file, or makes it, and takes its lock for as long as it
// is open.
func openStore(dir string) (*store, error) {
	path, owner := filepath.Join(dir, fileName), filepath.Join(dir, ownerName)
	s := new(store)
	err := s.open(path)
	if err == nil && s.waiting() == 0 {
		err = s.shrink(path)
	}
	if errors.Is(err, bbolterrors.ErrTimeout) {
		// Unless it says so, nobody knows who it is.
		holder, _ := os.ReadFile(owner)
		return nil, fmt.Errorf("%w: %s is held by another process (%s): stop it, or give each process a directory of its own", ErrInUse, dir, holder)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the spool %s: %w", path, err)
	}
	host, _ := os.Hostname() // for people; "" will do
	// This syncs the directory too, so that a new spool.db is in it for good.
	if err := writeSynced(owner, fmt.Appendf(nil, "process %d on %s", os.Getpid(), host)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the spool %s: %w", path, err), s.close())
	}
	return s, nil
}

func (s *store) open(path string) (err error) {
	// The library panics on pages that contradict each other.
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("the file is damaged (%v): move it away to begin with an empty spool", problem)
		}
	}()
	if s.db, err = bbolt.Open(path, 0o640, &bbolt.Options{Timeout: lockTimeout}); err != nil {
		return err
	}
	s.db.MaxBatchDelay, s.db.AllocSize = batchDelay, growBytes
	var bytes int64
	var last, waiting uint64
	err = s.db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(bucketName)
		if err != nil {
			return err
		}
		last = bucket.Sequence()
		return bucket.ForEach(func(_, value []byte) error {
			waiting++
			bytes += int64(len(value))
			return nil
		})
	})
	if err != nil {
		return errors.Join(err, s.db.Close())
	}
	s.appended.Store(last)
	s.removed.Store(last - waiting)
	s.bytes.Store(bytes)
	s.measure()
	return nil
}

// shrink makes the file anew, in which nothing waits: bbolt gives no space back,
// and its free pages hold what was in them; but it begins anew with a file of no
// bytes. It is ours until it is closed.
func (s *store) shrink(path string) error {
	if s.appended.Load() == 0 {
		return nil // it never held anything
	}
	if err := errors.Join(os.Truncate(path, 0), s.close()); err != nil {
		return err
	}
	return s.open(path)
}

// append returns once the entry is fsynced. When the group's commit fails, each
// of the group gets the error.
func (s *store) append(value []byte) error {
	var number uint64
	err := s.db.Batch(func(tx *bbolt.Tx) (err error) {
		bucket := tx.Bucket(bucketName)
		bucket.FillPercent = 1 // numbers grow: no page gets an entry in its middle
		if number, err = bucket.NextSequence(); err != nil {
			return err
		}
		return bucket.Put(entry{number: number}.key(), value)
	})
	if err != nil {
		return fmt.Errorf("writing to the spool: %w", err)
	}
	s.bytes.Add(int64(len(value)))
	for {
		newest := s.appended.Load()
		if newest >= number || s.appended.CompareAndSwap(newest, number) {
			break
		}
	}
	s.measure()
	return nil
}

// waiting is how many entries wait. One counts from the return of its append to
// that of its remove.
func (s *store) waiting() int64 {
	removed := s.removed.Load() // first: it may be ahead of what append has noted
	return max(0, int64(s.appended.Load()-removed))
}

// size is how much the entries take on disk: their bytes, or the file's pages
// in use beyond those of an empty file, whichever is more.
func (s *store) size() int64 {
	return max(s.bytes.Load(), s.pages.Load()-emptyPages*int64(os.Getpagesize()))
}

// oldest gives copies of up to most entries, but no second one that takes the
// sum over maxBytes. None: nothing waits.
func (s *store) oldest(most, maxBytes int) (entries []entry, err error) {
	sum := 0
	err = s.db.View(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(bucketName).Cursor()
		for key, value := cursor.First(); key != nil && len(entries) < most; key, value = cursor.Next() {
			if sum += len(value); len(entries) > 0 && sum > maxBytes {
				break
			}
			entries = append(entries, entry{number: binary.BigEndian.Uint64(key), value: append([]byte(nil), value...)})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the spool: %w", err)
	}
	return entries, nil
}

func (s *store) remove(entries []entry) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, e := range entries {
			if err := tx.Bucket(bucketName).Delete(e.key()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("removing published entries from the spool: %w", err)
	}
	for _, e := range entries {
		s.bytes.Add(-int64(len(e.value)))
		s.removed.Store(e.number)
	}
	s.measure()
	return nil
}

// measure notes how much of the file is in use.
func (s *store) measure() {
	// Its error says that the store is closed: then nobody asks.
	_ = s.db.View(func(tx *bbolt.Tx) error {
		stats := s.db.Stats()
		s.pages.Store(tx.Size() - int64(stats.FreePageN+stats.PendingPageN)*int64(os.Getpagesize()))
		return nil
	})
}

func (s *store) close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the spool: %w", err)
	}
	return nil
}
