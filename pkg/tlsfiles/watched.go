package tlsfiles

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"go.uber.org/zap"
)

// watched is what was read from files, and is read again when they have changed. It
// is safe for concurrent use.
type watched[T any] struct {
	files []string
	read  func() (T, error)
	log   *zap.Logger // of files that cannot be read again

	mu     sync.Mutex
	stamps []fs.FileInfo // nil: it is not there
	value  T
	broken error // why what the files hold now cannot be used; nil: value is theirs
}

// watch reads the files a first time. log may be nil.
func watch[T any](log *zap.Logger, read func() (T, error), files ...string) (*watched[T], error) {
	if log == nil {
		log = zap.NewNop()
	}
	w := &watched[T]{files: files, read: read, log: log, stamps: stamps(files)}
	var err error
	w.value, err = read()
	return w, err
}

func stamps(files []string) []fs.FileInfo {
	all := make([]fs.FileInfo, len(files))
	for i, file := range files {
		if info, err := os.Stat(file); err == nil {
			all[i] = info
		}
	}
	return all
}

// same says whether two looks saw the same content of a file.
func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// get gives what the files held last, of what could be read.
func (w *watched[T]) get() T {
	value, _ := w.look()
	return value
}

// look is get, with the reason why what the files hold now cannot be used, if so.
func (w *watched[T]) look() (value T, broken error) {
	now := stamps(w.files)
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := !slices.EqualFunc(now, w.stamps, same)
	if !changed && w.broken == nil {
		return w.value, nil
	}
	// Of two files one may be the new one and the other still the old one: then
	// they are read again when that changes too. What could not be read is tried
	// each time, because permissions leave no stamp.
	w.stamps = now
	if value, w.broken = w.read(); w.broken == nil {
		w.log.Info("a renewed certificate is in use", zap.Strings("files", w.files))
		w.value = value
	} else if changed {
		w.log.Error("a renewed certificate cannot be used; the earlier one stays in use", zap.Strings("files", w.files), zap.Error(w.broken))
	}
	return w.value, w.broken
}

// content reads a file, and says which it is and no more when that fails.
func content(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err == nil {
		return text, nil
	}
	if path, ok := err.(*fs.PathError); ok { //nolint:errorlint // os gives it unwrapped
		err = path.Err
	}
	return nil, fmt.Errorf("reading %s: %w", file, err)
}
